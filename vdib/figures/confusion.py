"""Which classes are taken for which."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor


def confusion(
    decided: Tensor, labels: Tensor, num_classes: int, names: Sequence[str] = ()
) -> Figure:
    """Counts of decisions (columns) by class (rows), each cell with its number.

    Args:
        decided: `(B,)` int64 classes.
        labels: `(B,)` int64, the true ones.
        num_classes: O.
        names: of the classes; their numbers by default.

    Raises:
        ValueError: not one decision for each label.
    """
    if decided.shape != labels.shape or decided.dim() != 1:
        got = f"{tuple(decided.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"got {got}, expected two equal shapes (B,)")
    pairs = torch.bincount(labels * num_classes + decided, minlength=num_classes**2)
    counts = pairs.view(num_classes, num_classes).numpy()
    side = 1.5 + 0.42 * num_classes
    figure = Figure((side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*counts.nonzero(), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "#303030"
        axes.text(column, row, counts[row, column], ha="center", va="center", color=colour, size=8)
    right = int(counts.trace())
    axes.set(xlabel="decided", ylabel="class", xticks=range(num_classes), yticks=range(num_classes))
    if names:
        axes.set_xticklabels(names, rotation=90)
        axes.set_yticklabels(names)
    axes.set_title(f"{right:,} of {len(labels):,} right", loc="left", fontsize=10)
    axes.spines[:].set_visible(False)
    return figure
