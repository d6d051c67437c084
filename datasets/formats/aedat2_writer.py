"""Recordings to AEDAT 2.0 files, which jAER and `read_recording` read.

Format: "AEDAT 2.0", iniVation documentation,
https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-2.0.html
"""

from collections.abc import Iterable
from os import PathLike

import numpy as np

from vdib.datasets.events import Recording
from vdib.datasets.formats.aedat2 import DVS128, AddressLayout

_HEADER = (
    "#!AER-DAT2.0\r\n# Big-endian 32-bit address and timestamp, ticks of 1 us\r\n# AEChip: {}\r\n"
)


def write_aedat2(
    path: str | PathLike[str],
    recordings: Recording | Iterable[Recording],
    layout: AddressLayout = DVS128,
) -> int:
    """Write a recording, or pieces of one that follow each other, as they come; 8 bytes an event.

    A recording of a smaller sensor than the layout's keeps its coordinates and reads back as one
    of the layout's sensor.

    Returns:
        How many events were written.

    Raises:
        ValueError: an event outside the layout's sensor, a time that is negative, falls from one
            piece to the next, or passes 2^31 us (35 minutes).
    """
    pieces = [recordings] if isinstance(recordings, Recording) else recordings
    count, last = 0, 0
    with open(path, "wb") as file:
        file.write(_HEADER.format(layout.name).encode())
        for piece in pieces:
            if not len(piece):
                continue
            if not last <= piece.t[0] <= piece.t[-1] < 1 << 31:
                span = f"times from {piece.t[0]} to {piece.t[-1]} us"
                raise ValueError(f"{span}, expected {last} to {(1 << 31) - 1}")
            file.write(_words(piece, layout).tobytes())
            count, last = count + len(piece), int(piece.t[-1])
    return count


def _words(recording: Recording, layout: AddressLayout) -> np.ndarray:
    """(E, 2) big-endian pairs of address and time."""
    for name, side in zip("xy", layout.sensor_size, strict=True):
        if getattr(recording, name).max() >= side:
            raise ValueError(
                f"{name} reaches {getattr(recording, name).max()}, expected below {side}"
            )
    x, y = recording.x.astype(np.uint32), recording.y.astype(np.uint32)
    p = recording.p.astype(np.uint32)
    address = x << layout.x[0] | y << layout.y[0] | p << layout.polarity
    return np.stack([address, recording.t.astype(np.uint32)], 1).astype(">u4")
