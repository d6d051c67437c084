"""From the events of one step to the neurons that fire anew, on the sensor and in a window of it.

Legend: E events, N neurons of the sensor.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.backends.available import enabled, numba_loads

Ints = NDArray[np.int64]


def sift(
    neuron: Ints,
    step: int,
    stamp: Ints,
    sensor: tuple[int, int],
    window: tuple[int, int],
    centre: Ints,
    reach: int,
    sums: Ints,
) -> tuple[Ints, Ints]:
    """Which neurons fire for the first time in this step, and which of the window then.

    Args:
        neuron: of each event, `(E,)`, counted through (C, H, W).
        step: the number of the step.
        stamp: `(N,)`, the last step in which each neuron fired; brought up to date.
        sensor: (H, W).
        window: (h, w), rows and columns of the window.
        centre: pixels, x and y, on which its middle lies.
        reach: pixels from there, in x and y, within which a spike is near.
        sums: `(4,)`, to which are added: spikes that are near, their x and y, all spikes.

    Returns:
        Neurons of the sensor, and of the window `(C, h, w)`, each once, in order of time.
    """
    if enabled() and numba_loads():
        from vdib.backends.cpu.sift_kernel import sift as compiled

        fired, placed = np.empty((2, len(neuron)), np.int64)
        found: Any = compiled(
            neuron, step, stamp, sensor, window, centre, reach, sums, fired, placed
        )
        return fired[: found[0]], placed[: found[1]]
    return _plain(neuron, step, stamp, sensor, window, centre, reach, sums)


def _plain(
    neuron: Ints,
    step: int,
    stamp: Ints,
    sensor: tuple[int, int],
    window: tuple[int, int],
    centre: Ints,
    reach: int,
    sums: Ints,
) -> tuple[Ints, Ints]:
    fired = neuron[stamp[neuron] != step]
    fired = fired[np.sort(np.unique(fired, return_index=True)[1])]
    stamp[fired] = step
    (height, width), (rows, columns) = sensor, window
    plane, x = np.divmod(fired, width)
    channel, y = np.divmod(plane, height)
    near = np.maximum(abs(x - centre[0]), abs(y - centre[1])) <= reach
    sums += [near.sum(), x[near].sum(), y[near].sum(), len(fired)]
    x, y = x - centre[0] + columns // 2, y - centre[1] + rows // 2
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    return fired, ((channel * rows + y) * columns + x)[inside]
