"""A layer's filter, threshold and refractoriness in one pass over time, in Triton, for GPUs.

What `vdib.backends.cpu.layer_forward` does on CPUs, with additions in the same order, so that
spikes agree to the last one: products are not contracted with sums (`enable_fp_fusion=False`).
Checked in Triton's interpreter, and that it compiles; neither run nor measured on a GPU.

One program per row of the batch and block of neurons, a neuron to a thread; time runs inside. What
a program reads back of its own past (spikes, gradients) goes through memory, behind a barrier, as
threads may trade places between two accesses. `vdib.backends.cuda.launch` is the only caller.

Legend: B batch, T steps, K filters, N neurons, L lags; arithmetic is in float32, indices are int64.
"""

from collections.abc import Callable
from typing import Any

import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]

from vdib.backends import kinds

# Constants of this module, whose values are part of the key of Triton's cache.
ADDRESSED = tl.constexpr(kinds.ADDRESSED)
ARCTAN = tl.constexpr(kinds.ARCTAN)
BANK = tl.constexpr(kinds.BANK)
BERNOULLI = tl.constexpr(kinds.BERNOULLI)
BOXCAR = tl.constexpr(kinds.BOXCAR)
BY_CHANCE = tl.constexpr(kinds.BY_CHANCE)
ESCAPE = tl.constexpr(kinds.ESCAPE)
EXPONENTIAL = tl.constexpr(kinds.EXPONENTIAL)
EXPONENTIAL_PAIR = tl.constexpr(kinds.EXPONENTIAL_PAIR)
FAST_SIGMOID = tl.constexpr(kinds.FAST_SIGMOID)
FINITE = tl.constexpr(kinds.FINITE)
GAUSSIAN = tl.constexpr(kinds.GAUSSIAN)
GIVEN = tl.constexpr(kinds.GIVEN)
NO_FEEDBACK = tl.constexpr(kinds.NO_FEEDBACK)
NO_FIRE = tl.constexpr(kinds.NO_FIRE)
SIGMOID = tl.constexpr(kinds.SIGMOID)
SOFT = tl.constexpr(kinds.SOFT)
TAPPED_PAIR = tl.constexpr(kinds.TAPPED_PAIR)
THRESHOLD = tl.constexpr(kinds.THRESHOLD)

