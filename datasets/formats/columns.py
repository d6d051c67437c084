"""Events from named columns of numbers, as text lists and NumPy files hold them."""

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.formats.source import EventChunk, Faults

_NAMES = {
    "x": ("x", "xs", "x_pos", "col"),
    "y": ("y", "ys", "y_pos", "row"),
    "t": ("t", "ts", "time", "timestamp", "timestamps", "t_us", "time_us"),
    "p": ("p", "ps", "pol", "polarity", "on"),
}
_EXACT = float(1 << 53)  # up to here a float64 holds every whole number


def named_columns(names: list[str]) -> dict[str, int] | None:
    """Where x, y, t and p stand among the names, or None unless each is there once.

    >>> named_columns(["Timestamp", "x", "y", "polarity"])
    {'x': 1, 'y': 2, 't': 0, 'p': 3}
    """
    lower = [name.strip().strip("\"'").lower() for name in names]
    found = {
        field: [i for i, name in enumerate(lower) if name in known]
        for field, known in _NAMES.items()
    }
    if any(len(places) != 1 for places in found.values()):
        return None
    return {field: places[0] for field, places in found.items()}


def column_chunk(
    columns: dict[str, NDArray[np.generic]],
    offset: NDArray[np.int64],
    faults: Faults,
    time_scale: float,
) -> EventChunk:
    """Events from the columns x, y, t, p of N numbers; t times `time_scale` is in us.

    Polarity is 0/1 or -1/1. Numbers must be whole (t: after a scale other than 1, it is rounded).
    """
    numbers = {}
    good = np.ones(offset.shape, bool)
    for field, column in columns.items():
        numbers[field], fits = _whole(column, time_scale if field == "t" else 1.0)
        good &= fits
    good &= np.isin(numbers["p"], (-1, 0, 1))
    if not good.all():
        i = int(good.argmin())
        row = ", ".join(f"{field} = {columns[field][i]}" for field in "xytp")
        faults.bad(
            int(offset[i]),
            row,
            "whole numbers and polarity 0/1 or -1/1 (time_scale=1e6 for t in seconds)",
            count=int(good.size - np.count_nonzero(good)),
        )
    x, y, t, p = (numbers[field][good] for field in "xytp")
    return EventChunk(x, y, t, p == 1, offset[good])


def _whole(
    column: NDArray[np.generic], scale: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The column times `scale` as integers, and which of its numbers are whole."""
    if column.dtype.kind in "iub" and scale == 1:
        whole = column.astype(np.int64)
        # Unsigned numbers beyond 63 bits turn negative here.
        return whole, (whole >= 0) | (column.dtype.kind != "u")
    values = column.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.rint(values * scale) if scale != 1 else values
    fits = np.abs(values) <= _EXACT
    values = np.where(fits, values, 0)
    fits &= values == np.rint(values)
    return values.astype(np.int64), fits
