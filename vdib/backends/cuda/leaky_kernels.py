"""Leaky neurons in one pass over time, in Triton, for GPUs: forward, and backwards in time.

What `vdib.backends.cpu.leaky_kernels` does on CPUs, with additions in the same order. One program
per row of the batch and block of neurons, as in `layer_kernels.py`; checked in Triton's
interpreter, and that it compiles; neither run nor measured on a GPU. `vdib.backends.cuda.
launch_leaky` is the only caller.

Legend: B batch, T steps, N neurons; arithmetic is in float32, indices are int64.
"""

import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]

from vdib.backends.cuda.layer_kernels import _slope as slope_of
from vdib.backends.cuda.layer_kernels import jit


@jit
def leaky_forward(
    num_steps: tl.tensor,
    size: tl.tensor,
    TO_ZERO: tl.constexpr,
    currents: tl.tensor,  # B T N
    bias: tl.tensor,  # N
    decay: tl.tensor,  # N
    theta: tl.tensor,  # N
    steepness: tl.tensor,  # N
    spikes: tl.tensor,  # B T N
    v: tl.tensor,  # B T N
    NEURON_BLOCK: tl.constexpr,
) -> None:
    """Fill `spikes` and `v`."""
    b = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * NEURON_BLOCK + tl.arange(0, NEURON_BLOCK)
    inside = j < size
    biases, decays = tl.load(bias + j, inside, 0.0), tl.load(decay + j, inside, 0.0)
    thetas, steep = tl.load(theta + j, inside, 0.0), tl.load(steepness + j, inside, 0.0)
    potential = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    taken = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    for t in range(num_steps):
        at = (b * num_steps + t) * size + j
        current = tl.load(currents + at, inside, 0.0).to(tl.float32) + biases
        potential = decays * potential + current
        if not TO_ZERO:
            potential = potential - taken
        now = (potential - thetas) * steep
        if TO_ZERO:
            potential = tl.where(now > 0, 0.0, potential)
        else:
            taken = tl.where(now > 0, thetas, 0.0)
        tl.store(spikes + at, tl.where(now > 0, 1.0, 0.0), inside)
        tl.store(v + at, now, inside)


@jit
def leaky_backward(
    num_steps: tl.tensor,
    size: tl.tensor,
    TO_ZERO: tl.constexpr,
    DETACHED: tl.constexpr,
    LEARNED: tl.constexpr,
    SPIKES_REACHED: tl.constexpr,  # by the loss
    grad_spikes: tl.tensor,  # B T N
    V_REACHED: tl.constexpr,
    grad_v: tl.tensor,  # B T N
    decay: tl.tensor,  # N
    theta: tl.tensor,  # N
    width: tl.tensor,  # N
    steepness: tl.tensor,  # N
    SLOPE: tl.constexpr,
    slope_p: tl.tensor,
    slope_q: tl.tensor,
    v: tl.tensor,  # B T N
    grad_currents: tl.tensor,  # B T N
    sums: tl.tensor,  # B N of bias, decay, theta and width, or of the bias only
    NEURON_BLOCK: tl.constexpr,
) -> None:
    """Fill the gradients of currents and bias, and of the constants if `LEARNED`."""
    b = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * NEURON_BLOCK + tl.arange(0, NEURON_BLOCK)
    inside = j < size
    decays, thetas = tl.load(decay + j, inside, 0.0), tl.load(theta + j, inside, 0.0)
    widths, steep = tl.load(width + j, inside, 0.0), tl.load(steepness + j, inside, 0.0)
    later = tl.full((NEURON_BLOCK,), 0.0, tl.float32)  # lambda[t + 1]
    by_bias = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    by_decay = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    by_theta = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    by_width = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
    for steps_after in range(num_steps):
        at = (b * num_steps + (num_steps - 1 - steps_after)) * size + j
        now = tl.load(v + at, inside, 0.0).to(tl.float32)
        fired = tl.where(now > 0, 1.0, 0.0)
        potential = now * widths + thetas
        kept = decays * later
        coming = tl.full((NEURON_BLOCK,), 0.0, tl.float32)
        if SPIKES_REACHED:
            coming = tl.load(grad_spikes + at, inside, 0.0).to(tl.float32)
        if not DETACHED:
            coming -= kept * potential if TO_ZERO else later * thetas
        by_v = slope_of(now, fired, slope_p, slope_q, SLOPE) * coming
        if V_REACHED:
            by_v = by_v + tl.load(grad_v + at, inside, 0.0).to(tl.float32)
        if LEARNED:
            if TO_ZERO:
                by_decay += tl.where(now > 0, 0.0, later * potential)
            else:
                by_decay += later * potential
                by_theta -= fired * later
            by_theta -= by_v * steep
            by_width -= by_v * now * steep
        if TO_ZERO:
            kept = tl.where(now > 0, 0.0, kept)
        later = by_v * steep + kept
        by_bias += later
        tl.store(grad_currents + at, later, inside)
    batch = tl.num_programs(0)
    tl.store(sums + (b * size + j), by_bias, inside)
    if LEARNED:
        tl.store(sums + ((batch + b) * size + j), by_decay, inside)
        tl.store(sums + ((2 * batch + b) * size + j), by_theta, inside)
        tl.store(sums + ((3 * batch + b) * size + j), by_width, inside)
