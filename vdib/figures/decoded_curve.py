"""A curve and what is decoded of it: tensors in, `matplotlib.figure.Figure` out.

Shapes: `T` time steps, `D` values a step, `M` moments of training.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vdib.figures.style import INK, PALETTE, Array, same_length, single_axes, tidy, to_numpy

Numbers = NDArray[np.float64]


def _draw(axes: Axes, target: Numbers, mean: Numbers, deviation: Numbers | None = None) -> None:
    steps = range(len(target))
    for d in range(target.shape[1]):
        colour = PALETTE[d % len(PALETTE)]
        axes.plot(steps, target[:, d], color=INK, linewidth=1, linestyle="--")
        axes.plot(steps, mean[:, d], color=colour, linewidth=1.6)
        if deviation is not None:
            low, high = mean[:, d] - deviation[:, d], mean[:, d] + deviation[:, d]
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)


def decoded_curve(target: Array, decoded: Array, deviation: Array) -> Figure:
    """A curve (T, D), dashed, and what is decoded of it: the mean +- one standard deviation."""
    r, mean, spread = (to_numpy(part, "T D") for part in (target, decoded, deviation))
    same_length(target=r, decoded=mean, deviation=spread)
    figure, axes = single_axes(7, 3)
    tidy(axes, "time (steps)", "value", f"mean squared error {((mean - r) ** 2).mean():.4f}")
    _draw(axes, r, mean, spread)
    return figure


def curve_over_training(target: Array, decoded: Array, epochs: Sequence[int]) -> Figure:
    """The same curve (T, D), dashed, as it was decoded after each of some epochs, (M, T, D)."""
    r, means = to_numpy(target, "T D"), to_numpy(decoded, "M T D")
    same_length(decoded=means, epochs=to_numpy(epochs, "M"))
    columns = min(len(epochs), 2)
    rows = -(-len(epochs) // columns)
    figure = Figure((3.6 * columns, 1.7 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for axes, mean, epoch in zip(panels[: len(epochs)], means, epochs, strict=True):
        same_length(target=r, decoded=mean)
        error = ((mean - r) ** 2).mean()
        tidy(axes, "", "", f"epoch {epoch}: mean squared error {error:.4f}")
        _draw(axes, r, mean)
    for axes in panels[len(epochs) :]:
        axes.set_visible(False)
    figure.supxlabel("time (steps)", fontsize=10, color=INK)
    return figure
