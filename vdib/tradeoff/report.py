"""What a trade-off leaves behind: a table of its points, and one figure."""

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from vdib.figures.style import save
from vdib.figures.tradeoff import tradeoff
from vdib.files import replacing
from vdib.tradeoff.curves import Job, Plan
from vdib.tradeoff.planning import Axes

QUALITIES = {
    "judge_accuracy": "judge accuracy",
    "class_accuracy": "class accuracy",
    "symbol_accuracy": "symbol accuracy",
    "mse": "mean squared error",
    "squared_error": "mean squared error",
}
"""What is drawn beside the distortion: the first of them that was measured."""


def write(plan: Plan, summaries: Mapping[Job, Mapping[str, Any]], axes: Axes) -> list[Path]:
    """`tradeoff.csv`, one row a point, and `tradeoff.png`.

    Args:
        plan: of the runs.
        summaries: of those that have come to their end.
        axes: what is drawn.

    Returns:
        The paths of the two.
    """
    rows = plan.points(summaries, axes.cost)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    table, picture = plan.folder / "tradeoff.csv", plan.folder / "tradeoff.png"
    with replacing(table) as file:
        file.write(text.getvalue().encode())
    costs = {
        axes.bits: f"bits per {axes.unit} under the best prior",
        axes.spikes: f"spikes per {axes.unit}",
    }
    qualities = {axes.distortion: f"distortion (nats/{axes.unit})"}
    measured = [key for key in QUALITIES if all(key in row for row in rows)]
    qualities |= {key: QUALITIES[key] for key in measured[:1]}
    figure = tradeoff(rows, costs, qualities, {axes.distortion: axes.densities})
    save(figure, picture)
    return [table, picture]
