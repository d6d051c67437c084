"""How to read what a recording's file leaves open."""

from dataclasses import dataclass
from typing import Literal

from vdib.datasets.formats.aedat2 import AddressLayout
from vdib.datasets.formats.check import MAX_SIDE


@dataclass(frozen=True)
class ReadOptions:
    """`read_recording` takes these by name.

    `on_error`: "raise" at the first bad record, or "skip": keep the good events and count the
    rest. A file that cannot be begun (empty, junk, a header without end) raises in either mode.

    `sensor_size`: (width, height), instead of the file's. Where neither file nor format states
    one (DAT, EVT, text and NumPy often do not), it is `default_size`, or the extent of the events.

    `unwrap`: continue times over a wrap of the timestamp counter (AEDAT 2.0 and DAT: 32 bits,
    N-MNIST: 23, EVT 2.0: 34) instead of taking it for an error. AEDAT 3.1 counts its wraps
    itself, and those of EVT 3.0 are always continued.

    `flip_x`, `flip_y`, `flip_polarity`: mirror the places, exchange ON and OFF. The default is
    what the file holds; see `aedat2.py` for DVS128, where sources disagree on both.

    `layout`: how AEDAT 2.0 addresses are made up (DVS128, DAVIS240, DAVIS346 or another
    `AddressLayout`); the default is the camera that the header names, or else DVS128.

    `stream`: which of the event streams of an AEDAT 4.0 file; the default is the first.

    `columns`: the order in text and plain arrays that name no columns. `time_scale`: us per unit
    of t in text and NumPy files, 1e6 where t is in seconds.
    """

    on_error: Literal["raise", "skip"] = "raise"
    sensor_size: tuple[int, int] | None = None
    default_size: tuple[int, int] | None = None
    unwrap: bool = False
    flip_x: bool = False
    flip_y: bool = False
    flip_polarity: bool = False
    layout: AddressLayout | None = None
    stream: int | None = None
    columns: str = "txyp"
    time_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise ValueError(f"on_error is {self.on_error!r}, expected 'raise' or 'skip'")
        if sorted(self.columns) != sorted("txyp"):
            raise ValueError(f"columns is {self.columns!r}, expected the letters t, x, y, p")
        if self.sensor_size and not possible_size(self.sensor_size):
            raise ValueError(f"sensor_size is {self.sensor_size}, expected 1 to {MAX_SIDE} each")
        if not 0 < self.time_scale < float("inf"):
            raise ValueError(f"time_scale is {self.time_scale}, expected us per unit of t")


def possible_size(size: tuple[int, int]) -> bool:
    """Whether both sides of a sensor fit 16 signed bits."""
    return all(1 <= side <= MAX_SIDE for side in size)
