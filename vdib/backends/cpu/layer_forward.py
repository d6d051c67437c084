"""A layer's filter, threshold and refractoriness in one pass over time, compiled for the CPU.

The same equations as `vdib.dynamics.filters` and `vdib.dynamics.scan`, with additions in the same
order, so that spikes agree to the last one. `forward` gives the kernel for one kind of layer: what
it does not have is not in its loops, and one loop does all that a neuron does in a step. Numba
compiles each at its first call and keeps it on disk (`disk_cache.py`).

Rows of a batch and blocks of neurons are independent of each other: a call does the work items
`first <= w < last`, of which there are `B` times the number of blocks. Within one, time runs
outside and neurons inside, where they lie side by side and LLVM makes vector instructions of them.

Legend: B batch, T steps, K filters, N neurons, L lags; all arithmetic is in float32. Currents,
spikes and v may be stored in bfloat16 (`half.py`).
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from vdib.backends.cpu.arithmetic import EXP_ERROR, ONE, ZERO, exp
from vdib.backends.cpu.half import narrow, wide
from vdib.backends.cpu.jit import jit
from vdib.backends.cpu.layer_state import (
    CURRENT,
    DRAWN,
    FIRED,
    GAIN,
    NEURON_BLOCK,
    NOW,
    OWN,
    POTENTIAL,
    ROW,
    SHIFT,
    add_rows,
    expect,
)
from vdib.backends.cpu.noise import uniform
from vdib.backends.kinds import (
    ADDRESSED,
    BANK,
    BERNOULLI,
    CONCRETE,
    EXPONENTIAL,
    EXPONENTIAL_PAIR,
    FINITE,
    GIVEN,
    NO_FEEDBACK,
    NO_FIRE,
    TAPPED_PAIR,
    THRESHOLD,
)


@lru_cache
def forward(filter_kind: int, feedback_kind: int, fire_kind: int, noise_kind: int) -> Any:
    """The kernel that fills `spikes` and `v` for such a layer."""

    def forward(
        first: Any,
        last: Any,
        num_steps: Any,
        num_filters: Any,
        currents: Any,  # B T K, N
        decays: Any,  # membrane, synapse, and the scale of their cascade
        tap_lag: Any,
        tap_filter: Any,
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
        blocks = (size + NEURON_BLOCK - 1) // NEURON_BLOCK
        decay = nu[0] if feedback_kind == EXPONENTIAL else ZERO
        membrane, synapse, scale = decays[0], decays[1], decays[2]
        oldest_first = nu[::-1].copy()
        row = np.empty(max(len(tap_lag), len(nu)), np.int64)
        state = np.empty(8 * ROW, np.float32)
        for item in range(first, last):
            b, start = item // blocks, np.uint64(item % blocks * NEURON_BLOCK)
            m = min(np.uint64(NEURON_BLOCK), np.uint64(size) - start)
            state[:] = ZERO
            for j in range(m):
                state[SHIFT + j], state[GAIN + j] = shift[start + j], gain[start + j]
            for t in range(num_steps):
                r = b * num_steps + t
                if filter_kind not in (BANK, TAPPED_PAIR):
                    expect(currents, r + 1, start, m)
                expect(v, r + 1, start, m)
                if fire_kind != NO_FIRE:
                    expect(spikes, r + 1, start, m)
                if filter_kind in (BANK, TAPPED_PAIR):
                    for j in range(m):
                        state[NOW + j] = ZERO
                    n = 0
                    while n < len(tap_lag) and tap_lag[n] <= t:
                        row[n] = (r - tap_lag[n]) * num_filters + tap_filter[n]
                        n += 1
                    add_rows(tap_weight, row, 0, n, currents, start, m, state, NOW)
                if feedback_kind == FINITE:
                    for j in range(m):
                        state[OWN + j] = ZERO
                    for k in range(min(len(nu), t)):
                        row[len(nu) - 1 - k] = r - 1 - k
                    n = max(0, len(nu) - t)
                    add_rows(oldest_first, row, n, len(nu), spikes, start, m, state, OWN)
                if noise_kind == ADDRESSED:
                    uniform(keys[b], np.uint64(t) * np.uint64(size) + start, m, state, DRAWN)
                elif noise_kind == GIVEN:
                    for j in range(m):
                        state[DRAWN + j] = noise[r, start + j]
                unsure = False
                for j in range(m):
                    if filter_kind in (EXPONENTIAL_PAIR, TAPPED_PAIR):
                        if filter_kind == TAPPED_PAIR:
                            into = state[NOW + j]
                        else:
                            into = wide(currents[r, start + j])
                        c = synapse * state[CURRENT + j] + into
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
                    fired = ZERO
                    if fire_kind == THRESHOLD:
                        fired = ONE if now > ZERO else ZERO
                    elif fire_kind == CONCRETE:
                        logit = math.log(state[DRAWN + j] / (ONE - state[DRAWN + j]))
                        fired = ONE / (ONE + exp((logit - now) / temperature))
                    elif fire_kind == BERNOULLI:  # 1[noise < sigmoid(v)]
                        odds = ONE + exp(-now)
                        apart = ONE - state[DRAWN + j] * odds
                        unsure |= abs(apart) < EXP_ERROR * odds
                        state[NOW + j] = now
                        state[FIRED + j] = ONE if apart > ZERO else ZERO
                    if fire_kind in (THRESHOLD, CONCRETE):
                        state[OWN + j] = decay * state[OWN + j] - fired
                        spikes[r, start + j] = narrow(fired, spikes)
                if unsure:  # in double precision where single cannot tell
                    for j in range(m):
                        odds = ONE + exp(-state[NOW + j])
                        if abs(ONE - state[DRAWN + j] * odds) < EXP_ERROR * odds:
                            chance = 1 / (1 + math.exp(-np.float64(state[NOW + j])))
                            late = np.float64(state[DRAWN + j]) < chance
                            state[FIRED + j] = ONE if late else ZERO
                if fire_kind == BERNOULLI:
                    for j in range(m):
                        v[r, start + j] = narrow(state[NOW + j], v)
                    for j in range(m):
                        state[OWN + j] = decay * state[OWN + j] - state[FIRED + j]
                        spikes[r, start + j] = narrow(state[FIRED + j], spikes)

    return jit(forward, filter_kind, feedback_kind, fire_kind, noise_kind)
