"""A layer's filter, threshold and refractoriness in one pass over time, compiled for the CPU.

The same equations as `vdib.filters`, `vdib.scan` and their backward pass, with additions in the
same order, so that spikes agree to the last one. `vdib.numba_launch` is the only caller. Numba
compiles at the first call and keeps the result on disk.

Rows of a batch and blocks of neurons are independent of each other: a call does the work items
`first <= w < last`, of which there are `B` times the number of blocks. Within one, time runs
outside and neurons inside, where they lie side by side and LLVM makes vector instructions of them.
Nothing here may be compiled with `fastmath`: it would change which neurons spike. All of it is in
one file but for `vdib.kernel_kinds` and `vdib.half`, as numba's cache on disk only watches the file
of the function that was called.

Legend: B batch, T steps, K kernels, N neurons, L lags; all arithmetic is in float32. Currents,
spikes, v and their gradients may be stored in bfloat16 (`vdib.half`).
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from vdib.half import narrow, wide
from vdib.kernel_kinds import (
    ADDRESSED,
    ARCTAN,
    BANK,
    BERNOULLI,
    BOXCAR,
    BY_CHANCE,
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

# What a neuron has, forward and backward, in rows of one array: at offsets that the compiler knows,
# it sees that they never meet. OWN is the feedback of a neuron's own spikes, or its adjoint; NOW is
# v, or dL/dv. Neurons are counted in unsigned numbers, which cannot mean "from the end".
CURRENT, POTENTIAL, OWN, NOW, FIRED, GAIN = (np.uint64(ROW * i) for i in range(6))
DRAWN, SHIFT = (np.uint64(ROW * i) for i in range(6, 8))
V, SLOPE, COMING, BY_SHIFT, BY_GAIN, OUT = (np.uint64(ROW * i) for i in range(6, 12))

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_1, _27, _30, _31, _41 = (np.uint64(n) for n in (1, 27, 30, 31, 41))

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LOG2_E = np.float32(math.log2(math.e))
_ROUND = np.float32(12582912)  # 1.5 * 2^23: adding it leaves no bits below the units
_LARGEST = np.float32(87)
_C1, _C2, _C3, _C4, _C5, _C6 = (  # of 2^f
    np.float32(math.log(2) ** n / math.factorial(n)) for n in range(1, 7)
)
_UNSURE = np.float32(1e-6)  # several times the error of `_exp`, of which a spike must not depend
_UNIT = np.float32(2.0**-23)


def compiled(function: Function) -> Function:
    """Machine code for `function` that runs without the interpreter's lock."""
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
    for j in range(m):
        z = key + (start + j + _1) * _GOLDEN
        z = (z ^ (z >> _30)) * _MIX_1
        z = (z ^ (z >> _27)) * _MIX_2
        z = z ^ (z >> _31)
        out[to + j] = (np.float32(np.int32(z >> _41)) + _HALF) * _UNIT


@compiled
def _fire(kind: Any, temperature: Any, state: Any, m: Any) -> None:
    """Spikes of one step, in `FIRED`, of the noise in `DRAWN`."""
    if kind == THRESHOLD:
        for j in range(m):
            state[FIRED + j] = _ONE if state[NOW + j] > _ZERO else _ZERO
    elif kind == BERNOULLI:  # 1[noise < sigmoid(v)], in double precision where single cannot tell
        unsure = False
        for j in range(m):
            odds = _ONE + _exp(-state[NOW + j])
            apart = _ONE - state[DRAWN + j] * odds
            state[FIRED + j] = _ONE if apart > _ZERO else _ZERO
            unsure |= abs(apart) < _UNSURE * odds
        if unsure:
            for j in range(m):
                odds = _ONE + _exp(-state[NOW + j])
                if abs(_ONE - state[DRAWN + j] * odds) < _UNSURE * odds:
                    p = 1 / (1 + math.exp(-np.float64(state[NOW + j])))
                    state[FIRED + j] = _ONE if np.float64(state[DRAWN + j]) < p else _ZERO
    else:
        for j in range(m):
            logit = math.log(state[DRAWN + j] / (_ONE - state[DRAWN + j]))
            state[FIRED + j] = _ONE / (_ONE + _exp((logit - state[NOW + j]) / temperature))


