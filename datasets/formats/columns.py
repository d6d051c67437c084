"""Events from named columns of numbers, as text lists and NumPy files hold them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.formats.check import MAX_TIME
from vdib.datasets.formats.source import EventChunk, Faults, Hint

_NAMES = {
    "x": ("x", "xs", "x_pos", "col"),
    "y": ("y", "ys", "y_pos", "row"),
    "t": ("t", "ts", "time", "timestamp", "timestamps", "t_us", "time_us"),
    "p": ("p", "ps", "pol", "polarity", "on"),
}
"""What columns are called; where several of a line are there, the first is taken."""


def named_columns(names: Sequence[str]) -> dict[str, int] | None:
    """Where x, y, t and p stand among the names, or None where one is not there, or there twice.

    >>> named_columns(["Timestamp", "x", "y", "polarity"])
    {'x': 1, 'y': 2, 't': 0, 'p': 3}
    """
    lower = [name.strip().strip("\"'").lower() for name in names]
    places = {}
    for field, known in _NAMES.items():
        name = next((name for name in known if name in lower), None)
        if name is None or lower.count(name) > 1:
            return None
        places[field] = lower.index(name)
    return places


def column_chunk(
    columns: dict[str, NDArray[np.generic]],
    offset: NDArray[np.int64],
    faults: Faults,
    time_scale: float,
) -> EventChunk:
    """Events from the columns x, y, t, p of N numbers; t times `time_scale` is in us.

    Polarity is 0/1 or -1/1. Numbers must be whole (t: after a scale other than 1, it is rounded).
    """
    numbers, good = {}, {}
    for field, column in columns.items():
        numbers[field], good[field] = _whole(column, time_scale if field == "t" else 1.0)
    good["p"] &= np.isin(numbers["p"], (-1, 0, 1))
    every = np.logical_and.reduce(list(good.values()))
    if not every.all():
        i = int(every.argmin())
        far = abs(float(columns["t"][i])) > MAX_TIME
        unit = (
            Hint("time_scale", "1e-3", "reads t in ns")
            if far
            else Hint("time_scale", "1e6", "reads t in seconds")
        )
        others = any(not fits[i] for field, fits in good.items() if field != "t")
        hints = [Hint("columns", "xytp", "or the like reads another order")] if others else []
        faults.bad(
            int(offset[i]),
            ", ".join(f"{field} = {columns[field][i]}" for field in "xytp"),
            "whole numbers and polarity 0/1 or -1/1",
            int(every.size - np.count_nonzero(every)),
            *([] if good["t"][i] else [unit]),
            *hints,
        )
    x, y, t, p = (numbers[field][every] for field in "xytp")
    return EventChunk(x, y, t, p == 1, offset[every])


def _whole(
    column: NDArray[np.generic], scale: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The column times `scale` as integers, and which are whole and not too large."""
    if column.dtype.kind in "iub" and scale == 1:
        whole = column.astype(np.int64)
        least = 0 if column.dtype.kind == "u" else -MAX_TIME  # beyond 63 bits negative here
        if not whole.size or (whole.min() >= least and whole.max() <= MAX_TIME):
            return whole, np.ones(whole.shape, bool)
        return whole, (whole >= least) & (whole <= MAX_TIME)
    values = column.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.rint(values * scale) if scale != 1 else values
    fits = np.abs(values) <= MAX_TIME  # up to here a float64 holds every whole number
    values = np.where(fits, values, 0)
    fits &= values == np.rint(values)
    return values.astype(np.int64), fits
