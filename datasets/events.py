"""The events of an event camera: what every reader gives and every transform takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Origin:
    """Where a recording comes from: the file (or what made it), and its format."""

    path: str
    format: str


@dataclass(frozen=True, eq=False)
class Recording:
    """N events in time order.

    `x` and `y` are int16 pixels from the corner (0, 0) where the sensor's readout begins, `t`
    int64 us, never falling, and `p` bool, true where the light rose (ON). `sensor_size` is
    (width, height). `num_skipped` counts what was left out as unusable, in records of the file.
    """

    x: NDArray[np.int16]  # (N,)
    y: NDArray[np.int16]  # (N,)
    t: NDArray[np.int64]  # (N,)
    p: NDArray[np.bool_]  # (N,)
    sensor_size: tuple[int, int]
    origin: Origin
    num_skipped: int = 0

    def __post_init__(self) -> None:
        for name, dtype in (("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)):
            field = getattr(self, name)
            if field.dtype != dtype or field.shape != (len(self.t),):
                raise ValueError(
                    f"{name} is {field.dtype} {field.shape}, "
                    f"expected {np.dtype(dtype)} ({len(self.t)},)"
                )
        for name, side in zip("xy", self.sensor_size, strict=True):
            place = getattr(self, name)
            if place.size and not 0 <= place.min() <= place.max() < side:
                raise ValueError(
                    f"{name} goes from {place.min()} to {place.max()}, expected 0 to {side - 1}"
                )
        if (self.t[1:] < self.t[:-1]).any():
            raise ValueError("t falls somewhere, expected events in time order")

    def __len__(self) -> int:
        return len(self.t)

    def between(self, start: int, stop: int) -> "Recording":
        """The events with `start <= t < stop` (us)."""
        first, last = np.searchsorted(self.t, (start, stop))
        return self.part(int(first), int(last))

    def part(self, first: int, last: int) -> "Recording":
        """Events `first` to `last - 1`; what was left out on the way is not said again."""
        if (first, last) == (0, len(self)) and not self.num_skipped:
            return self
        part = object.__new__(type(self))  # of what is known to be good
        columns = {name: getattr(self, name)[first:last] for name in "xytp"}
        vars(part).update({**vars(self), **columns, "num_skipped": 0})
        return part


def joined(pieces: Sequence[Recording]) -> Recording:
    """Pieces of a recording that follow each other, as one."""
    if len(pieces) == 1:
        return pieces[0]
    x, y, t, p = (np.concatenate([getattr(piece, field) for piece in pieces]) for field in "xytp")
    skipped = sum(piece.num_skipped for piece in pieces)
    return replace(pieces[0], x=x, y=y, t=t, p=p, num_skipped=skipped)