@compiled
def _slope(kind: Any, p: Any, q: Any, state: Any, m: Any) -> None:
    """`ds/dv` of one step, in `SLOPE`, as in `vdib.surrogate` and `vdib.estimator`."""
    if kind == BOXCAR:
        for j in range(m):
            state[SLOPE + j] = q if abs(state[V + j]) <= p else _ZERO
    elif kind == SIGMOID:
        for j in range(m):
            e = _exp(-abs(p * state[V + j]))
            state[SLOPE + j] = p * e / ((_ONE + e) * (_ONE + e))
    elif kind == ARCTAN:
        for j in range(m):
            z = p * state[V + j]
            state[SLOPE + j] = q / (_ONE + z * z)
    elif kind == FAST_SIGMOID:
        for j in range(m):
            d = _ONE + p * abs(state[V + j])
            state[SLOPE + j] = _ONE / (d * d)
    elif kind == GAUSSIAN:
        for j in range(m):
            z = state[V + j] / p
            state[SLOPE + j] = q * _exp(-_HALF * z * z)
    elif kind == ESCAPE:
        for j in range(m):
            state[SLOPE + j] = p * _exp(-q * abs(state[V + j]))
    elif kind == BY_CHANCE:
        for j in range(m):
            e = _exp(-abs(state[V + j]))
            state[SLOPE + j] = e / ((_ONE + e) * (_ONE + e))
    elif kind == SOFT:
        for j in range(m):
            state[SLOPE + j] = state[FIRED + j] * (_ONE - state[FIRED + j]) / p
    else:
        for j in range(m):
            state[SLOPE + j] = _ZERO


@compiled
def draw(first: Any, last: Any, keys: Any, start: Any, out: Any) -> None:
    """Rows `first` to `last` of `out`, `(B, T N)`, of the streams of `keys`, `(B,)`."""
    for b in range(first, last):
        uniform(keys[b], start, np.uint64(out.shape[1]), out[b], np.uint64(0))


@compiled
def _add(weight: Any, x: Any, r: Any, start: Any, m: Any, state: Any, to: Any) -> None:
    """Row `to` of the state plus `weight` times row `r` of `x`, from `start` on."""
    for j in range(m):
        state[to + j] += weight * wide(x[r, start + j])


@compiled
def _add_four(weight: Any, x: Any, r: Any, start: Any, m: Any, state: Any, to: Any) -> None:
    """`_add` of four weights and rows, in their order."""
    w0, w1, w2, w3 = weight
    r0, r1, r2, r3 = r
    for j in range(m):
        i = start + j
        two = (state[to + j] + w0 * wide(x[r0, i])) + w1 * wide(x[r1, i])
        state[to + j] = (two + w2 * wide(x[r2, i])) + w3 * wide(x[r3, i])


