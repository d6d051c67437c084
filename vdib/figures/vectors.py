"""Real values that were decoded, over those that were meant."""

from matplotlib.figure import Figure

from vdib.figures.style import FAINT, PALETTE, Array, same_length, single_axes, tidy, to_numpy

NAMED = 10
"""Values of a vector that get a colour and a name each; of more, all have one colour."""


def scatter(decoded: Array, target: Array) -> Figure:
    """Decoded values `(B, D)` over their targets `(B, D)`; on the dashed line the two are equal.

    Raises:
        ValueError: other shapes.
    """
    y, x = to_numpy(decoded, "B D"), to_numpy(target, "B D")
    same_length(decoded=y, target=x)
    same_length(values_decoded=y.T, values=x.T)
    figure, axes = single_axes(4.6, 4.2)
    tidy(axes, "target", "decoded")
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axes.plot(ends, ends, "--", color=FAINT, linewidth=1, zorder=0)
    if x.shape[1] > NAMED:
        axes.scatter(x, y, 5, color=PALETTE[0], linewidths=0, alpha=0.4)
        return figure
    for i, colour in zip(range(x.shape[1]), PALETTE, strict=False):
        axes.scatter(x[:, i], y[:, i], 10, color=colour, linewidths=0, label=f"value {i}")
    if x.shape[1] > 1:
        figure.legend(loc="outside right upper", frameon=False)
    return figure
