"""Lists of spikes and what they add to weights, compiled for the CPU.

Called by `vdib.events` and `vdib.event_conv`. Legend: R rows (batch and time), N_in input and N
output neurons, S spikes; spikes `s` of row `r` are `offset[r] <= s < offset[r + 1]`.
"""

from typing import Any

import numpy as np

from vdib.half import wide
from vdib.kernels import compiled

BLOCK = 64
"""Output neurons of a block of gradients: with 1,352 inputs, 350 kB of the second-level cache."""

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def count(first: Any, last: Any, spikes: Any, counts: Any) -> None:
    """Fill `counts`, `(R,)`, with the ones of each row; -1 where there is anything but 0 and 1."""
    for r in range(first, last):
        ones = others = 0
        for j in range(spikes.shape[1]):
            value = wide(spikes[r, j])
            ones += value == _ONE
            others += (value != _ONE) & (value != _ZERO)
        counts[r] = ones if others == 0 else -1


@compiled
def fill(first: Any, last: Any, spikes: Any, offset: Any, neuron: Any) -> None:
    """Fill `neuron` with the places of the ones of `spikes`, `(R, N_in)`."""
    found = np.empty(spikes.shape[1] + 1, np.int32)
    for r in range(first, last):
        n = 0
        for j in range(spikes.shape[1]):  # writes always and steps on at a spike: no branch
            found[n] = j
            n += wide(spikes[r, j]) == _ONE
        neuron[offset[r] : offset[r + 1]] = found[:n]


@compiled
def grad_weight(
    first: Any,
    last: Any,
    offset: Any,  # R + 1
    neuron: Any,  # S
    grad: Any,  # R N
    out: Any,  # N_in N
) -> None:
    """`out[j, i]`, the sum of `grad[r, i]` over the rows in which j fires.

    A call does the blocks `first <= w < last` of output neurons, which never meet.
    """
    size = out.shape[1]
    sums = np.empty((out.shape[0], BLOCK), np.float32)
    row = np.zeros(BLOCK, np.float32)
    for block in range(first, last):
        start = block * BLOCK
        m = min(BLOCK, size - start)
        sums[:] = _ZERO
        for r in range(len(offset) - 1):
            if offset[r] < offset[r + 1]:
                for i in range(m):
                    row[i] = wide(grad[r, start + i])
                for s in range(offset[r], offset[r + 1]):
                    at = sums[neuron[s]]
                    for i in range(BLOCK):
                        at[i] += row[i]
        out[:, start : start + m] = sums[:, :m]


@compiled
def _place(neuron: Any, size: Any, padding: Any) -> Any:
    """Channel, and row and column within the padded image."""
    area = size[0] * size[1]
    return neuron // area, neuron % area // size[1] + padding, neuron % size[1] + padding


@compiled
def _reach(at: Any, kernel: Any, stride: Any, end: Any) -> Any:
    """The outputs `i` of `end` whose kernel, in steps of `stride`, covers `at`: first and last."""
    return max(0, (at - kernel + stride) // stride), min(end, at // stride + 1)


@compiled
def convolve(
    first: Any,
    last: Any,
    offset: Any,  # R + 1
    neuron: Any,  # S, along C_in H W
    size: Any,  # H, W
    weight: Any,  # C_in K K C_out
    stride: Any,
    padding: Any,
    out: Any,  # R C_out H' W'
) -> None:
    """Fill rows `first` to `last` of `out`, each with the kernels of its spikes.

    A row is summed with its channels side by side, then turned.
    """
    _, channels, height, width = out.shape
    turned = np.empty((height, width, channels), np.float32)
    for r in range(first, last):
        turned[:] = _ZERO
        for s in range(offset[r], offset[r + 1]):
            channel, y, x = _place(neuron[s], size, padding)
            for i in range(*_reach(y, weight.shape[1], stride, height)):
                for j in range(*_reach(x, weight.shape[2], stride, width)):
                    kernel, at = weight[channel, y - stride * i, x - stride * j], turned[i, j]
                    for c in range(channels):
                        at[c] += kernel[c]
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    out[r, c, i, j] = turned[i, j, c]


@compiled
def convolve_grad_weight(
    first: Any,
    last: Any,
    offset: Any,  # R + 1
    neuron: Any,  # S
    size: Any,  # H, W
    grad: Any,  # R C_out H' W'
    stride: Any,
    padding: Any,
    out: Any,  # parts C_in K K C_out
) -> None:
    """Fill parts `first` to `last` of `out`: what each of as many runs of rows adds to weights."""
    rows, channels, height, width = grad.shape
    turned = np.empty((height, width, channels), np.float32)
    for part in range(first, last):
        out[part] = _ZERO
        for r in range(rows * part // len(out), rows * (part + 1) // len(out)):
            if offset[r] == offset[r + 1]:
                continue
            for c in range(channels):
                for i in range(height):
                    for j in range(width):
                        turned[i, j, c] = wide(grad[r, c, i, j])
            for s in range(offset[r], offset[r + 1]):
                channel, y, x = _place(neuron[s], size, padding)
                for i in range(*_reach(y, out.shape[2], stride, height)):
                    for j in range(*_reach(x, out.shape[3], stride, width)):
                        kernel, at = (
                            out[part, channel, y - stride * i, x - stride * j],
                            turned[i, j],
                        )
                        for c in range(channels):
                            kernel[c] += at[c]
