"""One example of spike trains and its target, and what is checked of both.

S: spikes; N: units; H, W: pixels of an image; D: values of a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Target = Literal["label", "image", "curve"]


@dataclass(frozen=True, eq=False)
class Train:
    """One example.

    Attributes:
        time: `(S,)` int64 us from its beginning, never falling.
        unit: `(S,)` int64.
        target: the name of a class, an image `(H, W)` uint8, or a vector `(1, D)` float32; None
            where nobody asked for it.
        duration: us, as far as is known: up to and with the last spike where nothing else is.
        num_units: that the file says there are; 0 where it says nothing.
        path: of the file.
        where: the file and the example, for messages.
        split: train, validation or test, where its folder says so.
    """

    time: NDArray[np.int64]
    unit: NDArray[np.int64]
    target: Any
    duration: int
    num_units: int
    path: Path
    where: str
    split: str = ""


def common(trains: Sequence[Train]) -> int:
    """N: as the files say, or up to the highest unit.

    Raises:
        ValueError: files say different numbers (one line).
    """
    said = {train.num_units: train.where for train in trains if train.num_units}
    if len(said) > 1:
        (one, here), (other, there) = list(said.items())[:2]
        raise ValueError(f"as many units everywhere expected: {here} has {one}, {there} {other}")
    return max([*said, *(int(train.unit.max(initial=0)) + 1 for train in trains)])


def as_target(value: Any, target: Target, where: str) -> Any:
    """A target as a `Train` has it.

    Raises:
        ValueError: it is none of this kind.
    """
    array = np.asarray(value)
    if target == "label":
        if array.ndim or array.dtype.kind not in "iuUSb":
            raise ValueError(f"{where}: label {str(value)[:40]!r}, expected a whole number or word")
        return array.item().decode() if array.dtype.kind == "S" else str(array.item())
    if array.dtype.kind not in "iufb" or not np.isfinite(array).all():
        raise ValueError(f"{where}: {target} with values that are no numbers")
    if target == "curve":
        if array.ndim > 1 or not array.size:
            raise ValueError(f"{where}: curve of shape {array.shape}, expected (D,)")
        if np.abs(array).max() > np.finfo(np.float32).max:
            raise ValueError(f"{where}: curve with values beyond float32, up to 3.4e38")
        return array.reshape(1, -1).astype(np.float32)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{where}: image of shape {array.shape}, expected (H, W)")
    if array.dtype == np.uint8:
        return array
    if array.min() < 0 or array.max() > 1:
        raise ValueError(
            f"{where}: image from {array.min()} to {array.max()}, expected uint8 or 0 to 1"
        )
    return np.rint(255 * array.astype(np.float64)).astype(np.uint8)


def in_us(times: Any, units: Any, scale: float, where: str) -> tuple[Any, Any]:
    """Times (us) and units of spikes, once they are known to be some.

    Raises:
        ValueError: other lengths, NaN, negative or falling times, units below 0.
    """
    times, units = np.asarray(times), np.asarray(units)
    if times.ndim != 1 or times.shape != units.shape:
        raise ValueError(
            f"{where}: times {times.shape} and units {units.shape}, expected one length (S,)"
        )
    if times.dtype.kind not in "iuf" or not np.isfinite(times).all():
        raise ValueError(f"{where}: times that are no numbers, expected finite ones")
    with np.errstate(invalid="ignore"):  # NaN becomes some number, which it is not
        whole = units.astype(np.int64) if units.dtype.kind in "iuf" else units
    if units.dtype.kind not in "iuf" or (whole != units).any() or (whole < 0).any():
        raise ValueError(f"{where}: units, expected whole numbers from 0")
    if (times < 0).any():
        raise ValueError(
            f"{where}: time {times.min()}, expected times from the example's beginning, 0 or more"
        )
    falls = np.flatnonzero(np.diff(times) < 0)
    if len(falls):
        raise ValueError(f"{where}: times fall after spike {falls[0]}: sort them with their units")
    us = np.floor(times.astype(np.float64) * scale + 1e-6)  # 0.3 s are 300,000 us in any notation
    if len(us) and us[-1] > 1e15:
        raise ValueError(f"{where}: a time of {times[-1]}: --data.time_scale of the run, us a unit")
    return us.astype(np.int64), whole
