"""A trained run that turns recordings into images, at once or while they go on.

B: recordings; H, W: pixels of an image; h, w: rows and columns of a sensor.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vdib.datasets.recording import Recording, joined, read_pieces
from vdib.datasets.spike_set import Preparation
from vdib.datasets.transforms.running import Running
from vdib.evaluate import load as checkpoint
from vdib.figures import gif
from vdib.lightning_modules.naturalisation.event_data import EventData
from vdib.runs.cli import build
from vdib.runs.command import UserError
from vdib.spikes import SparseSpikes

FRAMES = 16
"""Looks that are naturalised together."""

Transform = Callable[[Recording], Recording]
Spikes = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Of a recording: how many in each step `(T,)`, and the neurons that fire `(S,)`."""


@dataclass(frozen=True)
class Naturaliser:
    """A trained model and how recordings become its spikes.

    Attributes:
        module: the `NaturalisationModule` of a run, with its best weights.
        prepare: as in training.
        place: what brings a recording to the sensor that the model was trained for.
    """

    module: Any
    prepare: Preparation
    place: tuple[Transform, ...] = ()

    def placed(self, recording: Recording) -> Recording:
        """The recording on the sensor that the model was trained for.

        Raises:
            ValueError: it is not, and nothing says how it is to be brought there.
        """
        for transform in self.place:
            recording = transform(recording)
        wanted, got = self.prepare.sensor_size, recording.sensor_size
        if got != wanted:
            raise ValueError(
                f"a sensor of {got[0]} x {got[1]} pixels, the run was trained on "
                f"{wanted and wanted[0]} x {wanted and wanted[1]}: --crop or --zoom"
            )
        return recording

    def pieces(self, path: Path, read: Mapping[str, Any]) -> Iterator[Recording]:
        """A file's recording, placed, piece by piece.

        A file that does not say its sensor's size is taken to be from the model's, unless
        something is to be done to it.
        """
        default = None if self.place else self.prepare.sensor_size
        for piece in read_pieces(path, **read, default_size=default):
            yield self.placed(piece)

    @torch.no_grad()
    def images(self, spikes: Sequence[Spikes]) -> NDArray[np.floating]:
        """Images (B, H, W) in [0, 1] of B recordings, as `prepare` returns them."""
        assert self.prepare.sensor_size is not None
        counts, neurons = zip(*spikes, strict=True)
        shape = (len(spikes), len(counts[0]), *self.prepare.shape(self.prepare.sensor_size))
        offset = np.concatenate(([0], np.cumsum(np.concatenate(counts))))
        neuron = np.concatenate(neurons).astype(np.int32)
        lists = SparseSpikes(torch.from_numpy(offset), torch.from_numpy(neuron), shape)
        # The same noise for all: an image depends on its recording alone.
        images: Tensor = self.module(lists, torch.zeros(len(spikes), dtype=torch.int64))
        return images.numpy()


def load(run: Path) -> Naturaliser:
    """The best weights of a run, and how its recordings were prepared.

    Raises:
        UserError: no finished run, or not one that was trained on recordings (one line).
    """
    for path in (run / "config.yaml", run / "checkpoints" / "best.ckpt"):
        if not path.is_file():
            raise UserError(f"{run} is not a finished run: {path} is missing")
    cli = build(["--config", str(run / "config.yaml")], run)
    if not isinstance(cli.datamodule, EventData):
        raise UserError(f"{run} was not trained on recordings: see --config mnist_dvs")
    state = checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"]
    cli.model.load_state_dict(state)
    return Naturaliser(cli.model.eval(), cli.datamodule.prepare)


def whole(model: Naturaliser, path: Path, read: Mapping[str, Any], out: Path) -> int:
    """One image of a recording, `<out>.png`, from its first T steps; no more is read of it.

    Returns:
        How many bad records were left out.
    """
    start, kept, skipped = model.prepare.binning.start, [], 0
    for piece in model.pieces(path, read):
        skipped += piece.num_skipped
        if len(piece):
            start = int(piece.t[0]) if start is None else start
            kept.append(piece.between(start, start + model.prepare.past_us))
            if piece.t[-1] >= start + model.prepare.past_us:
                break
    if not any(map(len, kept)):
        raise ValueError(f"{path}: no events" + (f" from {start} us on" if kept else ""))
    (image,) = model.images([model.prepare(joined(kept), start)])
    _save(image, out.with_name(f"{out.name}.png"))
    return skipped


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
    skipped, past = 0, model.prepare.past_us
    first: int | None = None

    def pieces() -> Iterator[Recording]:
        nonlocal skipped, first
        for piece in model.pieces(path, read):
            skipped += piece.num_skipped
            if len(piece):
                first = int(piece.t[0]) if first is None else first
                bar.set_postfix_str(f"{path.name} {(piece.t[-1] - first) / 1e6:.1f} s")
            yield piece

    def looks() -> Iterator[_Look]:
        since = None
        for end, seen in Running(past, **every)(pieces()):
            since = first if since is None else since
            assert since is not None
            yield _Look(since, end, model.prepare(seen, end - past), _events(seen, since))
            since = end

    batches = _batches(looks(), FRAMES)
    begun = next(batches, None)
    if begun is None:
        raise ValueError(f"{path}: no events, or fewer than a window holds")
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

        def write(batch: list[_Look], images: NDArray[np.floating]) -> None:
            for look, image in zip(batch, images, strict=True):
                _save(image, out / f"frame_{next(numbers):06}.png")
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
    return skipped


@contextmanager
def _one_thread_fewer() -> Iterator[None]:
    """Of torch's, which else wait for each other on a core that reads and writes: -25 % of time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Look(NamedTuple):
    """What is kept of a look at a recording.

    Attributes:
        since, end: ends of the look before and of this one, us.
        spikes: of the last T steps.
        events: picture of those since the look before, (h, w).
    """

    since: int
    end: int
    spikes: Spikes
    events: NDArray[np.uint8]


def _batches(looks: Iterator[_Look], size: int) -> Iterator[list[_Look]]:
    """Up to `size` at a time; where they break off with an error, first those before it."""
    batch: list[_Look] = []
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


def _ahead(batches: Iterator[list[_Look]], thread: ThreadPoolExecutor) -> Iterator[list[_Look]]:
    """The same; while one is used, the next is being made."""
    nothing: list[_Look] = []
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


def _save(image: NDArray[np.floating], path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(partial, format="png")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
