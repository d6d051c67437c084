"""A trained run that turns the spikes of recordings, or spike trains, into images or labels.

B: recordings; H, W: pixels of an image.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdib import signal as natural
from vdib.datasets.preparation import Preparation
from vdib.datasets.recording import Recording, read_pieces
from vdib.datasets.spike_trains import SpikeTrainSplits
from vdib.datasets.transforms.track import Track
from vdib.lightning_modules.naturalisation.event_data import EventData
from vdib.runs.command import UserError
from vdib.runs.exported import run_at
from vdib.runs.loading import rebuild, take_best
from vdib.sparse import SparseSpikes

Transform = Callable[[Recording], Recording]
Binned = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Of a recording: how many in each step `(T,)`, and the neurons that fire `(S,)`."""


@dataclass(frozen=True)
class Naturaliser:
    """A trained model and how recordings become its spikes.

    Attributes:
        module: the `NaturalisationModule` of a run, with its best weights.
        prepare: as in training.
        place: what brings a recording to the sensor that the model was trained for.
        track: follows what moves, step by step, after recordings have become spikes.
        anytime: whether it was trained to be good after any number of steps.
        trains: reads files of spike trains, where it was trained on such; it then knows nothing of
            recordings of a camera.
    """

    module: Any
    prepare: Preparation
    place: tuple[Transform, ...] = ()
    track: Track | None = None
    anytime: bool = False
    trains: SpikeTrainSplits | None = None

    @property
    def carries(self) -> bool:
        """Whether recordings may run through a stream that carries its state on.

        It was trained for it, and no step of it depends on events that are yet to come.
        """
        causal = not self.prepare.transforms and self.prepare.binning.rule == "any"
        return self.anytime and causal

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

    @property
    def labels(self) -> bool:
        """Whether recordings become labels; else they become images."""
        return isinstance(self.module.signal, natural.Label)

    @torch.no_grad()
    def images(self, spikes: Sequence[Binned]) -> NDArray[np.floating]:
        """Images (B, H, W) in [0, 1] of B recordings, as `prepare` returns them."""
        images: Tensor = self.module(*self.batch(spikes))
        return images.numpy()

    @torch.no_grad()
    def decisions(self, spikes: Sequence[Binned]) -> list[tuple[str, float, float]]:
        """Of each recording the label, its probability, and the ms until it was decided."""
        assert self.prepare.binning.dt is not None
        decided = self.module.decisions(*self.batch(spikes))
        names = [self.module.signal.name(label) for label in decided.label.tolist()]
        ms = [step * self.prepare.binning.dt / 1000 for step in decided.step.tolist()]
        return list(zip(names, decided.probability.tolist(), ms, strict=True))

    def batch(self, spikes: Sequence[Binned]) -> tuple[SparseSpikes, Tensor]:
        """Spikes of B recordings, as `prepare` returns them, as lists, and ids `(B,)` for noise."""
        assert self.prepare.sensor_size is not None
        counts, neurons = zip(*spikes, strict=True)
        shape = (len(spikes), len(counts[0]), *self.prepare.shape(self.prepare.sensor_size))
        offset = np.concatenate(([0], np.cumsum(np.concatenate(counts))))
        neuron = np.concatenate(neurons).astype(np.int32)
        lists = SparseSpikes(torch.from_numpy(offset), torch.from_numpy(neuron), shape)
        if self.track is not None:
            lists = self.track(lists)
        # The same noise for all: an image depends on its recording alone.
        return lists, torch.zeros(len(spikes), dtype=torch.int64)


def naturaliser_of(run: Path) -> Naturaliser:
    """The best weights of a run, and how its recordings were prepared.

    Raises:
        UserError: no finished run, or not one that makes images or labels of recordings (one line).
    """
    found = run_at(run)
    cli = rebuild(found)
    if not isinstance(cli.datamodule, EventData):
        raise UserError(f"{run} was not trained on recordings: see --config mnist_dvs")
    if not isinstance(cli.datamodule.signal, natural.Image | natural.Label):
        raise UserError(f"{run} tells {cli.datamodule.signal.noun}, and neither images nor labels")
    take_best(cli, found)
    data, splits = cli.datamodule, cli.datamodule.recording_splits
    trains = splits if isinstance(splits, SpikeTrainSplits) else None
    anytime = data.looks > 0
    return Naturaliser(cli.model, data.prepare, track=data.track, anytime=anytime, trains=trains)


def camera_naturaliser_of(run: Path) -> Naturaliser:
    """The same, of recordings of a camera.

    Raises:
        UserError: as above, or it was trained on spike trains (one line).
    """
    model = naturaliser_of(run)
    if model.trains is not None:
        raise UserError(f"{run} was trained on spike trains, and not on recordings of a camera")
    return model
