"""Images of a recording's recent past, while it goes on.

H, W: pixels of an image; h, w: rows and columns of a sensor.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vdib.datasets.recording import Recording
from vdib.datasets.transforms.running import Running
from vdib.figures import gif
from vdib.figures.images import save_image
from vdib.naturalise.naturaliser import Binned, Naturaliser

FRAMES = 16
"""Looks that are naturalised together."""


def running(
    model: Naturaliser,
    path: Path,
    read: Mapping[str, Any],
    out: Path,
    every: Mapping[str, int],
    original: NDArray[np.uint8] | None,
    bar: Any,
) -> int:
    """Images of a recording's recent past, again and again, until it ends or breaks off.

    Writes `<out>/frame_NNNNNN.png`, `<out>/timestamps.txt` (the end of each look in s since the
    first event) and `<out>.gif`: events since the look before, image and, if given, original.

    Returns:
        How many bad records were left out.
    """
    looks = Looks(model, path, read, every, bar)
    batches = looks.batches()
    begun = next(batches)
    out.mkdir(parents=True, exist_ok=True)
    for frame in out.glob("frame_*.png"):  # of an earlier call: there may be fewer this time
        frame.unlink()
    beside = [] if original is None else [gif.grey(original / 255)]
    numbers = count()
    with (
        gif.GIFWriter(out.with_name(f"{out.name}.gif")) as animation,
        (out / "timestamps.txt").open("w", encoding="ascii") as times,
        ThreadPoolExecutor(1) as aside,  # reads ahead and writes while the model computes
        _one_thread_fewer(),
    ):

        def write(batch: list[Look], images: NDArray[np.floating]) -> None:
            for look, image in zip(batch, images, strict=True):
                save_image(image, out / f"frame_{next(numbers):06}.png")
                times.write(f"{(look.end - begun[0].since) / 1e6:.6f}\n")
                shown = gif.beside([look.events, gif.grey(image), *beside])
                animation.add(shown, ms=(look.end - look.since) / 1000)

        written: Future[None] | None = None
        for batch in _ahead(chain([begun], batches), aside):
            images = model.images([look.spikes for look in batch])
            if written is not None:
                written.result()
            written = aside.submit(write, batch, images)
        assert written is not None
        written.result()
    return looks.skipped


@contextmanager
def _one_thread_fewer() -> Iterator[None]:
    """Of torch's, which else wait for each other on a core that reads and writes: -25 % of time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Look(NamedTuple):
    """What is kept of a look at a recording.

    Attributes:
        since, end: ends of the look before and of this one, us.
        spikes: of the last T steps.
        events: picture of those since the look before, (h, w).
    """

    since: int
    end: int
    spikes: Binned
    events: NDArray[np.uint8]


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

    def batches(self) -> Iterator[list[Look]]:
        """`FRAMES` at a time; where they break off with an error, first those before it.

        Raises:
            ValueError: there are none.
        """
        batches = _batches(self._each(), FRAMES)
        begun = next(batches, None)
        if begun is None:
            raise ValueError(f"{self.path}: no events, or fewer than a window holds")
        return chain([begun], batches)

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
            yield Look(since, end, spikes, _events(seen, since))
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


def _ahead(batches: Iterator[list[Look]], thread: ThreadPoolExecutor) -> Iterator[list[Look]]:
    """The same; while one is used, the next is being made."""
    nothing: list[Look] = []
    future = thread.submit(next, batches, nothing)
    while batch := future.result():
        future = thread.submit(next, batches, nothing)
        yield batch


def _events(recording: Recording, since: int) -> NDArray[np.uint8]:
    width, height = recording.sensor_size
    new = recording.t >= since
    place = recording.y[new].astype(np.int64) * width + recording.x[new]
    on, off = (
        np.bincount(place[recording.p[new] == polarity], minlength=width * height)
        for polarity in (True, False)
    )
    return gif.events(on.reshape(height, width), off.reshape(height, width))
