"""From the events of one step to the neurons that fire anew, compiled for the CPU.

Called by `vdib.backends.sift`, which says what the arguments are.
"""

from typing import Any

from vdib.backends.cpu.jit import jit


@jit
def sift(
    neuron: Any,
    step: Any,
    stamp: Any,
    sensor: Any,
    window: Any,
    centre: Any,
    reach: Any,
    sums: Any,
    fired: Any,
    placed: Any,
) -> Any:
    """How many neurons fire anew, and how many of them lie in the window."""
    height, width = sensor
    rows, columns = window
    left, top = centre[0] - columns // 2, centre[1] - rows // 2
    count = inside = 0
    for e in range(len(neuron)):
        n = neuron[e]
        if stamp[n] == step:
            continue
        stamp[n] = step
        fired[count] = n
        count += 1
        x, plane = n % width, n // width
        y, channel = plane % height, plane // height
        sums[3] += 1
        if abs(x - centre[0]) <= reach and abs(y - centre[1]) <= reach:
            sums[0] += 1
            sums[1] += x
            sums[2] += y
        x, y = x - left, y - top
        if x >= 0 and x < columns and y >= 0 and y < rows:
            placed[inside] = (channel * rows + y) * columns + x
            inside += 1
    return count, inside
