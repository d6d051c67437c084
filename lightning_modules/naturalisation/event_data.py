"""Recordings of event cameras as spikes, for Lightning: what all of them share.

Legend: B batch, T steps, C H W channels, rows and columns of input neurons.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vdib.datasets.cache import cache_folder
from vdib.datasets.formats.read_options import options_as_settings
from vdib.datasets.recording_set import RecordingSet, Split
from vdib.datasets.spike_set import Preparation, SpikeExamples, SpikeSet
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.signal import Image, Label, Signal

Recordings = Literal["simulated", "real", "both"]
"""What to train on; `both` validates and tests on the real ones."""


class EventData(DataModule[SpikeExamples]):
    """What the event data sets share: binned once, kept on disk, handed over as lists of spikes.

    Args:
        num_steps: T.
        step_ms: ms a step.
        batch_size: B, in training.
        cache: keep binned spikes in the user's cache folder.
        workers: threads that bin.
        seed: of the order of the examples.

    Attributes:
        prepare: from a recording to spikes.
        signal: what recordings become: digits by default.
        found: settings left open that the files decided.
    """

    found: Mapping[str, Any] = MappingProxyType({})
    prepare: Preparation
    signal: Signal = Image((28, 28), digits=True)

    def __init__(
        self,
        num_steps: int,
        step_ms: float,
        batch_size: int,
        cache: bool,
        workers: int,
        seed: int,
    ) -> None:
        super().__init__(batch_size, seed)
        if num_steps < 2 or workers < 1 or not step_ms * 1000 >= 1:
            raise ValueError(
                "data needs num_steps >= 2, step_ms >= 0.001 and workers >= 1, "
                f"got {num_steps}, {step_ms} and {workers}"
            )
        self.num_steps = num_steps
        self.step_us = round(step_ms * 1000)
        self.cache = cache_folder() / "spikes" if cache else None
        self.workers = workers

    @abstractmethod
    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        """The data sets that make up a split."""

    @property
    def input_shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """C, H, W."""
        assert self.prepare.sensor_size is not None
        return self.prepare.shape(self.prepare.sensor_size)

    def prepare_data(self) -> None:
        """Finds or makes the recordings, and bins them, before anything else is done."""
        for split in ("train", "validation", "test"):
            self.split(split)

    def load(self, split: Split) -> SpikeSet:
        with options_as_settings():
            sets = self.recordings(split)
            parts = {
                recordings: SpikeSet.of(recordings, self.prepare, self.cache, self.workers)
                for recordings in dict.fromkeys(sets)  # once each, however often it is shown
            }
        return SpikeSet.cat([parts[recordings] for recordings in sets])

    def targets(self, split: Split) -> Tensor:
        some: SpikeSet = self.split(split)  # type: ignore[assignment]
        if isinstance(self.signal, Label):
            return torch.from_numpy(some.label)
        return torch.from_numpy(some.images[some.image] / 255).float().flatten(1)

    def constant(self) -> Tensor:
        if isinstance(self.signal, Label):
            return super().constant()
        train: SpikeSet = self.split("train")  # type: ignore[assignment]
        # Of each image once, times how often it is shown: there may be few for many recordings.
        weight = np.bincount(train.image, minlength=len(train.images)) / len(train)
        mean = torch.from_numpy(np.tensordot(weight, train.images / 255, 1)).float()
        return self.signal.constant(mean.flatten()[None])

    def code(self, batch: SpikeExamples, step: int) -> SpikeBatch:
        spikes, image, label, id = batch
        target = label if isinstance(self.signal, Label) else image.flatten(1)
        return SpikeBatch(spikes, target, label, id)
