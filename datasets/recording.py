"""Event-camera recordings from files of many formats, all through `read_recording`.

AEDAT 2.0, 3.1 and 4.0, Prophesee DAT, EVT 2.0 and EVT 3.0, N-MNIST's .bin, NumPy's .npy and .npz,
and text. The format is told by the file's content, not by its name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from vdib.datasets.events import Origin, Recording, joined
from vdib.datasets.formats.aedat2 import DAVIS240, DAVIS346, DVS128, LAYOUTS, AddressLayout
from vdib.datasets.formats.check import MAX_SIDE, checked
from vdib.datasets.formats.read_options import ReadOptions, possible_size
from vdib.datasets.formats.registry import recognised
from vdib.datasets.formats.source import (
    EventChunk,
    EventSource,
    Faults,
    Hint,
    NotARecordingError,
    RecordingError,
)

__all__ = [
    "DAVIS240",
    "DAVIS346",
    "DVS128",
    "LAYOUTS",
    "AddressLayout",
    "NotARecordingError",
    "Origin",
    "ReadOptions",
    "Recording",
    "RecordingError",
    "joined",
    "read_pieces",
    "read_recording",
]


_SAY_SIZE = Hint("sensor_size", "W,H", "says which sensor it was")


def read_recording(path: str | PathLike[str], **options: Any) -> Recording:
    """The whole recording in a file; `options` are the fields of `ReadOptions`.

    Raises RecordingError (a ValueError) that names file, byte, what was found and what was
    expected; OSError where the file does not open; ImportError where an extra is missing.
    Takes 13 bytes an event in the end, and about twice that on the way.
    """
    with _opened(path, ReadOptions(**options)) as (source, faults, size, chosen):
        pieces = [_compact(chunk) for chunk in _good(source, faults, size, chosen)]
        pieces.append(_compact(_NO_EVENTS))
        # Field by field, so that each field's pieces are freed before the next field is joined.
        x, y, t, p = (np.concatenate([piece.pop(0) for piece in pieces]) for _ in range(4))
        if size is None:
            if not len(t):
                raise faults.fatal(0, "no events and no sensor size", "events", _SAY_SIZE)
            size = (int(x.max()) + 1, int(y.max()) + 1)
        recording = Recording(x, y, t, p, size, Origin(str(path), source.format), faults.count)
        return _flipped(recording, chosen)


def read_pieces(
    path: str | PathLike[str], default_size: tuple[int, int] | None = None, **options: Any
) -> Iterator[Recording]:
    """The recording in pieces of some thousand events, in memory that does not grow with it.

    As `read_recording`, except that the sensor size must be known beforehand: from the options,
    from the file, or else it is `default_size`. `num_skipped` counts what was left out since the
    piece before. (Two formats are held whole all the same: .npy and .npz.)
    """
    with _opened(path, ReadOptions(**options)) as (source, faults, size, chosen):
        size = size or default_size
        if size is None:
            raise faults.fatal(0, "no sensor size", "one in the file", _SAY_SIZE)
        origin = Origin(str(path), source.format)
        for chunk in chain(_good(source, faults, size, chosen), [_NO_EVENTS]):
            skipped, faults.count = faults.count, 0
            if chunk.t.size or skipped:
                x, y, t, p = _compact(chunk)
                yield _flipped(Recording(x, y, t, p, size, origin, skipped), chosen)


_NONE = np.zeros(0, np.int64)
_NO_EVENTS = EventChunk(_NONE, _NONE, _NONE, _NONE > 0, _NONE)


@contextmanager
def _opened(
    path: str | PathLike[str], options: ReadOptions
) -> Iterator[tuple[EventSource, Faults, tuple[int, int] | None, ReadOptions]]:
    """The recognised source, where to complain, and the sensor size if it is known."""
    faults = Faults(Path(path), options.on_error != "raise")
    with faults.path.open("rb") as file:
        source = recognised(file, faults, options)
        size = options.sensor_size or source.sensor_size
        if size and not possible_size(size):
            raise faults.fatal(0, f"a sensor of {size}", f"1 to {MAX_SIDE} pixels a side")
        yield source, faults, size, options


def _good(
    source: EventSource, faults: Faults, size: tuple[int, int] | None, options: ReadOptions
) -> Iterator[EventChunk]:
    """The source's events that pass the checks, their times continued as the options say."""
    segments = options.on_error == "segments"
    return checked(source, faults, size, options.unwrap, segments)


def _compact(chunk: EventChunk) -> list[Any]:
    """x, y, t and p in the types that a Recording has."""
    x, y = chunk.x.astype(np.int16), chunk.y.astype(np.int16)
    return [x, y, chunk.t.astype(np.int64), chunk.p.astype(np.bool_)]


def _flipped(recording: Recording, options: ReadOptions) -> Recording:
    width, height = recording.sensor_size
    changes: dict[str, Any] = {}
    if options.flip_x:
        changes["x"] = (width - 1 - recording.x).astype(np.int16)
    if options.flip_y:
        changes["y"] = (height - 1 - recording.y).astype(np.int16)
    if options.flip_polarity:
        changes["p"] = ~recording.p
    return replace(recording, **changes)
