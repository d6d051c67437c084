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

from vdib.half import close, opened, read, wide
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

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_1, _27, _30, _31, _41 = (np.uint64(n) for n in (1, 27, 30, 31, 41))

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LOG2_E, _LN_2_HIGH, _LN_2_LOW = (
    np.float32(c) for c in (1.4426950408889634, 0.693359375, -2.12194440054690583e-4)
)
_ROUND = np.float32(12582912)  # 1.5 * 2^23: adding it leaves no bits below the units
_LARGEST = np.float32(87)
_C2, _C3, _C4, _C5, _C6 = (np.float32(1 / math.factorial(n)) for n in range(2, 7))
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
    """`exp(x)` to 2e-7 of itself, in operations that vectorise."""
    x = min(max(x, -_LARGEST), _LARGEST)
    n = (x * _LOG2_E + _ROUND) - _ROUND
    f = (x - n * _LN_2_HIGH) - n * _LN_2_LOW
    series = _ONE + f * (_ONE + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    return series * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def uniform(key: Any, start: Any, out: Any) -> None:
    """Numbers `start`, `start + 1`, ... of the stream of `key`, as in `vdib.noise`."""
    for j in range(len(out)):
        z = key + (np.uint64(start) + np.uint64(j) + _1) * _GOLDEN
        z = (z ^ (z >> _30)) * _MIX_1
        z = (z ^ (z >> _27)) * _MIX_2
        z = z ^ (z >> _31)
        out[j] = (np.float32(np.int32(z >> _41)) + _HALF) * _UNIT


@compiled
def _bernoulli(v: Any, noise: Any, out: Any) -> None:
    """`1[noise < sigmoid(v)]`, in double precision where single cannot tell."""
    unsure = False
    for j in range(len(v)):
        apart = _ONE / (_ONE + _exp(-v[j])) - noise[j]
        out[j] = _ONE if apart > _ZERO else _ZERO
        unsure |= abs(apart) < _UNSURE
    if unsure:
        for j in range(len(v)):
            if abs(_ONE / (_ONE + _exp(-v[j])) - noise[j]) < _UNSURE:
                p = 1 / (1 + math.exp(-np.float64(v[j])))
                out[j] = _ONE if np.float64(noise[j]) < p else _ZERO


@compiled
def _fire(kind: Any, temperature: Any, v: Any, noise: Any, out: Any) -> None:
    """Spikes of one step."""
    if kind == THRESHOLD:
        for j in range(len(v)):
            out[j] = _ONE if v[j] > _ZERO else _ZERO
    elif kind == BERNOULLI:
        _bernoulli(v, noise, out)
    else:
        for j in range(len(v)):
            logit = math.log(noise[j] / (_ONE - noise[j]))
            out[j] = _ONE / (_ONE + _exp((logit - v[j]) / temperature))


@compiled
def _slope(kind: Any, p: Any, q: Any, v: Any, spikes: Any, out: Any) -> None:
    """`ds/dv` of one step, as in `vdib.surrogate` and `vdib.estimator`."""
    if kind == BOXCAR:
        for j in range(len(v)):
            out[j] = q if abs(v[j]) <= p else _ZERO
    elif kind == SIGMOID:
        for j in range(len(v)):
            e = _exp(-abs(p * v[j]))
            out[j] = p * e / ((_ONE + e) * (_ONE + e))
    elif kind == ARCTAN:
        for j in range(len(v)):
            z = p * v[j]
            out[j] = q / (_ONE + z * z)
    elif kind == FAST_SIGMOID:
        for j in range(len(v)):
            d = _ONE + p * abs(v[j])
            out[j] = _ONE / (d * d)
    elif kind == GAUSSIAN:
        for j in range(len(v)):
            z = v[j] / p
            out[j] = q * _exp(-_HALF * z * z)
    elif kind == ESCAPE:
        for j in range(len(v)):
            out[j] = p * _exp(-q * abs(v[j]))
    elif kind == BY_CHANCE:
        for j in range(len(v)):
            e = _exp(-abs(v[j]))
            out[j] = e / ((_ONE + e) * (_ONE + e))
    elif kind == SOFT:
        for j in range(len(v)):
            out[j] = spikes[j] * (_ONE - spikes[j]) / p
    else:
        out[:] = _ZERO


@compiled
def draw(first: Any, last: Any, keys: Any, start: Any, out: Any) -> None:
    """Rows `first` to `last` of `out`, `(B, T N)`, of the streams of `keys`, `(B,)`."""
    for b in range(first, last):
        uniform(keys[b], start, out[b])


@compiled
def _add(weight: Any, x: Any, out: Any) -> None:
    """`out += weight[0] x[0] + ...`, from left to right, of four rows x."""
    p, q, r, s = weight
    for j in range(len(out)):
        first = out[j] + p * wide(x[0][j])
        out[j] = ((first + q * wide(x[1][j])) + r * wide(x[2][j])) + s * wide(x[3][j])


@compiled
def forward(
    first: Any,
    last: Any,
    currents: Any,  # B T K N
    filter_kind: Any,
    decays: Any,  # membrane, synapse, peak
    tap_lag: Any,
    tap_kernel: Any,
    tap_weight: Any,
    shift: Any,  # N
    width: Any,
    gain: Any,  # N
    feedback_kind: Any,
    nu: Any,  # L, or the decay
    fire_kind: Any,
    temperature: Any,
    noise_kind: Any,
    noise: Any,  # B T N
    keys: Any,  # B
    spikes: Any,  # B T N
    v: Any,  # B T N
) -> None:
    """Fill `spikes` and `v`."""
    num_steps, size = currents.shape[1], currents.shape[3]
    blocks = (size + BLOCK - 1) // BLOCK
    membrane, synapse, peak = decays[0], decays[1], decays[2]
    state = np.empty((6, BLOCK), np.float32)
    for item in range(first, last):
        b, start = item // blocks, item % blocks * BLOCK
        stop = min(start + BLOCK, size)
        m = stop - start
        shifts, gains = shift[start:stop], gain[start:stop]
        current, potential, own = state[0, :m], state[1, :m], state[2, :m]
        drawn, now_spare, fired_spare = state[3, :m], state[4, :m], state[5, :m]
        state[:] = _ZERO
        for t in range(num_steps):
            now = opened(v[b, t, start:stop], now_spare)
            if filter_kind == EXPONENTIAL_PAIR:
                incoming = currents[b, t, 0, start:stop]
                for j in range(m):
                    c = synapse * current[j] + wide(incoming[j])
                    p = membrane * potential[j] + c
                    current[j] = c
                    potential[j] = p
                    now[j] = (p / peak + shifts[j]) / width
            elif filter_kind == BANK:
                now[:] = _ZERO
                n = 0
                while n + 4 <= len(tap_lag) and tap_lag[n + 3] <= t:  # one trip for four taps
                    _add(
                        (tap_weight[n], tap_weight[n + 1], tap_weight[n + 2], tap_weight[n + 3]),
                        (
                            currents[b, t - tap_lag[n], tap_kernel[n], start:stop],
                            currents[b, t - tap_lag[n + 1], tap_kernel[n + 1], start:stop],
                            currents[b, t - tap_lag[n + 2], tap_kernel[n + 2], start:stop],
                            currents[b, t - tap_lag[n + 3], tap_kernel[n + 3], start:stop],
                        ),
                        now,
                    )
                    n += 4
                while n < len(tap_lag) and tap_lag[n] <= t:
                    incoming = currents[b, t - tap_lag[n], tap_kernel[n], start:stop]
                    weight = tap_weight[n]
                    for j in range(m):
                        now[j] += weight * wide(incoming[j])
                    n += 1
                for j in range(m):
                    now[j] = (now[j] + shifts[j]) / width
            else:
                incoming = currents[b, t, 0, start:stop]
                for j in range(m):
                    now[j] = wide(incoming[j])
            if fire_kind == NO_FIRE:
                close(now, v[b, t, start:stop])
                continue
            if feedback_kind == FINITE:
                own[:] = _ZERO
                for k in range(min(len(nu), t) - 1, -1, -1):  # the oldest spike first
                    before = spikes[b, t - 1 - k, start:stop]
                    weight = nu[k]
                    for j in range(m):
                        own[j] += weight * wide(before[j])
            for j in range(m):
                now[j] += gains[j] * own[j]
            fired = opened(spikes[b, t, start:stop], fired_spare)
            if noise_kind == ADDRESSED:
                uniform(keys[b], np.uint64(t * size + start), drawn)
                _fire(fire_kind, temperature, now, drawn, fired)
            elif noise_kind == GIVEN:
                _fire(fire_kind, temperature, now, noise[b, t, start:stop], fired)
            else:
                _fire(fire_kind, temperature, now, drawn, fired)
            close(now, v[b, t, start:stop])
            close(fired, spikes[b, t, start:stop])
            if feedback_kind == EXPONENTIAL:
                decay = nu[0]
                for j in range(m):
                    own[j] = decay * own[j] - fired[j]


@compiled
def backward(
    first: Any,
    last: Any,
    grad_spikes: Any,  # B T N, or empty
    grad_v: Any,  # B T N, or empty
    filter_kind: Any,
    decays: Any,
    tap_lag: Any,  # of one kernel after the other
    tap_first: Any,  # K + 1, where the taps of each begin
    tap_weight: Any,
    width: Any,
    gain: Any,
    feedback_kind: Any,
    nu: Any,
    slope_kind: Any,
    slope_p: Any,
    slope_q: Any,
    spikes: Any,  # B T N, or empty where v > 0 says the same
    v: Any,  # B T N
    grad_currents: Any,  # B T K N
    grad_shift: Any,  # B N
    grad_gain: Any,  # B N
) -> None:
    """Fill the last three.

    The adjoint of a causal filter is the same filter run backwards in time. The gain's gradient
    `sum_t dL/dv[t] (nu * s)[t - 1]` is, summed the other way round, the sum of the spikes times
    what the adjoint of their feedback says: no filter of spikes is needed for it.
    """
    num_steps, size = grad_currents.shape[1], grad_currents.shape[3]
    blocks = (size + BLOCK - 1) // BLOCK
    membrane, synapse, peak = decays[0], decays[1], decays[2]
    kept = len(nu) + 1
    if len(tap_lag) > 0:
        kept = max(kept, tap_lag.max() + 1)
    total_all = np.empty((kept, BLOCK), np.float32)  # dL/dv of this step and some later ones
    state = np.empty((9, BLOCK), np.float32)
    for item in range(first, last):
        b, start = item // blocks, item % blocks * BLOCK
        stop = min(start + BLOCK, size)
        m = stop - start
        gains = gain[start:stop]
        total, current, potential = total_all[:, :m], state[0, :m], state[1, :m]
        adjoint, slope = state[2, :m], state[3, :m]
        by_shift, by_gain = state[4, :m], state[5, :m]
        at_spare, fired_spare, out_spare = state[6, :m], state[7, :m], state[8, :m]
        state[:] = _ZERO
        for t in range(num_steps - 1, -1, -1):
            at, now = read(v[b, t, start:stop], at_spare), total[t % kept]
            if grad_v.size > 0:
                upstream = grad_v[b, t, start:stop]
                for j in range(m):
                    now[j] = wide(upstream[j])
            else:
                now[:] = _ZERO
            if feedback_kind == FINITE:
                adjoint[:] = _ZERO
                for k in range(min(len(nu), num_steps - 1 - t)):
                    later = total[(t + 1 + k) % kept]
                    weight = nu[k]
                    for j in range(m):
                        adjoint[j] += weight * later[j]
            if feedback_kind != NO_FEEDBACK:
                if spikes.size > 0:
                    fired = read(spikes[b, t, start:stop], fired_spare)
                    for j in range(m):
                        by_gain[j] += fired[j] * adjoint[j]
                    _slope(slope_kind, slope_p, slope_q, at, fired, slope)
                else:
                    for j in range(m):
                        by_gain[j] += adjoint[j] if at[j] > _ZERO else _ZERO
                    _slope(slope_kind, slope_p, slope_q, at, at, slope)
                if grad_spikes.size > 0:
                    coming = grad_spikes[b, t, start:stop]
                    for j in range(m):
                        now[j] += slope[j] * (wide(coming[j]) + gains[j] * adjoint[j])
                else:
                    for j in range(m):
                        now[j] += slope[j] * (gains[j] * adjoint[j])
            if feedback_kind == EXPONENTIAL:
                decay = nu[0]
                for j in range(m):
                    adjoint[j] = decay * adjoint[j] - now[j]
            for j in range(m):
                by_shift[j] += now[j]
            if filter_kind == EXPONENTIAL_PAIR:
                out = opened(grad_currents[b, t, 0, start:stop], out_spare)
                for j in range(m):
                    p = membrane * potential[j] + now[j] / width / peak
                    c = synapse * current[j] + p
                    potential[j] = p
                    current[j] = c
                    out[j] = c
                close(out, grad_currents[b, t, 0, start:stop])
            elif filter_kind == BANK:
                for k in range(grad_currents.shape[2]):
                    out = opened(grad_currents[b, t, k, start:stop], out_spare)
                    out[:] = _ZERO
                    n, end = tap_first[k], tap_first[k + 1]
                    while n + 4 <= end and t + tap_lag[n + 3] < num_steps:
                        _add(
                            (
                                tap_weight[n] / width,
                                tap_weight[n + 1] / width,
                                tap_weight[n + 2] / width,
                                tap_weight[n + 3] / width,
                            ),
                            (
                                total[(t + tap_lag[n]) % kept],
                                total[(t + tap_lag[n + 1]) % kept],
                                total[(t + tap_lag[n + 2]) % kept],
                                total[(t + tap_lag[n + 3]) % kept],
                            ),
                            out,
                        )
                        n += 4
                    while n < end and t + tap_lag[n] < num_steps:
                        later = total[(t + tap_lag[n]) % kept]
                        weight = tap_weight[n] / width
                        for j in range(m):
                            out[j] += weight * later[j]
                        n += 1
                    close(out, grad_currents[b, t, k, start:stop])
            else:
                out = opened(grad_currents[b, t, 0, start:stop], out_spare)
                out[:] = now
                close(out, grad_currents[b, t, 0, start:stop])
        for j in range(m):
            grad_shift[b, start + j] = by_shift[j] / width
            grad_gain[b, start + j] = by_gain[j]
