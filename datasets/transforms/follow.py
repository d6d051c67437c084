"""Keep a moving object in place: follow the centre of its events, and cut a window around it.

MNIST-DVS shows digits that wander to and fro over about 10 x 4 pixels. A fixed crop works on the
stabilised version that its authors published; on raw recordings the crop has to move along.

N: events; K: slices of time.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.events import Recording
from vdib.datasets.transforms.place import placed

_PASSES = 2
_SLICES_PER_SPAN = 8


@dataclass(frozen=True)
class Follow:
    """A window of `size` pixels (width, height) that moves with the events' centre.

    The centre at a time is the mean place of the events within `reach` pixels of it and `span` us
    (half before, half after), starting from the median of all events, twice. A pixel that fires on
    its own far away has no say. 100 ms give the sharpest sums of events on MNIST-DVS. Events
    outside the moving window are left out; those inside get their place in it, in whole pixels, so
    the result has a sensor of `size`.

    >>> events = Recording(
    ...     x=np.array([10, 12, 11, 13], np.int16), y=np.array([5, 5, 5, 5], np.int16),
    ...     t=np.array([0, 0, 400_000, 400_000]), p=np.ones(4, bool), sensor_size=(20, 20),
    ...     origin=None,
    ... )
    >>> Follow((4, 4))(events).x.tolist()
    [1, 3, 1, 3]
    """

    size: tuple[int, int]
    span: int = 100_000
    reach: float = 20.0

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.span < _SLICES_PER_SPAN or not self.reach > 0:
            raise ValueError(
                f"got size {self.size}, span {self.span} us and reach {self.reach} pixels, "
                f"expected at least 1 pixel a side, {_SLICES_PER_SPAN} us and a reach above 0"
            )

    def __call__(self, recording: Recording) -> Recording:
        """The events in the moving window."""
        if not len(recording):
            return replace(recording, sensor_size=self.size)
        x, y = (
            place - middle + side / 2
            for place, middle, side in zip(
                (recording.x, recording.y), self.centre(recording), self.size, strict=True
            )
        )
        return placed(recording, x, y, self.size)

    def centre(self, recording: Recording) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the window's middle is at each event, x and y, (N,) pixels."""
        slices = (recording.t - recording.t[0]) * _SLICES_PER_SPAN // self.span  # (N,)
        begins = np.flatnonzero(np.diff(slices, prepend=-1))  # of the (K,) slices with an event
        times, counts = slices[begins], np.diff(begins, append=len(slices))
        x, y = recording.x.astype(np.float64), recording.y.astype(np.float64)
        middle_x, middle_y = np.full_like(x, np.median(x)), np.full_like(y, np.median(y))
        for _ in range(_PASSES):
            near = np.maximum(abs(x - middle_x), abs(y - middle_y)) <= self.reach
            sums = [np.add.reduceat(weight * near, begins) for weight in (near, x, y)]
            number, sum_x, sum_y = (_around(times, values) for values in sums)
            seen = np.flatnonzero(number)  # elsewhere nothing is near: between the neighbours
            if not seen.size:
                break
            middle_x, middle_y = (
                np.repeat(np.interp(times, times[seen], total[seen] / number[seen]), counts)
                for total in (sum_x, sum_y)
            )
        return middle_x, middle_y


def _around(times: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the slices within half a span of each, (K,)."""
    half = _SLICES_PER_SPAN // 2
    total = np.concatenate(([0.0], np.cumsum(values)))
    first = np.searchsorted(times, times - half)
    last = np.searchsorted(times, times + half, side="right")
    around: NDArray[np.float64] = total[last] - total[first]
    return around
