"""The backward pass of a layer: filter, threshold and refractoriness, backwards in time.

The counterpart of `layer_forward.py`, made alike, and the same equations as the backward passes of
`vdib.dynamics.filters` and `vdib.dynamics.scan`.

Legend: B batch, T steps, K filters, N neurons, L lags; all arithmetic is in float32. Spikes, v and
gradients may be stored in bfloat16 (`half.py`).
"""

from functools import lru_cache
from typing import Any

import numpy as np

from vdib.backends.cpu.arithmetic import ONE, ZERO
from vdib.backends.cpu.half import narrow, wide
from vdib.backends.cpu.jit import jit
from vdib.backends.cpu.layer_state import (
    BY_GAIN,
    BY_SHIFT,
    CURRENT,
    GAIN,
    NEURON_BLOCK,
    NOW,
    OUT,
    OWN,
    POTENTIAL,
    ROW,
    add_rows,
    expect,
)
from vdib.backends.cpu.slope import slope_of
from vdib.backends.kinds import (
    BANK,
    EXPONENTIAL,
    EXPONENTIAL_PAIR,
    FINITE,
    NO_FEEDBACK,
    TAPPED_PAIR,
)


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
        num_filters: Any,
        grad_spikes: Any,  # B T, N
        grad_v: Any,  # B T, N
        decays: Any,
        tap_lag: Any,  # of one filter after the other
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
        blocks = (size + NEURON_BLOCK - 1) // NEURON_BLOCK
        decay = nu[0] if feedback_kind == EXPONENTIAL else ZERO
        kept = len(nu) + 1
        if len(tap_lag) > 0:
            kept = max(kept, tap_lag.max() + 1)
        total = np.empty((kept, ROW), np.float32)  # dL/dv of this step and some later ones
        membrane, synapse, scale = decays[0], decays[1], decays[2]
        # Gradients that taps read: dL/dv, or what a pair made of it.
        tapped = np.empty_like(total) if filter_kind == TAPPED_PAIR else total
        weight = tap_weight if filter_kind == TAPPED_PAIR else tap_weight * steepness
        row = np.empty(max(len(tap_lag), len(nu)), np.int64)
        state = np.empty(8 * ROW, np.float32)
        for item in range(first, last):
            b, start = item // blocks, np.uint64(item % blocks * NEURON_BLOCK)
            m = min(np.uint64(NEURON_BLOCK), np.uint64(size) - start)
            state[:] = ZERO
            for j in range(m):
                state[GAIN + j] = gain[start + j]
            for t in range(num_steps - 1, -1, -1):
                r = b * num_steps + t
                if feedback_kind != NO_FEEDBACK:
                    expect(v, r - 1, start, m)
                if v_reached:
                    expect(grad_v, r - 1, start, m)
                if spikes_reached:
                    expect(grad_spikes, r - 1, start, m)
                if spikes_kept:
                    expect(spikes, r - 1, start, m)
                if filter_kind not in (BANK, TAPPED_PAIR):
                    expect(grad_currents, r - 1, start, m)
                if feedback_kind == FINITE:
                    for j in range(m):
                        state[OWN + j] = ZERO
                    n = min(len(nu), num_steps - 1 - t)
                    for k in range(n):
                        row[k] = (t + 1 + k) % kept
                    add_rows(nu, row, 0, n, total, np.uint64(0), m, state, OWN)
                for j in range(m):
                    by_v = wide(grad_v[r, start + j]) if v_reached else ZERO
                    if feedback_kind != NO_FEEDBACK:
                        now, own = wide(v[r, start + j]), state[OWN + j]
                        if spikes_kept:
                            fired = wide(spikes[r, start + j])
                        else:
                            fired = ONE if now > ZERO else ZERO
                        coming = wide(grad_spikes[r, start + j]) if spikes_reached else ZERO
                        slope = slope_of(slope_kind, slope_p, slope_q, now, fired)
                        by_v += slope * (coming + state[GAIN + j] * own)
                        state[BY_GAIN + j] += fired * own
                        state[OWN + j] = decay * own - by_v
                    state[BY_SHIFT + j] += by_v
                    if filter_kind in (EXPONENTIAL_PAIR, TAPPED_PAIR):
                        p = membrane * state[POTENTIAL + j] + by_v * steepness * scale
                        state[POTENTIAL + j] = p
                        state[CURRENT + j] = synapse * state[CURRENT + j] + p
                    if filter_kind != EXPONENTIAL_PAIR or feedback_kind == FINITE:
                        state[NOW + j] = by_v
                if feedback_kind == FINITE or filter_kind == BANK:
                    for j in range(m):
                        total[t % kept, j] = state[NOW + j]
                if filter_kind == TAPPED_PAIR:
                    for j in range(m):
                        tapped[t % kept, j] = state[CURRENT + j]
                if filter_kind in (BANK, TAPPED_PAIR):
                    for k in range(num_filters):
                        for j in range(m):
                            state[OUT + j] = ZERO
                        begin = n = tap_first[k]
                        while n < tap_first[k + 1] and t + tap_lag[n] < num_steps:
                            row[n] = (t + tap_lag[n]) % kept
                            n += 1
                        add_rows(weight, row, begin, n, tapped, np.uint64(0), m, state, OUT)
                        for j in range(m):
                            to = r * num_filters + k
                            grad_currents[to, start + j] = narrow(state[OUT + j], grad_currents)
                else:
                    made = CURRENT if filter_kind == EXPONENTIAL_PAIR else NOW
                    for j in range(m):  # apart, as writing to memory then waits the least
                        grad_currents[r, start + j] = narrow(state[made + j], grad_currents)
            for j in range(m):
                grad_shift[b, start + j] = state[BY_SHIFT + j] * steepness
                grad_gain[b, start + j] = state[BY_GAIN + j]

    reached = spikes_reached, v_reached, spikes_kept
    return jit(backward, filter_kind, feedback_kind, slope_kind, *reached)
