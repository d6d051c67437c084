"""Which classes are taken for which."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from vdib.figures.style import to_numpy


def confusion(counts: Tensor, names: Sequence[str] = ()) -> Figure:
    """Counts of decisions (columns) by class (rows), each cell with its number.

    Args:
        counts: `(O, O)`, as `vdib.metrics.confusions` returns them.
        names: of the classes; their numbers by default.
    """
    counts_ = to_numpy(counts, "O O")
    num_classes = len(counts_)
    side = 1.5 + 0.42 * num_classes
    figure = Figure((side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts_ / counts_.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*counts_.nonzero(), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "#303030"
        axes.text(
            column,
            row,
            f"{counts_[row, column]:.0f}",
            ha="center",
            va="center",
            color=colour,
            size=8,
        )
    right = int(counts_.trace())
    axes.set(xlabel="decided", ylabel="class", xticks=range(num_classes), yticks=range(num_classes))
    if names:
        axes.set_xticklabels(names, rotation=90)
        axes.set_yticklabels(names)
    axes.set_title(f"{right:,} of {int(counts_.sum()):,} right", loc="left", fontsize=10)
    axes.spines[:].set_visible(False)
    return figure
