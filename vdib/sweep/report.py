"""What a sweep leaves behind: a table of all its runs, and one figure."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from vdib.files import replacing
from vdib.sweep.space import Choice, Range


def write(
    folder: Path, space: Sequence[Choice | Range], trials: Sequence[Any], measured: str
) -> list[Path]:
    """`sweep.csv`, one row per run, and `sweep.png`, one figure of the summaries.

    Args:
        folder: of the sweep.
        space: what varied.
        trials: finished ones of the study.
        measured: which figure of the summaries is drawn.

    Returns:
        The paths of the two.
    """
    from vdib.figures import sweep as figures  # here, or a sweep's --help would wait for torch
    from vdib.figures.style import save

    keys = [part.key for part in space]
    rows: list[dict[str, Any]] = [
        {**{key: trial.params[key] for key in keys}, **summary}
        for trial in trials
        for summary in trial.user_attrs["summaries"]
    ]
    order = [part.values for part in space if isinstance(part, Choice)]
    if len(order) == len(keys):  # as they were asked for, rather than as they came to their end
        rows.sort(key=lambda row: [o.index(row[k]) for o, k in zip(order, keys, strict=True)])
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = folder / "sweep.csv"
    text = StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    with replacing(table) as file:
        file.write(text.getvalue().encode())
    picture = folder / "sweep.png"
    searched = [part for part in space if isinstance(part, Range)]
    if searched:
        figure = figures.searched({p.key: p.log for p in searched}, rows, measured)
    else:
        figure = figures.compared(keys, rows, measured)
    save(figure, picture)
    return [table, picture]


def numbers(summary: Mapping[str, Any]) -> str:
    """What of a summary can be compared."""
    return ", ".join(key for key, value in summary.items() if isinstance(value, (int, float)))
