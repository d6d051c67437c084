"""Leaky neurons in one pass over time, compiled for the CPU: forward, and backwards in time.

The equations of `vdib.dynamics.integrate_and_fire`, with additions in the same order, so that
spikes agree to the last one. Work items, blocks of neurons and how numbers are stored are those of
`layer_forward.py`; constants come per neuron.

Legend: B batch, T steps, N neurons; all arithmetic is in float32.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from vdib.backends.cpu.arithmetic import ONE, ZERO
from vdib.backends.cpu.half import narrow, wide
from vdib.backends.cpu.jit import jit
from vdib.backends.cpu.layer_state import NEURON_BLOCK, ROW, expect
from vdib.backends.cpu.slope import slope_of

BIAS, DECAY, THETA, STEEPNESS, WIDTH = (np.uint64(ROW * i) for i in range(5))
U, TAKEN = (np.uint64(ROW * i) for i in range(5, 7))  # forward
LATER, BY_BIAS, BY_DECAY, BY_V, BY_WIDTH, BY_RESET = (np.uint64(ROW * i) for i in range(5, 11))


@lru_cache
def forward(to_zero: bool) -> Any:
    """The kernel that fills `spikes` and `v`."""

    def leaky_forward(
        first: Any,
        last: Any,
        num_steps: Any,
        currents: Any,  # B T, N
        bias: Any,  # N
        decay: Any,  # N
        theta: Any,  # N
        steepness: Any,  # N
        spikes: Any,  # B T, N
        v: Any,  # B T, N
    ) -> None:
        size = v.shape[1]
        blocks = (size + NEURON_BLOCK - 1) // NEURON_BLOCK
        state = np.empty(7 * ROW, np.float32)
        for item in range(first, last):
            b, start = item // blocks, np.uint64(item % blocks * NEURON_BLOCK)
            m = min(np.uint64(NEURON_BLOCK), np.uint64(size) - start)
            for j in range(m):
                state[U + j] = state[TAKEN + j] = ZERO
                state[BIAS + j], state[DECAY + j] = bias[start + j], decay[start + j]
                state[THETA + j], state[STEEPNESS + j] = theta[start + j], steepness[start + j]
            for t in range(num_steps):
                r = b * num_steps + t
                expect(currents, r + 1, start, m)
                expect(v, r + 1, start, m)
                expect(spikes, r + 1, start, m)
                for j in range(m):
                    current = wide(currents[r, start + j]) + state[BIAS + j]
                    u = state[DECAY + j] * state[U + j] + current
                    if not to_zero:
                        u -= state[TAKEN + j]
                    now = (u - state[THETA + j]) * state[STEEPNESS + j]
                    fires = now > ZERO
                    if to_zero:
                        state[U + j] = ZERO if fires else u
                    else:
                        state[U + j] = u
                        state[TAKEN + j] = state[THETA + j] if fires else ZERO
                    v[r, start + j] = narrow(now, v)
                    spikes[r, start + j] = narrow(ONE if fires else ZERO, spikes)

    return jit(leaky_forward, to_zero)


@lru_cache
def backward(
    to_zero: bool,
    detached: bool,
    slope_kind: int,
    spikes_reached: bool,
    v_reached: bool,
    learned: bool,
) -> Any:
    """The kernel that fills the gradients of currents and bias, and of constants if `learned`."""

    def leaky_backward(
        first: Any,
        last: Any,
        num_steps: Any,
        grad_spikes: Any,  # B T, N
        grad_v: Any,  # B T, N
        decay: Any,  # N
        theta: Any,  # N
        width: Any,  # N
        steepness: Any,  # N
        slope_p: Any,
        slope_q: Any,
        v: Any,  # B T, N
        grad_currents: Any,  # B T, N
        sums: Any,  # B, N of bias, decay, theta and width, or of the bias only
    ) -> None:
        size = v.shape[1]
        batch = v.shape[0] // num_steps
        blocks = (size + NEURON_BLOCK - 1) // NEURON_BLOCK
        state = np.empty(11 * ROW, np.float32)
        for item in range(first, last):
            b, start = item // blocks, np.uint64(item % blocks * NEURON_BLOCK)
            m = min(np.uint64(NEURON_BLOCK), np.uint64(size) - start)
            state[:] = ZERO
            for j in range(m):
                state[DECAY + j], state[THETA + j] = decay[start + j], theta[start + j]
                state[WIDTH + j], state[STEEPNESS + j] = width[start + j], steepness[start + j]
            for t in range(num_steps - 1, -1, -1):
                r = b * num_steps + t
                expect(v, r - 1, start, m)
                expect(grad_currents, r - 1, start, m)
                if v_reached:
                    expect(grad_v, r - 1, start, m)
                if spikes_reached:
                    expect(grad_spikes, r - 1, start, m)
                for j in range(m):
                    now, later = wide(v[r, start + j]), state[LATER + j]
                    fires = now > ZERO
                    kept = state[DECAY + j] * later  # of lambda[t + 1], by the path of the leak
                    if learned or (to_zero and not detached):
                        u = now * state[WIDTH + j] + state[THETA + j]
                    coming = wide(grad_spikes[r, start + j]) if spikes_reached else ZERO
                    if not detached:
                        coming -= kept * u if to_zero else later * state[THETA + j]
                    by_v = slope_of(slope_kind, slope_p, slope_q, now, ONE if fires else ZERO)
                    by_v *= coming
                    if v_reached:
                        by_v += wide(grad_v[r, start + j])
                    if to_zero:
                        kept = ZERO if fires else kept
                    if learned:
                        if to_zero:
                            state[BY_DECAY + j] += ZERO if fires else later * u
                        else:
                            state[BY_DECAY + j] += later * u
                            state[BY_RESET + j] += later if fires else ZERO
                        state[BY_V + j] += by_v
                        state[BY_WIDTH + j] += by_v * now
                    later = by_v * state[STEEPNESS + j] + kept
                    state[BY_BIAS + j] += later
                    state[LATER + j] = later
                for j in range(m):  # apart, as writing to memory then waits the least
                    grad_currents[r, start + j] = narrow(state[LATER + j], grad_currents)
            for j in range(m):
                i = start + j
                sums[b, i] = state[BY_BIAS + j]
                if learned:
                    sums[batch + b, i] = state[BY_DECAY + j]
                    by_theta = state[BY_V + j] * state[STEEPNESS + j] + state[BY_RESET + j]
                    sums[2 * batch + b, i] = -by_theta
                    sums[3 * batch + b, i] = -state[BY_WIDTH + j] * state[STEEPNESS + j]

    return jit(leaky_backward, to_zero, detached, slope_kind, spikes_reached, v_reached, learned)
