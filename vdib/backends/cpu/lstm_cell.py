"""One step of spiking LSTM cells, and one step back, compiled for the CPU.

The same equations as `vdib.dynamics.lstm`, with additions in the same order, so that spikes agree
to the last one. Rows of a batch are independent: a call does those with `first <= b < last`.

Legend: B batch, T steps, N neurons; the four of a neuron, f, i, o and g, lie N apart. All
arithmetic is in float32; currents may be stored in bfloat16 (`half.py`).
"""

from functools import lru_cache
from typing import Any

import numpy as np

from vdib.backends.cpu.arithmetic import ONE, ZERO
from vdib.backends.cpu.half import wide
from vdib.backends.cpu.jit import jit
from vdib.backends.cpu.slope import slope_of


@jit
def advance(
    first: Any,
    last: Any,
    t: Any,
    num_steps: Any,
    currents: Any,  # B T, 4 N
    shift: Any,  # 4 N
    fed_back: Any,  # B, 4 N
    z: Any,  # B T, 4 N
    c: Any,  # B T, N
    h: Any,  # B T, N
) -> None:
    """Fill step `t` of the last three."""
    n = np.uint64(c.shape[1])
    for b in range(first, last):
        r = b * num_steps + t
        for j in range(np.uint64(4) * n):
            z[r, j] = (wide(currents[r, j]) + shift[j]) + fed_back[b, j]
        for j in range(n):
            f, i, o = z[r, j], z[r, n + j], z[r, n + n + j]
            g = z[r, n + n + n + j]
            before = c[r - 1, j] if t > 0 else ZERO
            kept = before if f > ZERO else ZERO
            written = ONE if (i > ZERO) & (g > ZERO) else ZERO
            now = min(kept + written, ONE)
            c[r, j] = now
            h[r, j] = now if o > ZERO else ZERO


@lru_cache
def retreat_for(gate_kind: int, candidate_kind: int) -> Any:
    """The kernel that fills a step of the gradient, for such derivatives of spikes."""

    def retreat(
        first: Any,
        last: Any,
        t: Any,
        num_steps: Any,
        z: Any,  # B T, 4 N
        c: Any,  # B T, N
        grad_h: Any,  # B T, N
        fed_back: Any,  # B, N
        gamma: Any,
        gate_p: Any,
        gate_q: Any,
        candidate_p: Any,
        candidate_q: Any,
        carried: Any,  # B, N
        grad_z: Any,  # B T, 4 N
    ) -> None:
        n = np.uint64(c.shape[1])
        for b in range(first, last):
            r = b * num_steps + t
            for j in range(n):
                zf, zi, zo = z[r, j], z[r, n + j], z[r, n + n + j]
                zg = z[r, n + n + n + j]
                before = c[r - 1, j] if t > 0 else ZERO
                f = ONE if zf > ZERO else ZERO
                i = ONE if zi > ZERO else ZERO
                o = ONE if zo > ZERO else ZERO
                g = ONE if zg > ZERO else ZERO
                dh = grad_h[r, j] + fed_back[b, j]
                ds = o * dh + carried[b, j]
                ds = gamma * ds if f * before + i * g > ONE else ds
                carried[b, j] = f * ds
                by_f, by_i, by_g = ds * before, ds * g, ds * i
                by_o = dh * c[r, j]
                grad_z[r, j] = by_f * slope_of(gate_kind, gate_p, gate_q, zf, f)
                grad_z[r, n + j] = by_i * slope_of(gate_kind, gate_p, gate_q, zi, i)
                grad_z[r, n + n + j] = by_o * slope_of(gate_kind, gate_p, gate_q, zo, o)
                by_slope = slope_of(candidate_kind, candidate_p, candidate_q, zg, g)
                grad_z[r, n + n + n + j] = by_g * by_slope

    return jit(retreat, gate_kind, candidate_kind)
