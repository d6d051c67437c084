"""What the neurons of a block have while time passes, and what is added to it.

The state lies in one array at offsets that the compiler knows: so it sees that rows never meet, and
nothing in the loops is a view, as numba counts references to views in atomic operations. Neurons
are counted in unsigned numbers, which cannot mean "from the end".
"""

from typing import Any

import numpy as np

from vdib.backends.cpu.half import wide
from vdib.backends.cpu.jit import jit
from vdib.backends.cpu.prefetch import line, prefetch

NEURON_BLOCK = 512
"""Neurons that go through time together: their state must fit the first-level cache."""

ROW = NEURON_BLOCK + 16
"""Rows of state lie end to end, not quite 2 kB apart: then caches tell them apart."""

# OWN is the feedback of a neuron's own spikes, or its adjoint; NOW is v, or dL/dv.
CURRENT, POTENTIAL, OWN, NOW, GAIN = (np.uint64(ROW * i) for i in range(5))
SHIFT, FIRED, DRAWN = (np.uint64(ROW * i) for i in range(5, 8))  # forward
BY_SHIFT, BY_GAIN, OUT = (np.uint64(ROW * i) for i in range(5, 8))  # backward


@jit
def expect(x: Any, r: Any, start: Any, m: Any) -> None:
    """Have row `r` of `x` fetched, from `start` on; where there is none, something."""
    begin, j = np.uint64(r) * np.uint64(x.shape[1]) + start, np.uint64(0)
    while j < m:
        prefetch(x, begin + j)
        j += line(x)


@jit
def add_rows(
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
