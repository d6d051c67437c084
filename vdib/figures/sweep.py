"""Figures of a sweep: rows of settings and results in, `matplotlib.figure.Figure` out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vdib.figures.style import BLUE, HALO, INK, PALETTE, RED, tidy

Rows = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Mapping[float, Sequence[float]]]


def bands(
    axes: Axes, curves: Curves, styles: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Mean over runs of each curve, name -> x -> values; bands of one standard deviation."""
    for i, (name, points) in enumerate(curves.items()):
        style = {"color": PALETTE[i % 10], "marker": "o", **dict((styles or {}).get(name, {}))}
        x = sorted(points)
        mean = np.array([np.mean(points[at]) for at in x])
        spread = np.array([deviation(points[at]) for at in x])
        axes.plot(x, mean, linewidth=1.8, markersize=4, label=name, **style)
        low, high = mean - spread, mean + spread
        axes.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 of a single value, which has none to show."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def compared(keys: Sequence[str], rows: Rows, measured: str) -> Figure:
    """Every combination of settings: against the number among them, or side by side.

    The key with most values, all of which are numbers, is the x axis; each combination of the
    others is a line, with bands of one standard deviation over seeds.
    """
    distinct = {key: list(dict.fromkeys(row[key] for row in rows)) for key in keys}
    numeric = [key for key in keys if len(distinct[key]) > 1 and all(map(_number, distinct[key]))]
    across = max(numeric, key=lambda key: len(distinct[key]), default=None)
    rest = [key for key in keys if key != across and len(distinct[key]) > 1]
    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    if across is None:
        groups: dict[str, list[float]] = {}
        for row in rows:
            groups.setdefault(_name(row, rest or keys), []).append(float(row[measured]))
        for i, values in enumerate(groups.values()):
            axes.plot(values, [i] * len(values), "o", color=BLUE, alpha=0.6, markersize=5)
            axes.plot(np.mean(values), i, "|", color=INK, markersize=16, markeredgewidth=2)
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set_ylim(len(groups) - 0.5, -0.5)
        tidy(axes, _words(measured))
        return figure
    curves: dict[str, dict[float, list[float]]] = {}
    for row in rows:
        line = curves.setdefault(_name(row, rest), {})
        line.setdefault(float(row[across]), []).append(float(row[measured]))
    bands(axes, curves)
    x = [float(value) for value in distinct[across]]
    _scale(axes, min(x) > 0 and max(x) / min(x) >= 50, x)
    tidy(axes, across, _words(measured))
    if rest:
        figure.legend(loc="outside right upper", frameon=False, labelcolor=INK)
    return figure


def searched(logarithmic: Mapping[str, bool], rows: Rows, measured: str) -> Figure:
    """Every run of a search, against each number that was searched; the best one stands out."""
    figure = Figure((3.4 * max(2, len(logarithmic)), 3.4), layout="constrained")
    panels = figure.subplots(1, len(logarithmic), sharey=True, squeeze=False)[0]
    y = [float(row[measured]) for row in rows]
    best = int(np.argmin(y))
    for axes, (key, log) in zip(panels, logarithmic.items(), strict=True):
        x = [float(row[key]) for row in rows]
        axes.scatter(x, y, 24, BLUE, alpha=0.7, linewidths=0)
        axes.scatter(x[best], y[best], 60, RED, marker="*", zorder=3)
        where = {"xytext": (0, 9), "textcoords": "offset points", "ha": "center"}
        axes.annotate(f"{x[best]:.3g}", (x[best], y[best]), color=RED, path_effects=HALO, **where)
        _scale(axes, log, x)
        tidy(axes, key)
    panels[0].set_ylabel(_words(measured), color=INK)
    return figure


def _scale(axes: Axes, log: bool, x: Sequence[float]) -> None:
    if log:
        axes.set_xscale("log")
    elif all(value == int(value) for value in x):
        axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))


def _number(word: Any) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _name(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    """`window full, beta 1`: without the groups the keys belong to."""
    return ", ".join(f"{key.rsplit('.', 1)[-1]} {row[key]}" for key in keys)


def _words(key: str) -> str:
    """`nats_per_step` as a label."""
    return key.replace("_per_step", "/step").replace("_", " ")
