"""A trained run that turns recordings into images, at once or while they go on.

B: recordings; H, W: pixels of an image; h, w: rows and columns of a sensor.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vdib import gif
from vdib.cli import UserError, build
from vdib.datasets.recording import Recording, read_recording, stream_recording
from vdib.datasets.running import Running
from vdib.datasets.spike_set import Preparation
from vdib.evaluate import load as checkpoint
from vdib.lightning_modules.event_data import EventData
from vdib.sparse import SparseSpikes

FRAMES = 16
"""Looks that are naturalised together."""

Transform = Callable[[Recording], Recording]


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

    @property
    def past_us(self) -> int:
        """How much of a recording makes an image: T steps."""
        binning = self.prepare.binning
        assert binning.dt is not None
        assert binning.num_steps is not None
        return binning.dt * binning.num_steps

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

    @torch.no_grad()
    def images(
        self, recordings: Sequence[Recording], starts: Sequence[int | None]
    ) -> NDArray[np.floating]:
        """Images (B, H, W) in [0, 1] of placed recordings.

        Args:
            recordings: B of them.
            starts: the time (us) at which each one's T steps begin; None as in training.
        """

        counts, neurons, shape = [], [], self.prepare.shape(recordings[0].sensor_size)
        for recording, start in zip(recordings, starts, strict=True):
            prepare = self.prepare
            if start is not None:
                prepare = replace(prepare, binning=replace(prepare.binning, start=start))
            count, neuron = prepare(recording)
            counts.append(count)
            neurons.append(neuron)
        offset = np.cumsum([0, *np.concatenate(counts)])
        neuron = np.concatenate(neurons).astype(np.int32)
        spikes = SparseSpikes(
            torch.from_numpy(offset),
            torch.from_numpy(neuron),
            (len(recordings), len(counts[0]), *shape),
        )
        # The same noise for all: an image depends on its recording alone.
        ids = torch.zeros(len(recordings), dtype=torch.int64)
        images: Tensor = self.module(spikes, ids)
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


def whole(model: Naturaliser, path: Path, read: dict[str, Any], out: Path) -> int:
    """One image of a recording, from its first T steps; bad records left out."""

    recording = read_recording(path, **read)
    if not len(recording):
        raise ValueError(f"{path}: no events")
    (image,) = model.images([model.placed(recording)], [None])
    _save(image, out.with_name(f"{out.name}.png"))
    return recording.num_skipped


def running(
    model: Naturaliser,
    path: Path,
    read: dict[str, Any],
    out: Path,
    every: dict[str, int],
    original: NDArray[np.uint8] | None,
    bar: Any,
) -> int:
    """Images of a recording's recent past, again and again; bad records left out.

    Writes `<out>/frame_NNNNN.png`, `<out>/timestamps.txt` (the end of each look in s since the
    first event) and `<out>.gif`: events since the look before, image and, if given, original.
    """

    skipped, first = 0, None

    def pieces() -> Iterator[Recording]:
        nonlocal skipped, first
        for piece in stream_recording(path, **read):
            skipped += piece.num_skipped
            if len(piece):
                first = int(piece.t[0]) if first is None else first
                bar.set_postfix_str(f"{path.name} {(piece.t[-1] - first) / 1e6:.1f} s")
            yield model.placed(piece)

    looks = Running(model.past_us, **every)(pieces())
    number, before = 0, None
    out.mkdir(parents=True, exist_ok=True)
    with (
        gif.GIFWriter(out.with_name(f"{out.name}.gif")) as animation,
        (out / "timestamps.txt").open("w", encoding="ascii") as times,
    ):
        while batch := list(islice(looks, FRAMES)):
            starts = [end - model.past_us for end, _ in batch]
            images = model.images([seen for _, seen in batch], starts)
            for (end, seen), image in zip(batch, images, strict=True):
                assert first is not None
                before = first if before is None else before
                _save(image, out / f"frame_{number:05}.png")
                times.write(f"{(end - first) / 1e6:.6f}\n")
                shown = [_events(seen, before), gif.grey(image)]
                shown += [] if original is None else [gif.grey(original / 255)]
                animation.add(gif.beside(shown), ms=(end - before) / 1000)
                number, before = number + 1, end
    if not number:
        raise ValueError(f"{path}: no events, or fewer than a window holds")
    return skipped


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
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(partial, format="png")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