@compiled
def forward(
    first: Any,
    last: Any,
    num_steps: Any,
    num_kernels: Any,
    currents: Any,  # B T K, N
    filter_kind: Any,
    decays: Any,  # membrane, synapse, and the scale of their cascade
    tap_lag: Any,
    tap_kernel: Any,
    tap_weight: Any,
    shift: Any,  # N
    steepness: Any,
    gain: Any,  # N
    feedback_kind: Any,
    nu: Any,  # L, or the decay
    fire_kind: Any,
    temperature: Any,
    noise_kind: Any,
    noise: Any,  # B T, N
    keys: Any,  # B
    spikes: Any,  # B T, N
    v: Any,  # B T, N
) -> None:
    """Fill `spikes` and `v`."""
    size = v.shape[1]
    blocks = (size + BLOCK - 1) // BLOCK
    decay = nu[0] if feedback_kind == EXPONENTIAL else _ZERO
    membrane, synapse, scale = decays[0], decays[1], decays[2]
    state = np.empty(8 * ROW, np.float32)
    for item in range(first, last):
        b, start = item // blocks, np.uint64(item % blocks * BLOCK)
        m = min(np.uint64(BLOCK), np.uint64(size) - start)
        state[:] = _ZERO
        for j in range(m):
            state[SHIFT + j], state[GAIN + j] = shift[start + j], gain[start + j]
        for t in range(num_steps):
            r = b * num_steps + t
            if feedback_kind == FINITE:
                for j in range(m):
                    state[OWN + j] = _ZERO
                for k in range(min(len(nu), t) - 1, -1, -1):  # the oldest spike first
                    _add(nu[k], spikes, r - 1 - k, start, m, state, OWN)
            if filter_kind == EXPONENTIAL_PAIR:
                for j in range(m):
                    c = synapse * state[CURRENT + j] + wide(currents[r, start + j])
                    p = membrane * state[POTENTIAL + j] + c
                    state[CURRENT + j] = c
                    state[POTENTIAL + j] = p
                    state[NOW + j] = (p * scale + state[SHIFT + j]) * steepness
            elif filter_kind == BANK:
                for j in range(m):
                    state[NOW + j] = _ZERO
                n = 0
                while n + 4 <= len(tap_lag) and tap_lag[n + 3] <= t:  # one trip for four taps
                    _add_four(
                        (tap_weight[n], tap_weight[n + 1], tap_weight[n + 2], tap_weight[n + 3]),
                        currents,
                        (
                            (r - tap_lag[n]) * num_kernels + tap_kernel[n],
                            (r - tap_lag[n + 1]) * num_kernels + tap_kernel[n + 1],
                            (r - tap_lag[n + 2]) * num_kernels + tap_kernel[n + 2],
                            (r - tap_lag[n + 3]) * num_kernels + tap_kernel[n + 3],
                        ),
                        start,
                        m,
                        state,
                        NOW,
                    )
                    n += 4
                while n < len(tap_lag) and tap_lag[n] <= t:
                    earlier = (r - tap_lag[n]) * num_kernels + tap_kernel[n]
                    _add(tap_weight[n], currents, earlier, start, m, state, NOW)
                    n += 1
                for j in range(m):
                    state[NOW + j] = (state[NOW + j] + state[SHIFT + j]) * steepness
            else:
                for j in range(m):
                    state[NOW + j] = wide(currents[r, start + j])
            for j in range(m):
                state[NOW + j] += state[GAIN + j] * state[OWN + j]
            for j in range(m):  # apart, as stores to memory then wait for each other the least
                v[r, start + j] = narrow(state[NOW + j], v)
            if fire_kind == NO_FIRE:
                continue
            if noise_kind == ADDRESSED:
                uniform(keys[b], np.uint64(t) * np.uint64(size) + start, m, state, DRAWN)
            elif noise_kind == GIVEN:
                for j in range(m):
                    state[DRAWN + j] = noise[r, start + j]
            _fire(fire_kind, temperature, state, m)
            for j in range(m):
                spikes[r, start + j] = narrow(state[FIRED + j], spikes)
            for j in range(m):
                state[OWN + j] = decay * state[OWN + j] - state[FIRED + j]


