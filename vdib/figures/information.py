"""What a code carries: bounds with their intervals, and the ceiling of those from below."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from vdib.figures.style import BLUE, FAINT, GREY, HALO, INK, PURPLE, RED, YELLOW, tidy, write

MARKERS = {"above": (RED, "<"), "below": (BLUE, ">"), "estimate": (PURPLE, "o")}


class Measured(NamedTuple):
    """One row: its name, what it bounds, the estimate and its interval."""

    name: str
    side: str
    estimate: float
    low: float
    high: float


class Panel(NamedTuple):
    """One quantity; `between` is shaded, the ceiling drawn as such."""

    title: str
    rows: Sequence[Measured]
    ceiling: float | None = None
    between: tuple[float, float] | None = None


def information(panels: Sequence[Panel], unit: str) -> Figure:
    """One panel a quantity; bounds from above point left, those from below right.

    All figures in `unit`.
    """
    heights = [len(panel.rows) + 1.5 for panel in panels]
    figure = Figure((7.5, 0.3 * sum(heights) + 0.6 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        if panel.between is not None:
            axes.axvspan(*panel.between, color=YELLOW, alpha=0.35, linewidth=0, zorder=0)
        for i, row in enumerate(panel.rows):
            colour, marker = MARKERS[row.side]
            axes.plot([row.low, row.high], [i, i], color=colour, linewidth=1.5)
            axes.plot(row.estimate, i, marker, color=colour, markersize=6)
        if panel.ceiling is not None:
            axes.axvline(panel.ceiling, color=GREY, linewidth=1.2, linestyle="--", zorder=1)
            across = axes.get_xaxis_transform()  # y as a fraction of the axes, x in data
            words = f" ceiling of N sequences, {panel.ceiling:.3g}"
            style = {"ha": "left", "color": FAINT, "fontsize": 8, "path_effects": HALO}
            write(axes, panel.ceiling, 0.06, words, transform=across, **style)
        axes.set_yticks(range(len(panel.rows)), [f"{r.name} ({r.side})" for r in panel.rows])
        axes.set_ylim(len(panel.rows) - 0.4, -0.6)
        axes.tick_params(axis="y", labelsize=8, labelcolor=INK)
        axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
        tidy(axes, title=panel.title)
    tidy(all_axes[-1], unit, title=panels[-1].title)
    return figure
