"""Images beside what became of them: tensors in, `matplotlib.figure.Figure` out.

Shapes: `B` samples, `H W` pixels.
"""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from vdib.figures.style import RED, Array, same_length, to_numpy, write
from vdib.files import replacing


def save_image(image: NDArray[np.floating], path: Path) -> None:
    """Write an image (H, W) in [0, 1] as a grey PNG."""
    with replacing(path, durable=False) as file:
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(file, format="png")


def reconstructions(
    originals: Array,
    naturalised: Array,
    labels: Array | None = None,
    judged: Array | None = None,
    max_images: int = 16,
) -> Figure:
    """Originals over naturalised images, in double rows of at most ten.

    `originals` and `naturalised` are (B, H, W) with intensities in [0, 1] (dimensionless);
    `labels` and `judged`, (B,), are the true classes and the judge's classes of the naturalised
    images. Where both are given and differ, the latter is bold and red. The first `max_images`
    samples are shown.
    """
    tops, bottoms = to_numpy(originals, "B H W"), to_numpy(naturalised, "B H W")
    truth = None if labels is None else to_numpy(labels, "B").astype(int)
    judge = None if judged is None else to_numpy(judged, "B").astype(int)
    same_length(originals=tops, naturalised=bottoms, labels=truth, judged=judge)
    if tops.shape != bottoms.shape:
        raise ValueError(f"expected images of one shape, got {tops.shape} and {bottoms.shape}")

    count, (height, width) = min(len(tops), max_images), tops.shape[1:]
    rows = math.ceil(count / 10)
    columns = math.ceil(count / rows)
    gap = 2
    pitch, line = width + gap, 0.4 * height  # a line of text is 0.4 images high
    across, down = columns * pitch - gap, 2 * height + gap  # pixels of one double row
    above = -0.5 - line * (truth is not None)
    below = down - 0.5 + line * (judge is not None)
    names = {height / 2: "original", 1.5 * height + gap: "naturalised"}
    names |= {} if truth is None else {-line / 2: "class"}
    names |= {} if judge is None else {down + line / 2: "judged as"}

    inch = width / 0.72  # pixels to an inch, in which the figure and its margins are set
    text, pad, tall = 1.05, 0.08, (below - above) / inch
    size = text + across / inch + pad, rows * (tall + pad) + pad
    figure = Figure(size)
    figure.subplots_adjust(text / size[0], pad / size[1], 1 - pad / size[0], 1 - pad / size[1])
    figure.subplots_adjust(hspace=pad / tall)
    for row, axes in enumerate(figure.subplots(rows, 1, squeeze=False)[:, 0]):
        mosaic = np.full((down, across), np.nan)
        for i in range(row * columns, min((row + 1) * columns, count)):
            left = (i % columns) * pitch
            mosaic[:height, left : left + width] = tops[i]
            mosaic[height + gap :, left : left + width] = bottoms[i]
            if truth is not None:
                write(axes, left + width / 2, -line / 2, str(truth[i]))
            if judge is not None:
                wrong = truth is not None and truth[i] != judge[i]
                style = {"color": RED, "weight": "bold"} if wrong else {}
                write(axes, left + width / 2, down + line / 2, str(judge[i]), **style)
        for y, name in names.items():
            write(axes, -2 * gap, y, name, ha="right")
        axes.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_ylim(below, above)
        axes.set_axis_off()
    return figure