@compiled
def backward(
    first: Any,
    last: Any,
    num_steps: Any,
    num_kernels: Any,
    grad_spikes: Any,  # B T, N, or empty
    grad_v: Any,  # B T, N, or empty
    filter_kind: Any,
    decays: Any,
    tap_lag: Any,  # of one kernel after the other
    tap_first: Any,  # K + 1, where the taps of each begin
    tap_weight: Any,
    steepness: Any,
    gain: Any,
    feedback_kind: Any,
    nu: Any,
    slope_kind: Any,
    slope_p: Any,
    slope_q: Any,
    spikes: Any,  # B T, N, or empty where v > 0 says the same
    v: Any,  # B T, N
    grad_currents: Any,  # B T K, N
    grad_shift: Any,  # B N
    grad_gain: Any,  # B N
) -> None:
    """Fill the last three.

    The adjoint of a causal filter is the same filter run backwards in time. The gain's gradient
    `sum_t dL/dv[t] (nu * s)[t - 1]` is, summed the other way round, the sum of the spikes times
    what the adjoint of their feedback says: no filter of spikes is needed for it.
    """
    size = v.shape[1]
    blocks = (size + BLOCK - 1) // BLOCK
    decay = nu[0] if feedback_kind == EXPONENTIAL else _ZERO
    kept = len(nu) + 1
    if len(tap_lag) > 0:
        kept = max(kept, tap_lag.max() + 1)
    total = np.empty((kept, ROW), np.float32)  # dL/dv of this step and some later ones
    membrane, synapse, scale = decays[0], decays[1], decays[2]
    state = np.empty(12 * ROW, np.float32)
    for item in range(first, last):
        b, start = item // blocks, np.uint64(item % blocks * BLOCK)
        m = min(np.uint64(BLOCK), np.uint64(size) - start)
        state[:] = _ZERO
        for j in range(m):
            state[GAIN + j] = gain[start + j]
        for t in range(num_steps - 1, -1, -1):
            r = b * num_steps + t
            if grad_v.size > 0:
                for j in range(m):
                    state[NOW + j] = wide(grad_v[r, start + j])
            else:
                for j in range(m):
                    state[NOW + j] = _ZERO
            if grad_spikes.size > 0:
                for j in range(m):
                    state[COMING + j] = wide(grad_spikes[r, start + j])
            if feedback_kind == FINITE:
                for j in range(m):
                    state[OWN + j] = _ZERO
                for k in range(min(len(nu), num_steps - 1 - t)):
                    _add(nu[k], total, (t + 1 + k) % kept, np.uint64(0), m, state, OWN)
            if feedback_kind != NO_FEEDBACK:
                for j in range(m):
                    state[V + j] = wide(v[r, start + j])
                if spikes.size > 0:
                    for j in range(m):
                        state[FIRED + j] = wide(spikes[r, start + j])
                else:
                    for j in range(m):
                        state[FIRED + j] = _ONE if state[V + j] > _ZERO else _ZERO
                _slope(slope_kind, slope_p, slope_q, state, m)
            for j in range(m):
                by_spike = state[COMING + j] + state[GAIN + j] * state[OWN + j]
                by_v = state[NOW + j] + state[SLOPE + j] * by_spike
                state[BY_GAIN + j] += state[FIRED + j] * state[OWN + j]
                state[BY_SHIFT + j] += by_v
                state[OWN + j] = decay * state[OWN + j] - by_v
                state[NOW + j] = by_v
            if feedback_kind == FINITE or filter_kind == BANK:
                for j in range(m):
                    total[t % kept, j] = state[NOW + j]
            if filter_kind == EXPONENTIAL_PAIR:
                for j in range(m):
                    p = membrane * state[POTENTIAL + j] + state[NOW + j] * steepness * scale
                    state[POTENTIAL + j] = p
                    state[CURRENT + j] = synapse * state[CURRENT + j] + p
                for j in range(m):
                    grad_currents[r, start + j] = narrow(state[CURRENT + j], grad_currents)
            elif filter_kind == BANK:
                for k in range(num_kernels):
                    for j in range(m):
                        state[OUT + j] = _ZERO
                    n, end = tap_first[k], tap_first[k + 1]
                    while n + 4 <= end and t + tap_lag[n + 3] < num_steps:
                        _add_four(
                            (
                                tap_weight[n] * steepness,
                                tap_weight[n + 1] * steepness,
                                tap_weight[n + 2] * steepness,
                                tap_weight[n + 3] * steepness,
                            ),
                            total,
                            (
                                (t + tap_lag[n]) % kept,
                                (t + tap_lag[n + 1]) % kept,
                                (t + tap_lag[n + 2]) % kept,
                                (t + tap_lag[n + 3]) % kept,
                            ),
                            np.uint64(0),
                            m,
                            state,
                            OUT,
                        )
                        n += 4
                    while n < end and t + tap_lag[n] < num_steps:
                        later = (t + tap_lag[n]) % kept
                        _add(tap_weight[n] * steepness, total, later, np.uint64(0), m, state, OUT)
                        n += 1
                    for j in range(m):
                        to = r * num_kernels + k
                        grad_currents[to, start + j] = narrow(state[OUT + j], grad_currents)
            else:
                for j in range(m):
                    grad_currents[r, start + j] = narrow(state[NOW + j], grad_currents)
        for j in range(m):
            grad_shift[b, start + j] = state[BY_SHIFT + j] * steepness
            grad_gain[b, start + j] = state[BY_GAIN + j]
