"""Keep a moving object in place from its past alone: a window that follows it, step by step.

`follow.py` looks at the events before and after; a stream has only those before, and what it once
gave is not taken back. Here the window of a step lies where the steps before it say.

Legend: B recordings, T steps, C channels, H W rows and columns of the sensor, S spikes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vdib.sparse import SparseSpikes

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tracked:
    """Where the objects of B streams were last.

    Attributes:
        centre: pixels, x and y, `(B, 2)`.
        sums: of the last steps, newest last: spikes near the centre, their x and y, all spikes,
            `(B, memory, 4)`.
    """

    centre: Ints
    sums: Ints


@dataclass(frozen=True)
class Track:
    """A window of `size` pixels (width, height) around the centre of the spikes of the past.

        centre[k + 1] = mean place of the spikes of steps k - memory + 1 .. k that were near,
                        within `reach` pixels of the centre of their step, in whole pixels

    Before the first spike it is the middle of the sensor. Where most spikes of these steps were not
    near, the object is elsewhere: the centre is the median of step k's spikes, and what was before
    is forgotten. Spikes outside the window are left out. All is in whole numbers, so that a stream
    and a batch of whole sequences agree.

    Raises:
        ValueError: a size or memory below 1, or no reach.
    """

    size: tuple[int, int]
    memory: int = 4
    reach: int = 20

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.memory < 1 or self.reach < 1:
            raise ValueError(
                f"got size {self.size}, memory {self.memory} steps and reach {self.reach} pixels, "
                "expected at least 1 each"
            )

    def shape(self, below: tuple[int, int, int]) -> tuple[int, int, int]:
        """(C, H, W) of the spikes that it leaves of those (C, H, W)."""
        return below[0], self.size[1], self.size[0]

    def begin(self, sensor: tuple[int, int], count: int = 1) -> Tracked:
        """Before the first step of so many streams of a sensor (H, W)."""
        middle = [sensor[1] // 2, sensor[0] // 2]
        return Tracked(
            np.tile(np.array(middle, np.int64), (count, 1)),
            np.zeros((count, self.memory, 4), np.int64),
        )

    def place(self, of: Ints, x: Ints, y: Ints, state: Tracked) -> tuple[Ints, Ints, Ints]:
        """Which spikes of a step are inside, and where then.

        Args:
            of: `(S,)`, which stream each is of.
            x, y: `(S,)` pixels of the sensor.
            state: before the step.

        Returns:
            Positions in the lists, and x and y in the window.
        """
        width, height = self.size
        x = x - state.centre[of, 0] + width // 2
        y = y - state.centre[of, 1] + height // 2
        inside = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
        return inside, x[inside], y[inside]

    def measure(self, of: Ints, x: Ints, y: Ints, centre: Ints) -> Ints:
        """Spikes near the centres `(B, 2)`, their sums of x and y, and all spikes, `(B, 4)`."""
        away = np.maximum(abs(x - centre[of, 0]), abs(y - centre[of, 1]))
        near = np.flatnonzero(away <= self.reach)
        which, count = of[near], len(centre)
        columns = [
            np.bincount(which, minlength=count),
            np.bincount(which, x[near], count),
            np.bincount(which, y[near], count),
            np.bincount(of, minlength=count),
        ]
        return np.stack(columns, 1).astype(np.int64)

    def after(self, of: Ints, x: Ints, y: Ints, state: Tracked, now: Ints | None = None) -> Tracked:
        """The state after a step's spikes, with the arguments of `place`.

        Args:
            of, x, y, state: as of `place`.
            now: what `measure` says of them, where it is known.
        """
        if now is None:
            now = self.measure(of, x, y, state.centre)
        sums = np.concatenate([state.sums[:, 1:], now[:, None]], 1)
        near, sum_x, sum_y, spikes = sums.sum(1).T
        some = np.maximum(near, 1)[:, None]
        mean = (2 * np.stack([sum_x, sum_y], 1) + some) // (2 * some)
        centre = np.where((near > 0)[:, None], mean, state.centre)
        for lost in np.flatnonzero((2 * near < spikes) & (now[:, 3] > 0)):
            own = of == lost
            centre[lost] = np.median(x[own]), np.median(y[own])
            sums[lost] = 0
            whose = np.zeros(np.count_nonzero(own), np.int64)
            sums[lost, -1] = self.measure(whose, x[own], y[own], centre[lost : lost + 1])[0]
        return Tracked(centre, sums)

    def __call__(self, spikes: SparseSpikes) -> SparseSpikes:
        """Spikes of whole sequences, `(B, T, C, H, W)`, seen through the window."""
        count, steps, channels, height, width = spikes.shape
        row = np.repeat(np.arange(count * steps), np.diff(spikes.offset.numpy()))
        neuron = spikes.neuron.numpy().astype(np.int64)
        of, time, plane, x = row // steps, row % steps, neuron // width, neuron % width
        channel, y = plane // height, plane % height
        order = np.argsort(time, kind="stable")  # of all recordings, one step after the other
        ends = np.searchsorted(time[order], np.arange(steps + 1))
        moved, state = np.full(len(neuron), -1), self.begin((height, width), count)
        for part in map(order.__getitem__, map(slice, ends[:-1], ends[1:])):
            own = of[part], x[part], y[part]
            inside, to_x, to_y = self.place(*own, state)
            at = part[inside]
            moved[at] = (channel[at] * self.size[1] + to_y) * self.size[0] + to_x
            state = self.after(*own, state)
        kept = np.flatnonzero(moved >= 0)  # in order still: all of a step move alike
        offset = np.searchsorted(row[kept], np.arange(count * steps + 1))
        return SparseSpikes(
            torch.from_numpy(offset),
            torch.from_numpy(moved[kept].astype(np.int32)),
            (count, steps, *self.shape((channels, height, width))),
        )
