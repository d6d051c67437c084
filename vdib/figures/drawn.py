"""Images that were drawn: all on a sheet, and some beside the spikes they were drawn from.

Shapes: `B` images, `H W` pixels, `T` steps, `N` neurons.
"""

import math

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vdib.figures.style import FAINT, INK, PURPLE, Array, same_length, to_numpy

GAP = 2
"""Pixels between images of a sheet."""


def mosaic(images: NDArray[np.floating]) -> NDArray[np.floating]:
    """Images (B, H, W) side by side, in about as many rows as columns, on white.

    >>> mosaic(np.zeros((3, 4, 4))).shape
    (10, 10)
    """
    count, height, width = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    pitch = height + GAP, width + GAP
    sheet = np.ones((rows * pitch[0] - GAP, columns * pitch[1] - GAP))
    for i, image in enumerate(images):
        top, left = (i // columns) * pitch[0], (i % columns) * pitch[1]
        sheet[top : top + height, left : left + width] = image
    return sheet


def with_spikes(images: Array, spikes: Array, titles: list[str] | None = None) -> Figure:
    """Images (B, H, W) in [0, 1], each beside its spikes (B, T, N): neurons upwards, time along."""
    pictures, codes = to_numpy(images, "B H W"), to_numpy(spikes, "B T N")
    same_length(images=pictures, spikes=codes)
    across = min(4, len(pictures))
    down = math.ceil(len(pictures) / across)
    figure = Figure((2.6 * across, 1.5 * down + 0.3), layout="constrained")
    grid = figure.subplots(down, 2 * across, squeeze=False)
    dots = ListedColormap(["white", PURPLE])
    for i in range(down * across):
        left, right = grid[i // across, 2 * (i % across) : 2 * (i % across) + 2]
        left.set_axis_off()
        if i >= len(pictures):
            right.set_axis_off()
            continue
        left.imshow(pictures[i], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        place = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
        right.imshow(codes[i].T > 0.5, cmap=dots, vmin=0, vmax=1, **place)
        right.set_xticks([])
        right.set_yticks([])
        for spine in right.spines.values():
            spine.set_color(FAINT)
        count = int((codes[i] > 0.5).sum())
        words = f"{count} spikes" if titles is None else f"{titles[i]}, {count} spikes"
        right.set_title(words, fontsize=7, color=INK)
    steps, neurons = codes.shape[1:]
    words = f"each image beside its spikes: {neurons} neurons upwards, {steps} steps to the right"
    figure.supxlabel(words, fontsize=8, color=FAINT)
    return figure
