"""N-MNIST's .bin files: five bytes an event (x, y, and 1 bit of polarity with 23 bits of time, us).

Orchard, Jayawant, Cohen, Thakor, "Converting Static Image Datasets to Spiking Neuromorphic
Datasets Using Saccades", Frontiers in Neuroscience 9, 2015,
https://doi.org/10.3389/fnins.2015.00437. N-Caltech101 uses the same records: give its size.

A record at y = 240, below any of their sensors, is no event: it marks an overflow of the camera's
13-bit counter, and adds 2^13 us to all times from there on.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.formats.source import EventChunk, EventSource, Faults, records

SENSOR_SIZE = (34, 34)
_OVERFLOW_ROW = 240
_OVERFLOW_US = 1 << 13
_RECORD = np.dtype([("x", "u1"), ("y", "u1"), ("word", "u1", 3)])


def looks_like_nmnist_bin(head: bytes) -> bool:
    """Whether the first events of a file without any mark lie on the sensor and in time order."""
    record = np.frombuffer(head, _RECORD, len(head) // _RECORD.itemsize)
    t, is_mark = _times(record, 0)
    event, t = record[~is_mark], t[~is_mark]
    on_sensor = (event["x"] < SENSOR_SIZE[0]) & (event["y"] < SENSOR_SIZE[1])
    return event.size > 1 and bool(on_sensor.all() and (np.diff(t) >= 0).all())


def read_nmnist_bin(file: BinaryIO, faults: Faults) -> EventSource:
    return EventSource("N-MNIST", SENSOR_SIZE, time_bits=23, chunks=_decode(file, faults))


def _decode(file: BinaryIO, faults: Faults) -> Iterator[EventChunk]:
    marks = 0  # overflows so far
    for first, block in records(file, _RECORD, 0, faults, "events"):
        t, is_mark = _times(block, marks)
        chunk = EventChunk(
            x=block["x"].astype(np.int16),
            y=block["y"].astype(np.int16),
            t=t,
            p=block["word"][:, 0] >> 7 == 1,
            offset=first + _RECORD.itemsize * np.arange(block.size),
        )
        marks += int(np.count_nonzero(is_mark))
        yield chunk.take(~is_mark) if is_mark.any() else chunk


def _times(block: NDArray[np.void], marks: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The records' times in us after so many marks, and which of them are marks themselves."""
    is_mark = block["y"] == _OVERFLOW_ROW
    bytes_ = block["word"].astype(np.int64)
    t: NDArray[np.int64] = (bytes_ & (0x7F, 0xFF, 0xFF)) @ np.array((1 << 16, 1 << 8, 1))
    return t + _OVERFLOW_US * (marks + np.cumsum(is_mark)), is_mark
