"""Curves of a trade-off: what is decoded against what it takes, with bands over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from vdib.figures.style import INK, PALETTE, tidy

Floats = NDArray[np.float64]
GRID = 200
"""Places along a band."""


def tradeoff(
    rows: Sequence[Mapping[str, Any]],
    costs: Mapping[str, str],
    qualities: Mapping[str, str],
    apart: Mapping[str, Sequence[str]],
) -> Figure:
    """Each quality against each cost; a curve goes through the means over seeds, each seed's value
    is a dot, and the band reaches from the lowest to the highest seed.

    Args:
        rows: points, with `curve`, `beta`, `seed` and what was measured.
        costs: keys of the horizontal axes, and their labels.
        qualities: keys of the vertical axes, and their labels.
        apart: of a quality, the curves in whose units it is not.
    """
    shape = len(qualities), len(costs)
    figure = Figure((4.2 * shape[1], 3.2 * shape[0]), layout="constrained")
    panels = figure.subplots(*shape, sharex="col", sharey="row", squeeze=False)
    names = list(dict.fromkeys(row["curve"] for row in rows))
    colours = dict(zip(names, PALETTE, strict=False))
    for i, (key, quality) in enumerate(qualities.items()):
        for j, (cost, label) in enumerate(costs.items()):
            axes = panels[i, j]
            every = [float(row[cost]) for row in rows]
            log = min(every) > 0 and max(every) > 10 * min(every)
            if log:
                axes.set_xscale("log")
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.xaxis.set_major_formatter("{x:g}")
                axes.xaxis.set_minor_formatter(NullFormatter())
            for name in names:
                if name not in apart.get(key, ()):
                    own = [row for row in rows if row["curve"] == name]
                    _draw(axes, own, (cost, key), name, colours[name], log)
            bottom, left = i == shape[0] - 1, j == 0
            tidy(axes, label if bottom else "", quality if left else "")
    handles = {handle.get_label(): handle for axes in panels.flat for handle in axes.get_lines()}
    shown = [handles[name] for name in names if name in handles]
    figure.legend(handles=shown, loc="outside right upper", frameon=False, labelcolor=INK)
    return figure


def _draw(
    axes: Axes,
    rows: Sequence[Mapping[str, Any]],
    keys: tuple[str, str],
    name: str,
    colour: str,
    log: bool,
) -> None:
    cost, key = keys
    betas = list(dict.fromkeys(row["beta"] for row in rows))
    means = [
        np.mean([[float(row[cost]), float(row[key])] for row in rows if row["beta"] == beta], 0)
        for beta in betas
    ]
    x, y = np.array(sorted(map(tuple, means))).T
    axes.plot(x, y, color=colour, linewidth=1.5, label=name)
    dots = [(float(row[cost]), float(row[key])) for row in rows]
    x, y = np.array(dots).T
    axes.scatter(x, y, s=12, c=colour, linewidths=0)
    grid, low, high = band(rows, cost, key, log)
    axes.fill_between(grid, low, high, color=colour, alpha=0.2, linewidth=0)


def band(
    rows: Sequence[Mapping[str, Any]], cost: str, key: str, log: bool
) -> tuple[Floats, Floats, Floats]:
    """Where all seeds' curves reach: places, and there the lowest and the highest of them.

    Between its points a curve is a straight line, of the logarithm of the cost where that is how it
    is drawn. Empty where there is one seed, or no such place.
    """
    curves = []
    for seed in dict.fromkeys(row["seed"] for row in rows):
        dots = {(float(row[cost]), float(row[key])) for row in rows if row["seed"] == seed}
        curves.append(np.array(sorted(dots)).T)
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    if len(curves) == 1 or low >= high:
        nothing = np.empty(0)
        return nothing, nothing, nothing
    grid = np.geomspace(low, high, GRID) if log else np.linspace(low, high, GRID)
    along = np.log if log else np.asarray
    values = np.array([np.interp(along(grid), along(x), y) for x, y in curves])
    return grid, values.min(0), values.max(0)
