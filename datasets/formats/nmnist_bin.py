"""N-MNIST's .bin files: five bytes an event (x, y, and 1 bit of polarity with 23 bits of time, us).

Orchard, Jayawant, Cohen, Thakor, "Converting Static Image Datasets to Spiking Neuromorphic
Datasets Using Saccades", Frontiers in Neuroscience 9, 2015,
https://doi.org/10.3389/fnins.2015.00437. N-Caltech101 uses the same records: give its size.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.formats.source import EventChunk, EventSource, Faults, records

SENSOR_SIZE = (34, 34)
_RECORD = np.dtype([("x", "u1"), ("y", "u1"), ("word", "u1", 3)])


def looks_like_nmnist_bin(head: bytes) -> bool:
    """Whether the first events of a file without any mark lie on the sensor and in time order."""
    event = np.frombuffer(head, _RECORD, len(head) // _RECORD.itemsize)
    on_sensor = (event["x"] < SENSOR_SIZE[0]) & (event["y"] < SENSOR_SIZE[1])
    return event.size > 1 and bool(on_sensor.all() and (np.diff(_time(event["word"])) >= 0).all())


def read_nmnist_bin(file: BinaryIO, faults: Faults) -> EventSource:
    return EventSource("N-MNIST", SENSOR_SIZE, time_bits=23, chunks=_decode(file, faults))


def _decode(file: BinaryIO, faults: Faults) -> Iterator[EventChunk]:
    for first, block in records(file, _RECORD, 0, faults, "events"):
        yield EventChunk(
            x=block["x"].astype(np.int16),
            y=block["y"].astype(np.int16),
            t=_time(block["word"]),
            p=block["word"][:, 0] >> 7 == 1,
            offset=first + _RECORD.itemsize * np.arange(block.size),
        )


def _time(word: NDArray[np.uint8]) -> NDArray[np.int64]:
    bytes_ = word.astype(np.int64)
    time: NDArray[np.int64] = (bytes_ & (0x7F, 0xFF, 0xFF)) @ np.array((1 << 16, 1 << 8, 1))
    return time
