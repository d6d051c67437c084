"""Lists of spikes and what they add to weights, compiled for the CPU.

Called by `vdib.backends.event_linear` and `event_conv`. Legend: R rows (batch and time), N_in input
and N output neurons, S spikes; spikes `s` of row `r` are `offset[r] <= s < offset[r + 1]`.
"""

from typing import Any

import numpy as np

from vdib.backends.cpu.arithmetic import ONE, ZERO
from vdib.backends.cpu.half import narrow, wide
from vdib.backends.cpu.jit import jit

ROW_TILE = 512
"""Rows whose spikes are sorted together."""

OUTPUT_BLOCK = 1024
"""Output neurons that are summed together: their gradients in a tile, which are read more than
once, fit second-level caches in bfloat16, and third-level ones."""


@jit
def count(first: Any, last: Any, spikes: Any, every: Any, counts: Any) -> None:
    """Fill `counts` with the ones of rows 0, `every`, ...; -1 where there is more than 0 and 1."""
    for r in range(first, last):
        ones = others = 0
        for j in range(spikes.shape[1]):
            value = wide(spikes[r * every, j])
            ones += value == ONE
            others += (value != ONE) & (value != ZERO)
        counts[r] = ones if others == 0 else -1


@jit
def fill(first: Any, last: Any, spikes: Any, offset: Any, neuron: Any) -> None:
    """Fill `neuron` with the places of the ones of `spikes`, `(R, N_in)`."""
    found = np.empty(spikes.shape[1] + 1, np.int32)
    for r in range(first, last):
        n = 0
        for j in range(spikes.shape[1]):  # writes always and steps on at a spike: no branch
            found[n] = j
            n += wide(spikes[r, j]) == ONE
        neuron[offset[r] : offset[r + 1]] = found[:n]


@jit
def sort(
    first: Any,
    last: Any,
    offset: Any,  # R + 1
    neuron: Any,  # S
    begin: Any,  # tiles N_in + 1
    row: Any,  # S
) -> None:
    """Fill `row` with the rows of the spikes, within a tile of rows one neuron after the other.

    In tile `k` neuron `j` fires in the rows `row[s]`, `begin[k, j] <= s < begin[k, j + 1]`.
    """
    size = begin.shape[1] - 1
    for k in range(first, last):
        start, stop = k * ROW_TILE, min((k + 1) * ROW_TILE, len(offset) - 1)
        at = begin[k]
        at[:] = 0
        for s in range(offset[start], offset[stop]):
            at[neuron[s] + 1] += 1
        at[0] = offset[start]
        for j in range(size):
            at[j + 1] += at[j]
        for r in range(start, stop):
            for s in range(offset[r], offset[r + 1]):
                row[at[neuron[s]]] = r
                at[neuron[s]] += 1
        for j in range(size, 0, -1):  # each has moved to where the next one begins
            at[j] = at[j - 1]
        at[0] = offset[start]


@jit
def grad_weight(
    first: Any,
    last: Any,
    begin: Any,  # tiles N_in + 1
    row: Any,  # S
    grad: Any,  # R N
    out: Any,  # N_in N
) -> None:
    """Rows `first` to `last` of `out`: `out[j]` sums `grad` over the rows where neuron j fires."""
    size = out.shape[1]
    for start in range(0, size, OUTPUT_BLOCK):
        stop = min(start + OUTPUT_BLOCK, size)
        for k in range(len(begin)):
            for j in range(first, last):
                sums = out[j, start:stop]
                if k == 0:
                    sums[:] = ZERO
                s, end = begin[k, j], begin[k, j + 1]
                while s + 4 <= end:
                    p, q = grad[row[s], start:stop], grad[row[s + 1], start:stop]
                    u, v = grad[row[s + 2], start:stop], grad[row[s + 3], start:stop]
                    for i in range(len(sums)):
                        sums[i] += (wide(p[i]) + wide(q[i])) + (wide(u[i]) + wide(v[i]))
                    s += 4
                while s < end:
                    p = grad[row[s], start:stop]
                    for i in range(len(sums)):
                        sums[i] += wide(p[i])
                    s += 1


@jit
def _place(neuron: Any, size: Any, padding: Any) -> Any:
    """Channel, and row and column within the padded image."""
    area = size[0] * size[1]
    return neuron // area, neuron % area // size[1] + padding, neuron % size[1] + padding


@jit
def _reach(at: Any, size: Any, stride: Any, end: Any) -> Any:
    """The outputs `i` of `end` whose patch of `size`, in steps of `stride`, covers `at`."""
    return max(0, (at - size + stride) // stride), min(end, at // stride + 1)


@jit
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
    """Fill rows `first` to `last` of `out`, each with the weights around its spikes.

    A row is summed with its channels side by side, then turned.
    """
    _, channels, height, width = out.shape
    turned = np.empty((height, width, channels), np.float32)
    for r in range(first, last):
        turned[:] = ZERO
        for s in range(offset[r], offset[r + 1]):
            channel, y, x = _place(neuron[s], size, padding)
            for i in range(*_reach(y, weight.shape[1], stride, height)):
                for j in range(*_reach(x, weight.shape[2], stride, width)):
                    added, at = weight[channel, y - stride * i, x - stride * j], turned[i, j]
                    for c in range(channels):
                        at[c] += added[c]
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    out[r, c, i, j] = narrow(turned[i, j, c], out)


@jit
def convolve_grad_weight(
    first: Any,
    last: Any,
    offset: Any,  # R + 1
    neuron: Any,  # S
    size: Any,  # H, W
    grad: Any,  # R C_out H' W'
    stride: Any,
    padding: Any,
    out: Any,  # groups C_in K K C_out
) -> None:
    """Fill groups `first` to `last` of `out`: what each of as many runs of rows adds to weights."""
    rows, channels, height, width = grad.shape
    turned = np.empty((height, width, channels), np.float32)
    for group in range(first, last):
        out[group] = ZERO
        for r in range(rows * group // len(out), rows * (group + 1) // len(out)):
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
                        into = out[group, channel, y - stride * i, x - stride * j]
                        for c in range(channels):
                            into[c] += turned[i, j, c]
