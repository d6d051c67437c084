"""Where the image is while a camera looks at it: positions as functions of time.

A path gives the image's centre in pixels of the sensor, (x, y), x to the right and y downwards,
where (0, 0) is the centre of the first pixel. Times are in us from the start of the recording.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Points = tuple[tuple[float, float], ...]


class Path(Protocol):
    """A motion: what `DVSCamera.record` asks for."""

    def position(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Centres (N, 2) in pixels at the times `t` (N,) in us."""
        ...


@dataclass(frozen=True)
class TrianglePath:
    """Round a polygon for ever at constant speed: a triangle, or its sides there and back.

        s(t) = L frac(t / period + phase)         length gone on this round, of a perimeter L (px)
        x(t) = the point at arc length s from the first corner

    Args:
        corners: at least three (x, y) in pixels, in the order of travel. The digits of MNIST-DVS
            go along two sides of a triangle, there and back: corners a, b, c, b.
        period_us: time of a round, us.
        phase: where on the round time 0 is, in rounds.

    Motion: "Poker-DVS and MNIST-DVS. Their history, how they were made, and other details",
    Serrano-Gotarredona & Linares-Barranco, 2015, https://doi.org/10.3389/fnins.2015.00481

    >>> path = TrianglePath(((0, 0), (3, 0), (3, 4)), period_us=12)
    >>> path.position(np.array([0.0, 3.0, 5.0, 12.0])).tolist()
    [[0.0, 0.0], [3.0, 0.0], [3.0, 2.0], [0.0, 0.0]]
    """

    corners: Points
    period_us: float
    phase: float = 0.0

    def __post_init__(self) -> None:
        if len(self.corners) < 3:
            raise ValueError(f"{len(self.corners)} corners, expected at least 3")
        if not self.period_us > 0:
            raise ValueError(f"period_us is {self.period_us}, expected more than 0")

    def position(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        corner = np.array([*self.corners, self.corners[0]], float)  # (4, 2)
        length = np.concatenate([[0.0], np.hypot(*np.diff(corner, axis=0).T).cumsum()])
        gone = length[-1] * np.mod(t / self.period_us + self.phase, 1.0)
        return _between(gone, length, corner)


@dataclass(frozen=True)
class FreePath:
    """Straight from waypoint to waypoint; before the first and after the last it rests there.

    Args:
        times_us: (K,) strictly rising, us.
        points: (K,) pairs (x, y), pixels.
        repeat_us: start again after so long; None does not.

    >>> FreePath((0, 10), ((0, 0), (5, 0))).position(np.array([-1.0, 4.0, 99.0])).tolist()
    [[0.0, 0.0], [2.0, 0.0], [5.0, 0.0]]
    """

    times_us: tuple[float, ...]
    points: Points
    repeat_us: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.times_us) == len(self.points):
            raise ValueError(
                f"{len(self.times_us)} times for {len(self.points)} points, expected as many"
            )
        if any(b <= a for a, b in zip(self.times_us, self.times_us[1:], strict=False)):
            raise ValueError("times_us do not rise strictly")

    def position(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.repeat_us is not None:
            t = np.mod(t, self.repeat_us)
        return _between(t, np.array(self.times_us, float), np.array(self.points, float))


@dataclass(frozen=True)
class Saccades:
    """From rest to rest, each axis by a motor of its own: the micro-saccades of N-MNIST.

    Saccade k moves from corner k to corner k + 1; on each axis it starts at `starts_us[k]` and
    lasts `lengths_us[k]`, along the quintic of least jerk

        x(t) = a + (b - a) (10 s^3 - 15 s^4 + 6 s^5),   s = (t - start) / length in [0, 1]

    Sources: "Converting static image datasets to spiking neuromorphic datasets using saccades",
    Orchard, Jayawant, Cohen & Thakor, 2015, https://doi.org/10.3389/fnins.2015.00437 (three
    saccades of 100 ms along an isosceles triangle, by a pan and a tilt motor); "The coordination
    of arm movements: an experimentally confirmed mathematical model", Flash & Hogan, 1985,
    https://doi.org/10.1523/JNEUROSCI.05-07-01688.1985 (the quintic).

    Args:
        corners: (n + 1) points (x, y), pixels.
        starts_us, lengths_us: n pairs (of x, of y), us.

    >>> path = Saccades(((0, 0), (4, 2)), starts_us=((10, 10),), lengths_us=((20, 40),))
    >>> path.position(np.array([0.0, 20.0, 30.0, 50.0])).round(3).tolist()
    [[0.0, 0.0], [2.0, 0.207], [4.0, 1.0], [4.0, 2.0]]
    """

    corners: Points
    starts_us: Points
    lengths_us: Points

    def __post_init__(self) -> None:
        if not len(self.corners) == len(self.starts_us) + 1 == len(self.lengths_us) + 1:
            raise ValueError(
                f"{len(self.corners)} corners, {len(self.starts_us)} starts and "
                f"{len(self.lengths_us)} lengths, expected n + 1, n and n"
            )
        if not all(length > 0 for pair in self.lengths_us for length in pair):
            raise ValueError(f"lengths_us are {self.lengths_us}, expected more than 0")

    def position(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        corner = np.array(self.corners, float)  # (n + 1, 2)
        place = np.tile(corner[0], (len(t), 1))  # (N, 2)
        for k, (start, length) in enumerate(zip(self.starts_us, self.lengths_us, strict=True)):
            s = np.clip((t[:, None] - np.array(start)) / np.array(length), 0.0, 1.0)  # (N, 2)
            place += (corner[k + 1] - corner[k]) * (s**3 * (10 - 15 * s + 6 * s**2))
        return place


@dataclass(frozen=True)
class Refreshed:
    """A path as a display shows it: frame by frame, each fading into the next.

        x_k = path(k-th frame),   frames at (k - phase) / frame_hz
        x(t) = x_k - sum_(j >= 0) (x_(k-j) - x_(k-j-1)) exp(-(t - t_(k-j)) / response)   k: last

    What fades is the light, but the move of a frame is a fraction of a pixel, and then light fades
    as if the image slid. The sum is cut where frames have faded, after eight at most.

    Args:
        path: what is displayed.
        frame_hz: frames per second, Hz.
        phase: of the frames at time 0, in frames.
        response_us: time constant of the display's pixels, us; 0 is at once.

    >>> path = FreePath((0, 1_000_000), ((0, 0), (10, 0)))
    >>> Refreshed(path, frame_hz=10).position(np.array([0.0, 99e3, 101e3]))[:, 0].tolist()
    [0.0, 0.0, 1.0]
    """

    path: Path
    frame_hz: float
    phase: float = 0.0
    response_us: float = 0.0

    def __post_init__(self) -> None:
        if not self.frame_hz > 0:
            raise ValueError(f"frame_hz is {self.frame_hz}, expected more than 0")

    def position(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        period = 1e6 / self.frame_hz
        frame = np.floor(t / period + self.phase)
        shown = self.path.position((frame - self.phase) * period)  # (N, 2)
        place = shown.copy()
        since = t - (frame - self.phase) * period
        for j in range(8):
            fading = np.exp(-(since + j * period) / max(self.response_us, 1e-9))[:, None]
            if fading.max(initial=0.0) < 1e-4:
                break
            before = self.path.position((frame - j - 1 - self.phase) * period)
            place -= (shown - before) * fading
            shown = before
        return place


def _between(
    at: NDArray[np.float64], where: NDArray[np.float64], point: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear interpolation of points (K, 2) known at `where` (K,), at `at` (N,): (N, 2)."""
    return np.stack([np.interp(at, where, point[:, axis]) for axis in (0, 1)], 1)