_GOLDEN = tl.constexpr(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = tl.constexpr(0xBF58476D1CE4E5B9), tl.constexpr(0x94D049BB133111EB)
_UNIT = tl.constexpr(2.0**-23)

jit: Callable[[Callable[..., Any]], Any] = triton.jit


@jit
def _uniform(key: tl.tensor, count: tl.tensor) -> tl.tensor:
    """Number `count`, int64, of the row of `key`, as in `vdib.noise`."""
    z = key.to(tl.uint64, bitcast=True) + (count + 1).to(tl.uint64, bitcast=True) * _GOLDEN
    z = (z ^ (z >> 30)) * _MIX_1
    z = (z ^ (z >> 27)) * _MIX_2
    z = z ^ (z >> 31)
    return ((z >> 41).to(tl.int32).to(tl.float32) + 0.5) * _UNIT


@jit
def _fire(v: tl.tensor, noise: tl.tensor, temperature: tl.tensor, KIND: tl.constexpr) -> tl.tensor:
    """Spikes of one step."""
    if KIND == THRESHOLD:
        out = tl.where(v > 0, 1.0, 0.0)
    elif KIND == BERNOULLI:
        # In double precision throughout: threads side by side gain nothing by sparing a few of it.
        p = 1 / (1 + tl.exp(-v.to(tl.float64)))
        out = tl.where(noise.to(tl.float64) < p, 1.0, 0.0)
    else:
        logit = tl.log(noise / (1 - noise))
        out = 1 / (1 + tl.exp((logit - v) / temperature))
    return out


@jit
def _slope(
    v: tl.tensor, spikes: tl.tensor, p: tl.tensor, q: tl.tensor, KIND: tl.constexpr
) -> tl.tensor:
    """`ds/dv` of one step, as in `vdib.dynamics.surrogate` and `vdib.estimator`."""
    if KIND == BOXCAR:
        out = tl.where(tl.abs(v) <= p, q, 0.0)
    elif KIND == SIGMOID:
        e = tl.exp(-tl.abs(p * v))
        out = p * e / ((1 + e) * (1 + e))
    elif KIND == ARCTAN:
        out = q / (1 + (p * v) * (p * v))
    elif KIND == FAST_SIGMOID:
        d = 1 + p * tl.abs(v)
        out = 1 / (d * d)
    elif KIND == GAUSSIAN:
        out = q * tl.exp(-0.5 * (v / p) * (v / p))
    elif KIND == ESCAPE:
        out = p * tl.exp(-q * tl.abs(v))
    elif KIND == BY_CHANCE:
        e = tl.exp(-tl.abs(v))
        out = e / ((1 + e) * (1 + e))
    elif KIND == SOFT:
        out = spikes * (1 - spikes) / p
    else:
        out = v * 0
    return out


@jit
def forward(
    num_steps: tl.tensor,
    num_filters: tl.tensor,
    size: tl.tensor,
    currents: tl.tensor,  # B T K N
    FILTER: tl.constexpr,
    decays: tl.tensor,  # membrane, synapse, and the scale of their cascade
    num_taps: tl.tensor,
    tap_lag: tl.tensor,
    tap_filter: tl.tensor,
    tap_weight: tl.tensor,
    shift: tl.tensor,  # N
    steepness: tl.tensor,
    gain: tl.tensor,  # N
    FEEDBACK: tl.constexpr,
    num_lags: tl.tensor,
    nu: tl.tensor,  # L, or the decay
    FIRE: tl.constexpr,
    temperature: tl.tensor,
    NOISE: tl.constexpr,
    noise: tl.tensor,  # B T N, or the keys, B
    spikes: tl.tensor,  # B T N
    v: tl.tensor,  # B T N
    NEURON_BLOCK: tl.constexpr,
) -> None:
    """Fill `spikes` and `v`."""
    b = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * NEURON_BLOCK + tl.arange(0, NEURON_BLOCK)
    inside = j < size
    membrane, synapse, scale = tl.load(decays), tl.load(decays + 1), tl.load(decays + 2)
    shifts = tl.load(shift + j, inside, 0.0)
    gains = tl.load(gain + j, inside, 0.0)
    if FEEDBACK == EXPONENTIAL:
        decay = tl.load(nu)
    current = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    potential = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    own = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    drawn = tl.full((NEURON_BLOCK,), 0.5, tl.float32)
    for t in range(num_steps):
        row = b * num_steps + t
        at = row * size + j
        if FILTER == BANK or FILTER == TAPPED_PAIR:  # noqa: SIM109 (Triton knows no tuples)
            now = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
            for n in range(num_taps):
                lag = tl.load(tap_lag + n)
                before = ((row - lag) * num_filters + tl.load(tap_filter + n)) * size + j
                incoming = tl.load(currents + before, inside & (lag <= t), 0.0).to(tl.float32)
                now += tl.load(tap_weight + n) * incoming
        else:
            now = tl.load(currents + at, inside, 0.0).to(tl.float32)
        if FILTER == BANK:
            now = (now + shifts) * steepness
        elif FILTER == EXPONENTIAL_PAIR or FILTER == TAPPED_PAIR:  # noqa: SIM109
            current = synapse * current + now
            potential = membrane * potential + current
            now = (potential * scale + shifts) * steepness
        if FIRE != NO_FIRE:
            if FEEDBACK == FINITE:
                own = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
                for n in range(num_lags):
                    lag = num_lags - n  # the oldest spike first
                    fired = tl.load(spikes + (at - lag * size), inside & (lag <= t), 0.0)
                    own += tl.load(nu + (lag - 1)) * fired.to(tl.float32)
            now += gains * own
            if NOISE == ADDRESSED:
                drawn = _uniform(tl.load(noise + b), at - b * num_steps * size)
            elif NOISE == GIVEN:
                drawn = tl.load(noise + at, inside, 0.5)
            fired = _fire(now, drawn, temperature, FIRE)
            tl.store(spikes + at, fired, inside)
            if FEEDBACK == FINITE:
                tl.debug_barrier()  # of these spikes, which other threads may read next
            elif FEEDBACK == EXPONENTIAL:
                own = decay * own - fired
        tl.store(v + at, now, inside)


@jit
def backward(
    num_steps: tl.tensor,
    num_filters: tl.tensor,
    size: tl.tensor,
    SPIKES_REACHED: tl.constexpr,  # by the loss
    grad_spikes: tl.tensor,  # B T N
    V_REACHED: tl.constexpr,
    grad_v: tl.tensor,  # B T N
    FILTER: tl.constexpr,
    decays: tl.tensor,
    tap_lag: tl.tensor,  # of one filter after the other
    tap_first: tl.tensor,  # K + 1, where the taps of each begin
    tap_weight: tl.tensor,
    steepness: tl.tensor,
    gain: tl.tensor,
    FEEDBACK: tl.constexpr,
    num_lags: tl.tensor,
    nu: tl.tensor,
    SLOPE: tl.constexpr,
    slope_p: tl.tensor,
    slope_q: tl.tensor,
    SPIKES_KEPT: tl.constexpr,  # where v > 0 does not say the same
    spikes: tl.tensor,  # B T N
    v: tl.tensor,  # B T N
    total: tl.tensor,  # B T N, for dL/dv where it is read again
    tapped: tl.tensor,  # B T N, for what a tapped pair made of it
    grad_currents: tl.tensor,  # B T K N
    grad_shift: tl.tensor,  # B N
    grad_gain: tl.tensor,  # B N
    NEURON_BLOCK: tl.constexpr,
) -> None:
    """Fill the three gradients, and `total` on the way; as `backward` does on CPUs."""
    b = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * NEURON_BLOCK + tl.arange(0, NEURON_BLOCK)
    inside = j < size
    membrane, synapse, scale = tl.load(decays), tl.load(decays + 1), tl.load(decays + 2)
    gains = tl.load(gain + j, inside, 0.0)
    if FEEDBACK == EXPONENTIAL:
        decay = tl.load(nu)
    current = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    potential = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    adjoint = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    by_shift = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    by_gain = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    for steps_after in range(num_steps):
        row = b * num_steps + (num_steps - 1 - steps_after)
        at = row * size + j
        now = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
        if V_REACHED:
            now = tl.load(grad_v + at, inside, 0.0).to(tl.float32)
        if FEEDBACK == FINITE:
            adjoint = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
            for k in range(num_lags):
                later = inside & (k < steps_after)
                adjoint += tl.load(nu + k) * tl.load(total + (at + (1 + k) * size), later, 0.0)
        if FEEDBACK != NO_FEEDBACK:
            distance = tl.load(v + at, inside, 0.0).to(tl.float32)
            if SPIKES_KEPT:
                fired = tl.load(spikes + at, inside, 0.0).to(tl.float32)
            else:
                fired = tl.where(distance > 0, 1.0, 0.0)
            by_gain += fired * adjoint
            upstream = gains * adjoint
            if SPIKES_REACHED:
                upstream += tl.load(grad_spikes + at, inside, 0.0).to(tl.float32)
            now += _slope(distance, fired, slope_p, slope_q, SLOPE) * upstream
            if FEEDBACK == EXPONENTIAL:
                adjoint = decay * adjoint - now
        by_shift += now
        if FEEDBACK == FINITE or FILTER == BANK:
            tl.store(total + at, now, inside)
            tl.debug_barrier()
        read, steep = total, steepness  # by taps
        if FILTER == EXPONENTIAL_PAIR or FILTER == TAPPED_PAIR:  # noqa: SIM109
            potential = membrane * potential + now * steepness * scale
            current = synapse * current + potential
        if FILTER == TAPPED_PAIR:
            read, steep = tapped, 1.0
            tl.store(tapped + at, current, inside)
            tl.debug_barrier()
        if FILTER == BANK or FILTER == TAPPED_PAIR:  # noqa: SIM109 (Triton knows no tuples)
            for k in range(num_filters):
                out = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
                for n in range(tl.load(tap_first + k), tl.load(tap_first + k + 1)):
                    lag = tl.load(tap_lag + n)
                    later = tl.load(read + (at + lag * size), inside & (lag <= steps_after), 0.0)
                    out += tl.load(tap_weight + n) * steep * later
                tl.store(grad_currents + ((row * num_filters + k) * size + j), out, inside)
        elif FILTER == EXPONENTIAL_PAIR:
            tl.store(grad_currents + at, current, inside)
        else:
            tl.store(grad_currents + at, now, inside)
    tl.store(grad_shift + (b * size + j), by_shift * steepness, inside)
    tl.store(grad_gain + (b * size + j), by_gain, inside)


@jit
def one(out: tl.tensor) -> None:
    """Write a 1, to see whether anything runs."""
    tl.store(out, 1.0)
