"""Whether the probabilities of decisions are how often they are right."""

from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from vdib.figures.style import BLUE, FAINT, INK, single_axes, tidy, to_numpy
from vdib.metrics import calibration_error


def calibration(bins: Tensor) -> Figure:
    """The reliability diagram: accuracy over confidence, in bins of confidence.

    On the diagonal decisions are as often right as their probability says. Below each point, how
    many decisions it stands for.

    Args:
        bins: `(M, 3)`, as `vdib.metrics.reliability` returns them.

    Raises:
        ValueError: no decisions.
    """
    count, confidence, right = to_numpy(bins, "M 3").T
    if not count.sum():
        raise ValueError("got no decisions, expected at least 1")
    some = count > 0
    figure, axes = single_axes(4.2, 4.2)
    tidy(axes, "probability of the decision", "share of right decisions")
    axes.plot([0, 1], [0, 1], "--", color=FAINT, linewidth=1, zorder=0)
    x, y = confidence[some] / count[some], right[some] / count[some]
    axes.plot(x, y, "o-", color=BLUE, linewidth=1.2, markersize=5)
    for where, level, many in zip(x, y, count[some], strict=True):
        style: dict[str, Any] = {"ha": "center", "va": "top", "color": INK, "fontsize": 7}
        style |= {"xytext": (0, -6), "textcoords": "offset points"}
        axes.annotate(f"{many:.0f}", (where, level), **style)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    error = calibration_error(bins)
    axes.set_title(f"expected calibration error {error:.3f}", loc="left", fontsize=10, color=INK)
    return figure
