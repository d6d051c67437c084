"""A layer's filter, threshold and refractoriness in one pass over time, compiled for the CPU.

The same equations as `vdib.dynamics.filters`, `vdib.dynamics.scan` and their backward pass, with
additions in the same order, so that spikes agree to the last one. `launch.py` is the only caller.
`forward` and `backward` give the kernel for one kind of layer: what it does not have is not in its
loops, and one loop does all that a neuron does in a step. Numba compiles each at its first call and
keeps it on disk.

Rows of a batch and blocks of neurons are independent of each other: a call does the work items
`first <= w < last`, of which there are `B` times the number of blocks. Within one, time runs
outside and neurons inside, where they lie side by side and LLVM makes vector instructions of them.
Nothing here may be compiled with `fastmath`: it would change which neurons spike. All of it is in
one file but for `vdib.backends.kinds`, `half.py` and `prefetch.py`, as numba's cache on disk only
watches the file of the function that was called.

Legend: B batch, T steps, K kernels, N neurons, L lags; all arithmetic is in float32. Currents,
spikes, v and their gradients may be stored in bfloat16 (`vdib.backends.cpu.half`).
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import numba
import numpy as np

from vdib.backends.cpu.half import narrow, wide
from vdib.backends.cpu.prefetch import line, prefetch
from vdib.backends.kinds import (
    ADDRESSED,
    ARCTAN,
    BANK,
    BERNOULLI,
    BOXCAR,
    BY_CHANCE,
    CONCRETE,
    ESCAPE,
    EXPONENTIAL,
    EXPONENTIAL_PAIR,
    FAST_SIGMOID,
    FINITE,
    GAUSSIAN,
    GIVEN,
    NO_FEEDBACK,
    NO_FIRE,
    SIGMOID,
    SOFT,
    THRESHOLD,
)

Function = TypeVar("Function", bound=Callable[..., Any])

BLOCK = 512
"""Neurons of a block: their state must fit the first-level cache."""

ROW = BLOCK + 16
"""Rows of state lie end to end, not quite 2 kB apart: then caches tell them apart."""

# What a neuron has, in rows of one array: at offsets that the compiler knows, it sees that they
# never meet. OWN is the feedback of a neuron's own spikes, or its adjoint; NOW is v, or dL/dv.
# Neurons are counted in unsigned numbers, which cannot mean "from the end".
CURRENT, POTENTIAL, OWN, NOW, GAIN = (np.uint64(ROW * i) for i in range(5))
SHIFT, FIRED, DRAWN = (np.uint64(ROW * i) for i in range(5, 8))  # forward
BY_SHIFT, BY_GAIN, OUT = (np.uint64(ROW * i) for i in range(5, 8))  # backward

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_27, _30, _31, _41 = (np.uint64(n) for n in (27, 30, 31, 41))

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LOG2_E = np.float32(math.log2(math.e))
_ROUND = np.float32(12582912)  # 1.5 * 2^23: adding it leaves no bits below the units
_LARGEST = np.float32(87)
_C1, _C2, _C3, _C4, _C5, _C6 = (  # of 2^f
    np.float32(math.log(2) ** n / math.factorial(n)) for n in range(1, 7)
)
_UNSURE = np.float32(1e-6)  # several times the error of `_exp`, of which a spike must not depend
_UNIT = np.float32(2.0**-23)


def compiled(function: Function, *kinds: int) -> Function:
    """Machine code for `function` that runs without the interpreter's lock.

    On disk it goes by its name. Where that stands for several, of each kind one, `kinds` goes into
    it: processes that write one file at once may leave the one's code under the other's key.
    """
    if kinds:
        function.__qualname__ = "_".join([function.__name__, *map(str, map(int, kinds))])
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    compile: Any = numba.njit
    try:
        out: Function = compile(cache=True, **options)(function)
    except RuntimeError:  # no folder that numba may write to
        out = compile(**options)(function)
    return out


@compiled
def _exp(x: Any) -> Any:
    """`exp(x)` to (2 + |x|) 1e-7 of itself, in operations that vectorise."""
    x = min(max(x, -_LARGEST), _LARGEST) * _LOG2_E
    n = (x + _ROUND) - _ROUND
    f = x - n
    series = _ONE + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    return series * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def uniform(key: Any, start: Any, m: Any, out: Any, to: Any) -> None:
    """`out[to : to + m]`, numbers `start`, ... of the stream of `key`, as in `vdib.noise`."""
    counter = key + start * _GOLDEN
    for j in range(m):
        counter += _GOLDEN
        z = counter
        z = (z ^ (z >> _30)) * _MIX_1
        z = (z ^ (z >> _27)) * _MIX_2
        z = z ^ (z >> _31)
        out[to + j] = (np.float32(np.int32(z >> _41)) + _HALF) * _UNIT


@compiled
def _slope(kind: Any, p: Any, q: Any, v: Any, fired: Any) -> Any:
    """`ds/dv` as in `vdib.dynamics.surrogate` and `vdib.estimator`."""
    if kind == BOXCAR:
        return q if abs(v) <= p else _ZERO
    if kind == SIGMOID:
        e = _exp(-abs(p * v))
        return p * e / ((_ONE + e) * (_ONE + e))
    if kind == ARCTAN:
        z = p * v
        return q / (_ONE + z * z)
    if kind == FAST_SIGMOID:
        d = _ONE + p * abs(v)
        return _ONE / (d * d)
    if kind == GAUSSIAN:
        z = v / p
        return q * _exp(-_HALF * z * z)
    if kind == ESCAPE:
        return p * _exp(-q * abs(v))
    if kind == BY_CHANCE:
        e = _exp(-abs(v))
        return e / ((_ONE + e) * (_ONE + e))
    if kind == SOFT:
        return fired * (_ONE - fired) / p
    return _ZERO


@compiled
def draw(first: Any, last: Any, keys: Any, start: Any, out: Any) -> None:
    """Rows `first` to `last` of `out`, `(B, T N)`, of the streams of `keys`, `(B,)`."""
    for b in range(first, last):
        uniform(keys[b], start, np.uint64(out.shape[1]), out[b], np.uint64(0))


@compiled
def _expect(x: Any, r: Any, start: Any, m: Any) -> None:
    """Have row `r` of `x` fetched, from `start` on; where there is none, something."""
    begin, j = np.uint64(r) * np.uint64(x.shape[1]) + start, np.uint64(0)
    while j < m:
        prefetch(x, begin + j)
        j += line(x)


@compiled
def _add(
    weight: Any, row: Any, n: Any, end: Any, x: Any, start: Any, m: Any, state: Any, to: Any
) -> None:
    """To row `to` of the state `weight[i]` times row `row[i]` of `x`, one after the other.

    For `n <= i < end`, and of each row what begins at `start`.
    """
    while n + 4 <= end:  # one trip for four
        w0, w1, w2, w3 = weight[n], weight[n + 1], weight[n + 2], weight[n + 3]
        r0, r1, r2, r3 = row[n], row[n + 1], row[n + 2], row[n + 3]
        for j in range(m):
            i = start + j
            two = (state[to + j] + w0 * wide(x[r0, i])) + w1 * wide(x[r1, i])
            state[to + j] = (two + w2 * wide(x[r2, i])) + w3 * wide(x[r3, i])
        n += 4
    while n < end:
        w0, r0 = weight[n], row[n]
        for j in range(m):
            state[to + j] += w0 * wide(x[r0, start + j])
        n += 1


@lru_cache
def forward(filter_kind: int, feedback_kind: int, fire_kind: int, noise_kind: int) -> Any:
    """The kernel that fills `spikes` and `v` for such a layer."""

    def forward(
        first: Any,
        last: Any,
        num_steps: Any,
        num_kernels: Any,
        currents: Any,  # B T K, N
        decays: Any,  # membrane, synapse, and the scale of their cascade
        tap_lag: Any,
        tap_kernel: Any,
        tap_weight: Any,
        shift: Any,  # N
        steepness: Any,
        gain: Any,  # N
        nu: Any,  # L, or the decay
        temperature: Any,
        noise: Any,  # B T, N
        keys: Any,  # B
        spikes: Any,  # B T, N
        v: Any,  # B T, N
    ) -> None:
        size = v.shape[1]
        blocks = (size + BLOCK - 1) // BLOCK
        decay = nu[0] if feedback_kind == EXPONENTIAL else _ZERO
        membrane, synapse, scale = decays[0], decays[1], decays[2]
        oldest_first = nu[::-1].copy()
        row = np.empty(max(len(tap_lag), len(nu)), np.int64)
        state = np.empty(8 * ROW, np.float32)
        for item in range(first, last):
            b, start = item // blocks, np.uint64(item % blocks * BLOCK)
            m = min(np.uint64(BLOCK), np.uint64(size) - start)
            state[:] = _ZERO
            for j in range(m):
                state[SHIFT + j], state[GAIN + j] = shift[start + j], gain[start + j]
            for t in range(num_steps):
                r = b * num_steps + t
                if filter_kind != BANK:
                    _expect(currents, r + 1, start, m)
                _expect(v, r + 1, start, m)
                if fire_kind != NO_FIRE:
                    _expect(spikes, r + 1, start, m)
                if filter_kind == BANK:
                    for j in range(m):
                        state[NOW + j] = _ZERO
                    n = 0
                    while n < len(tap_lag) and tap_lag[n] <= t:
                        row[n] = (r - tap_lag[n]) * num_kernels + tap_kernel[n]
                        n += 1
                    _add(tap_weight, row, 0, n, currents, start, m, state, NOW)
                if feedback_kind == FINITE:
                    for j in range(m):
                        state[OWN + j] = _ZERO
                    for k in range(min(len(nu), t)):
                        row[len(nu) - 1 - k] = r - 1 - k
                    n = max(0, len(nu) - t)
                    _add(oldest_first, row, n, len(nu), spikes, start, m, state, OWN)
                if noise_kind == ADDRESSED:
                    uniform(keys[b], np.uint64(t) * np.uint64(size) + start, m, state, DRAWN)
                elif noise_kind == GIVEN:
                    for j in range(m):
                        state[DRAWN + j] = noise[r, start + j]
                unsure = False
                for j in range(m):
                    if filter_kind == EXPONENTIAL_PAIR:
                        c = synapse * state[CURRENT + j] + wide(currents[r, start + j])
                        p = membrane * state[POTENTIAL + j] + c
                        state[CURRENT + j] = c
                        state[POTENTIAL + j] = p
                        now = (p * scale + state[SHIFT + j]) * steepness
                    elif filter_kind == BANK:
                        now = (state[NOW + j] + state[SHIFT + j]) * steepness
                    else:
                        now = wide(currents[r, start + j])
                    if feedback_kind != NO_FEEDBACK:
                        now += state[GAIN + j] * state[OWN + j]
                    if fire_kind != BERNOULLI:
                        v[r, start + j] = narrow(now, v)
                    fired = _ZERO
                    if fire_kind == THRESHOLD:
                        fired = _ONE if now > _ZERO else _ZERO
                    elif fire_kind == CONCRETE:
                        logit = math.log(state[DRAWN + j] / (_ONE - state[DRAWN + j]))
                        fired = _ONE / (_ONE + _exp((logit - now) / temperature))
                    elif fire_kind == BERNOULLI:  # 1[noise < sigmoid(v)]
                        odds = _ONE + _exp(-now)
                        apart = _ONE - state[DRAWN + j] * odds
                        unsure |= abs(apart) < _UNSURE * odds
                        state[NOW + j] = now
                        state[FIRED + j] = _ONE if apart > _ZERO else _ZERO
                    if fire_kind in (THRESHOLD, CONCRETE):
                        state[OWN + j] = decay * state[OWN + j] - fired
                        spikes[r, start + j] = narrow(fired, spikes)
                if unsure:  # in double precision where single cannot tell
                    for j in range(m):
                        odds = _ONE + _exp(-state[NOW + j])
                        if abs(_ONE - state[DRAWN + j] * odds) < _UNSURE * odds:
                            chance = 1 / (1 + math.exp(-np.float64(state[NOW + j])))
                            late = np.float64(state[DRAWN + j]) < chance
                            state[FIRED + j] = _ONE if late else _ZERO
                if fire_kind == BERNOULLI:
                    for j in range(m):
                        v[r, start + j] = narrow(state[NOW + j], v)
                    for j in range(m):
                        state[OWN + j] = decay * state[OWN + j] - state[FIRED + j]
                        spikes[r, start + j] = narrow(state[FIRED + j], spikes)

    return compiled(forward, filter_kind, feedback_kind, fire_kind, noise_kind)


@lru_cache
def backward(
    filter_kind: int,
    feedback_kind: int,
    slope_kind: int,
    spikes_reached: bool,
    v_reached: bool,
    spikes_kept: bool,
) -> Any:
    """The kernel that fills the gradients of currents, shift and gain for such a layer.

    The adjoint of a causal filter is the same filter run backwards in time. The gain's gradient
    `sum_t dL/dv[t] (nu * s)[t - 1]` is, summed the other way round, the sum of the spikes times
    what the adjoint of their feedback says: no filter of spikes is needed for it.
    """

    def backward(
        first: Any,
        last: Any,
        num_steps: Any,
        num_kernels: Any,
        grad_spikes: Any,  # B T, N
        grad_v: Any,  # B T, N
        decays: Any,
        tap_lag: Any,  # of one kernel after the other
        tap_first: Any,  # K + 1, where the taps of each begin
        tap_weight: Any,
        steepness: Any,
        gain: Any,
        nu: Any,
        slope_p: Any,
        slope_q: Any,
        spikes: Any,  # B T, N, or not kept, where v > 0 says the same
        v: Any,  # B T, N
        grad_currents: Any,  # B T K, N
        grad_shift: Any,  # B N
        grad_gain: Any,  # B N
    ) -> None:
        size = v.shape[1]
        blocks = (size + BLOCK - 1) // BLOCK
        decay = nu[0] if feedback_kind == EXPONENTIAL else _ZERO
        kept = len(nu) + 1
        if len(tap_lag) > 0:
            kept = max(kept, tap_lag.max() + 1)
        total = np.empty((kept, ROW), np.float32)  # dL/dv of this step and some later ones
        membrane, synapse, scale = decays[0], decays[1], decays[2]
        weight = tap_weight * steepness
        row = np.empty(max(len(tap_lag), len(nu)), np.int64)
        state = np.empty(8 * ROW, np.float32)
        for item in range(first, last):
            b, start = item // blocks, np.uint64(item % blocks * BLOCK)
            m = min(np.uint64(BLOCK), np.uint64(size) - start)
            state[:] = _ZERO
            for j in range(m):
                state[GAIN + j] = gain[start + j]
            for t in range(num_steps - 1, -1, -1):
                r = b * num_steps + t
                if feedback_kind != NO_FEEDBACK:
                    _expect(v, r - 1, start, m)
                if v_reached:
                    _expect(grad_v, r - 1, start, m)
                if spikes_reached:
                    _expect(grad_spikes, r - 1, start, m)
                if spikes_kept:
                    _expect(spikes, r - 1, start, m)
                if filter_kind != BANK:
                    _expect(grad_currents, r - 1, start, m)
                if feedback_kind == FINITE:
                    for j in range(m):
                        state[OWN + j] = _ZERO
                    n = min(len(nu), num_steps - 1 - t)
                    for k in range(n):
                        row[k] = (t + 1 + k) % kept
                    _add(nu, row, 0, n, total, np.uint64(0), m, state, OWN)
                for j in range(m):
                    by_v = wide(grad_v[r, start + j]) if v_reached else _ZERO
                    if feedback_kind != NO_FEEDBACK:
                        now, own = wide(v[r, start + j]), state[OWN + j]
                        if spikes_kept:
                            fired = wide(spikes[r, start + j])
                        else:
                            fired = _ONE if now > _ZERO else _ZERO
                        coming = wide(grad_spikes[r, start + j]) if spikes_reached else _ZERO
                        slope = _slope(slope_kind, slope_p, slope_q, now, fired)
                        by_v += slope * (coming + state[GAIN + j] * own)
                        state[BY_GAIN + j] += fired * own
                        state[OWN + j] = decay * own - by_v
                    state[BY_SHIFT + j] += by_v
                    if filter_kind == EXPONENTIAL_PAIR:
                        p = membrane * state[POTENTIAL + j] + by_v * steepness * scale
                        state[POTENTIAL + j] = p
                        state[CURRENT + j] = synapse * state[CURRENT + j] + p
                    if filter_kind != EXPONENTIAL_PAIR or feedback_kind == FINITE:
                        state[NOW + j] = by_v
                if feedback_kind == FINITE or filter_kind == BANK:
                    for j in range(m):
                        total[t % kept, j] = state[NOW + j]
                if filter_kind == BANK:
                    for k in range(num_kernels):
                        for j in range(m):
                            state[OUT + j] = _ZERO
                        begin = n = tap_first[k]
                        while n < tap_first[k + 1] and t + tap_lag[n] < num_steps:
                            row[n] = (t + tap_lag[n]) % kept
                            n += 1
                        _add(weight, row, begin, n, total, np.uint64(0), m, state, OUT)
                        for j in range(m):
                            to = r * num_kernels + k
                            grad_currents[to, start + j] = narrow(state[OUT + j], grad_currents)
                else:
                    made = CURRENT if filter_kind == EXPONENTIAL_PAIR else NOW
                    for j in range(m):  # apart, as writing to memory then waits the least
                        grad_currents[r, start + j] = narrow(state[made + j], grad_currents)
            for j in range(m):
                grad_shift[b, start + j] = state[BY_SHIFT + j] * steepness
                grad_gain[b, start + j] = state[BY_GAIN + j]

    reached = spikes_reached, v_reached, spikes_kept
    return compiled(backward, filter_kind, feedback_kind, slope_kind, *reached)
