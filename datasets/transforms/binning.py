"""Events to spikes: time is cut into steps, and a step with an event becomes a spike.

T: steps; C: polarity channels; H, W: rows and columns; N = C H W: input neurons; E: events.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vdib.datasets.events import Recording

_NUMPY_TYPES = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.float16: np.float16,
    torch.bfloat16: np.uint8,  # NumPy has none: converted afterwards
    torch.uint8: np.uint8,
    torch.bool: np.bool_,
}

_MAX_OWN_STEPS = 1 << 24  # 4.7 hours in steps of 1 ms; in bytes, 128 MB of step edges
_STEPS_PER_EVENT = 1 << 10
"""A recording's length alone asks for no more steps than this: one bad time may be anything."""


class SpikeIndices(NamedTuple):
    """The S spikes of a recording, ordered by time and then neuron, each once.

    Neuron c H W + y W + x of `num_neurons` is the entry [c, y, x] of the dense tensor.
    """

    time: torch.Tensor  # (S,) int64
    neuron: torch.Tensor  # (S,) int64
    num_steps: int
    num_neurons: int


@dataclass(frozen=True)
class SpikeBinning:
    """Spikes (T, C, H, W) from a recording.

        step k holds the events with  start + k dt <= t < start + (k + 1) dt,   k = 0 .. T - 1

    in integer arithmetic, so that an event on an edge belongs to the later step, always.

    Two of `dt` (us), `num_steps` and `duration` (us) fix the third: T = ceil(duration / dt), or
    dt = duration / T, which need not be whole. One alone is completed by each recording: `dt` or
    `duration` by as many steps, or one, as hold it all; `num_steps` by its length up to and
    including the last event. `start` is a time (us) or, by default, that of the first event.
    Events before the start or after the last step are left out, as are those outside `crop`.

    `polarity`: "two" channels, OFF then ON, or one "merged". `crop`: (left, top, width, height)
    in pixels; `downsample`: pixels a side that share a neuron. `rule`: "any" event makes a spike;
    or the "first" of a pixel in a step decides, so that only one of its two channels spikes.
    """

    dt: int | None = None
    num_steps: int | None = None
    duration: int | None = None
    start: int | None = None
    polarity: Literal["two", "merged"] = "two"
    crop: tuple[int, int, int, int] | None = None
    downsample: int = 1
    rule: Literal["any", "first"] = "any"
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        given = {"dt": self.dt, "num_steps": self.num_steps, "duration": self.duration}
        stated = {name: value for name, value in given.items() if value is not None}
        if not 1 <= len(stated) <= 2:
            raise ValueError(f"got {sorted(stated)}, expected one or two of {sorted(given)}")
        for name, value in {**stated, "downsample": self.downsample}.items():
            if value != int(value) or value < 1:
                raise ValueError(f"{name} is {value}, expected a whole number from 1")
        if self.polarity not in ("two", "merged"):
            raise ValueError(f"polarity is {self.polarity!r}, expected 'two' or 'merged'")
        if self.dtype not in _NUMPY_TYPES:
            raise ValueError(f"dtype is {self.dtype}, expected one of {list(_NUMPY_TYPES)}")
        if self.rule not in ("any", "first"):
            raise ValueError(f"rule is {self.rule!r}, expected 'any' or 'first'")

    def __call__(self, recording: Recording) -> torch.Tensor:
        """Dense spikes, 0 or 1 in `dtype`."""
        index, num_steps = self._index(recording)
        channels, height, width = self.shape(recording.sensor_size)
        # NumPy's zeros are pages that the system clears when touched; torch.zeros writes them all.
        size = num_steps * channels * height * width
        spikes: NDArray[Any] = np.zeros(size, _NUMPY_TYPES[self.dtype])
        spikes[index] = 1  # index: (E,)
        dense = torch.from_numpy(spikes).to(self.dtype)
        return dense.view(num_steps, channels, height, width)  # (T, C, H, W)

    def sparse(self, recording: Recording) -> SpikeIndices:
        """The same spikes as a list, for event-driven layers; nothing of size T N is made."""
        index, num_steps = self._index(recording)
        num_neurons = int(np.prod(self.shape(recording.sensor_size)))
        index.sort()  # np.unique would hash first, at ten times the cost
        time, neuron = np.divmod(index[_begins_group(index)], num_neurons)
        return SpikeIndices(
            torch.from_numpy(time), torch.from_numpy(neuron), num_steps, num_neurons
        )

    def neurons(self, recording: Recording) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The times of the events that have a neuron, and which; `rule` has no say."""
        channels, height, width = self.shape(recording.sensor_size)
        t, p = recording.t, recording.p
        x: NDArray[np.integer[Any]] = recording.x
        y: NDArray[np.integer[Any]] = recording.y
        if self.crop or self.downsample > 1:
            left, top, crop_width, crop_height = self._area(recording.sensor_size)
            x, y = x.astype(np.int64) - left, y.astype(np.int64) - top
            kept = np.flatnonzero((x >= 0) & (x < crop_width) & (y >= 0) & (y < crop_height))
            x, y, t, p = x[kept] // self.downsample, y[kept] // self.downsample, t[kept], p[kept]
        row = y.astype(np.int64)
        if channels == 2:
            row += height * p
        return t, row * width + x

    def shape(self, sensor_size: tuple[int, int]) -> tuple[int, int, int]:
        """(C, H, W) for recordings of a sensor (width, height)."""
        _, _, width, height = self._area(sensor_size)
        channels = 2 if self.polarity == "two" else 1
        return channels, height // self.downsample, width // self.downsample

    def _area(self, sensor_size: tuple[int, int]) -> tuple[int, int, int, int]:
        area = self.crop or (0, 0, *sensor_size)
        left, top, width, height = area
        if not (0 <= left < left + width <= sensor_size[0]) or not (
            0 <= top < top + height <= sensor_size[1]
        ):
            raise ValueError(
                f"crop {area} (left, top, width, height) is not on the "
                f"{sensor_size[0]} x {sensor_size[1]} sensor"
            )
        if width % self.downsample or height % self.downsample:
            raise ValueError(
                f"{width} x {height} pixels do not divide by {self.downsample}: crop first"
            )
        return area

    def _edges(self, t: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first us of each step, and of the one after the last: (T + 1,)."""
        if (
            not t.size
            and (self.num_steps is None) + (self.duration is None) + (self.dt is None) > 1
        ):
            raise ValueError("a recording without events has no length: give num_steps and dt")
        start = int(t[0]) if self.start is None and t.size else self.start or 0
        length = max(int(t[-1]) - start + 1, 1) if t.size else 1
        if self.dt is not None:
            wanted = self.duration if self.duration is not None else length
            steps = self.num_steps if self.num_steps is not None else -(-wanted // self.dt)
            period, parts = self.dt, 1
        else:
            steps = self.num_steps or 1
            period, parts = self.duration if self.duration is not None else length, steps
        own = self.num_steps is None and self.duration is None
        if own and steps > _MAX_OWN_STEPS + _STEPS_PER_EVENT * t.size:
            raise ValueError(
                f"{length} us from the first event to the last make {steps} steps of {period} us: "
                "give num_steps, or leave out the events before the time leaps"
            )
        if start + steps * period >= 1 << 62:
            raise ValueError(f"{steps} steps of {period}/{parts} us do not fit 64-bit integers")
        # t >= start + k period / parts, for whole t, means t >= start + ceil(k period / parts).
        return start - (-np.arange(steps + 1, dtype=np.int64) * period) // parts

    def _index(self, recording: Recording) -> tuple[NDArray[np.int64], int]:
        """Where in the flattened (T, C, H, W) each event spikes (with repetitions), and T."""
        channels, height, width = self.shape(recording.sensor_size)
        left, top, crop_width, crop_height = self._area(recording.sensor_size)
        edges = self._edges(recording.t)

        place = np.searchsorted(recording.t, edges)  # events are in time order
        num_steps = len(edges) - 1
        row = np.repeat(np.arange(num_steps) * (channels * height), np.diff(place))
        events = slice(place[0], place[-1])
        x, y, p = recording.x[events], recording.y[events], recording.p[events]
        if self.crop:
            x, y = x - np.int16(left), y - np.int16(top)
            # Read without a sign, what lies left of the crop or above it is large.
            inside = (x.view(np.uint16) < crop_width) & (y.view(np.uint16) < crop_height)
            kept = np.flatnonzero(inside)
            x, y, p, row = x[kept], y[kept], p[kept], row[kept]
        if self.downsample > 1:
            x, y = x // self.downsample, y // self.downsample

        row = row + y  # row of channel 0 in this step
        if self.polarity == "two":
            if self.rule == "first":
                first = _first_of_each(row * width + x)
                row, x, p = row[first], x[first], p[first]
            row = row + p * height
        return row * width + x, num_steps


def _begins_group(ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which entries of an ordered array differ from the one before."""
    begins = np.ones(ordered.shape, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return begins


def _first_of_each(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each label occurs for the first time.

    >>> _first_of_each(np.array([7, 5, 7, 5, 6])).tolist()
    [1, 4, 0]
    """
    # Sorting label and place as one number is several times faster than a stable argsort.
    if label.size and (int(label.max()) + 1) * label.size >= 1 << 63:
        raise ValueError(f"{label.size} events in {label.max()} places do not fit 64-bit integers")
    key = label * label.size + np.arange(label.size)
    key.sort()
    label, place = np.divmod(key, max(label.size, 1))
    return place[_begins_group(label)]
