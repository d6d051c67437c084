"""Put a recording of one sensor in its place on another: crop, then zoom.

N: events.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.events import Recording


def placed(
    recording: Recording,
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    size: tuple[int, int],
) -> Recording:
    """The same events elsewhere: at the pixels in which x and y (N,) lie, if on a sensor `size`."""
    x, y = np.floor(x), np.floor(y)
    inside = (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
    return replace(
        recording,
        x=x[inside].astype(np.int16),
        y=y[inside].astype(np.int16),
        t=recording.t[inside],
        p=recording.p[inside],
        sensor_size=size,
    )


@dataclass(frozen=True)
class Crop:
    """The events of a rectangle: `left`, `top`, `width` and `height` in pixels.

    Raises:
        ValueError: the rectangle is not on the recording's sensor.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sensor that it leaves."""
        return self.width, self.height

    def __call__(self, recording: Recording) -> Recording:
        """The events inside, counted from its corner."""
        width, height = recording.sensor_size
        if not (0 <= self.left < self.left + self.width <= width) or not (
            0 <= self.top < self.top + self.height <= height
        ):
            raise ValueError(
                f"crop {self.left},{self.top},{self.width},{self.height} "
                f"(left,top,width,height) is not on the {width} x {height} sensor"
            )
        x, y = recording.x - float(self.left), recording.y - float(self.top)
        return placed(recording, x, y, self.size)


@dataclass(frozen=True)
class Zoom:
    """The same view on a sensor of another `size` (width, height): the centre stays the centre.

    `factor` is the new sensor's pixels per pixel of the old; None for the largest at which
    everything stays on the sensor. What falls outside is left out.
    """

    size: tuple[int, int]
    factor: float | None = None

    def __post_init__(self) -> None:
        if self.factor is not None and not 0 < self.factor < float("inf"):
            raise ValueError(f"zoom is {self.factor}, expected a number above 0")

    def __call__(self, recording: Recording) -> Recording:
        """The events on the other sensor."""
        sides = list(zip(self.size, recording.sensor_size, strict=True))
        factor = self.factor or min(new / old for new, old in sides)
        # A pixel's place is its middle, half a pixel from its corner.
        x, y = (
            (place + 0.5 - old / 2) * factor + new / 2
            for place, (new, old) in zip((recording.x, recording.y), sides, strict=True)
        )
        return placed(recording, x, y, self.size)
