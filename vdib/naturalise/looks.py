"""Looks at a recording's recent past, while it goes on: the last T steps, each time anew.

H, W: pixels of an image; h, w: rows and columns of a sensor.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.recording import Recording
from vdib.datasets.transforms.running import Running
from vdib.figures import gif
from vdib.naturalise.naturaliser import Naturaliser

FRAMES = 16
"""Looks that are naturalised together, each anew."""


class Look(NamedTuple):
    """What is kept of a look at a recording.

    Attributes:
        since, end: ends of the look before and of this one, us.
        seen: the spikes of the last T steps, or of a stream, the window of the readout's.
        new: events, those since the look before among them.
    """

    since: int
    end: int
    seen: Any
    new: Sequence[Recording]

    @property
    def picture(self) -> NDArray[np.uint8]:
        """Of the events since the look before, (h, w)."""
        width, height = self.new[0].sensor_size
        counts = np.zeros((2, height * width), np.int64)
        for piece in self.new:
            since = slice(int(np.searchsorted(piece.t, self.since)), None)
            place = piece.y[since].astype(np.int64) * width + piece.x[since]
            for polarity in (0, 1):
                of = place[piece.p[since] == polarity]
                counts[polarity] += np.bincount(of, minlength=width * height)
        off, on = counts.reshape(2, height, width)
        return gif.events(on, off)


class Looks:
    """Looks at a recording's recent past, one after the other.

    Args:
        model: says how far back a look reaches, and how it becomes spikes.
        path: of the recording.
        read: how it is read.
        every: us or events from one look to the next.
        bar: shows how far it is.

    Attributes:
        skipped: bad records left out so far.
        first: time of the first event, us.
    """

    def __init__(
        self,
        model: Naturaliser,
        path: Path,
        read: Mapping[str, Any],
        every: Mapping[str, int],
        bar: Any,
    ) -> None:
        self.model, self.path, self.read, self.every, self.bar = model, path, read, every, bar
        self.skipped = 0
        self.first: int | None = None

    @property
    def together(self) -> int:
        """How many looks are decoded at once."""
        return FRAMES

    def batches(self) -> Iterator[list[Look]]:
        """`together` at a time; where they break off with an error, first those before it.

        Raises:
            ValueError: there are none.
        """
        batches = _batches(self._each(), self.together)
        begun = next(batches, None)
        if begun is None:
            raise ValueError(f"{self.path}: no events, or fewer than a window holds")
        return chain([begun], batches)

    def images(self, batch: list[Look]) -> NDArray[np.floating]:
        """What they show, `(B, H, W)` in [0, 1]."""
        return self.model.images([look.seen for look in batch])

    def decisions(self, batch: list[Look]) -> list[tuple[str, float, float]]:
        """What they are taken for; see `Naturaliser.decisions`."""
        return self.model.decisions([look.seen for look in batch])

    def _pieces(self) -> Iterator[Recording]:
        for piece in self.model.pieces(self.path, self.read):
            self.skipped += piece.num_skipped
            if len(piece):
                self.first = int(piece.t[0]) if self.first is None else self.first
                seconds = (piece.t[-1] - self.first) / 1e6
                self.bar.set_postfix_str(f"{self.path.name} {seconds:.1f} s")
            yield piece

    def _each(self) -> Iterator[Look]:
        past, since = self.model.prepare.past_us, None
        for end, seen in Running(past, **self.every)(self._pieces()):
            since = self.first if since is None else since
            assert since is not None
            spikes = self.model.prepare(seen, end - past)
            yield Look(since, end, spikes, [seen.between(since, end)])
            since = end


def _batches(looks: Iterator[Look], size: int) -> Iterator[list[Look]]:
    """Up to `size` at a time; where they break off with an error, first those before it."""
    batch: list[Look] = []
    try:
        for look in looks:
            batch.append(look)
            if len(batch) == size:
                yield batch
                batch = []
    except (OSError, ValueError):
        if batch:
            yield batch
        raise
    if batch:
        yield batch
