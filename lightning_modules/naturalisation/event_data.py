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
from torch.utils.data import DataLoader, DistributedSampler

from vdib.datasets.cache import cache_folder
from vdib.datasets.formats.read_options import options_as_settings
from vdib.datasets.recording_set import RecordingSet, Split
from vdib.datasets.spike_set import Preparation, SpikeExamples, SpikeSet, collate
from vdib.lightning_modules.data_module import DataModule
from vdib.lightning_modules.vdib_module import SpikeBatch

Recordings = Literal["simulated", "real", "both"]
"""What to train on; `both` validates and tests on the real ones."""


class EventData(DataModule):
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
        image_shape: H and W of what recordings become.
        judged: whether that are digits.
        found: settings left open that the files decided.
    """

    found: Mapping[str, Any] = MappingProxyType({})
    prepare: Preparation
    image_shape: tuple[int, ...] = (28, 28)
    judged = True

    def __init__(
        self,
        num_steps: int,
        step_ms: float,
        batch_size: int,
        cache: bool,
        workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        if num_steps < 2 or batch_size < 1 or workers < 1 or not step_ms * 1000 >= 1:
            raise ValueError(
                "data needs num_steps >= 2, step_ms >= 0.001, batch_size >= 1 and workers >= 1, "
                f"got {num_steps}, {step_ms}, {batch_size} and {workers}"
            )
        self.num_steps = num_steps
        self.step_us = round(step_ms * 1000)
        self.batch_size = batch_size
        self.cache = cache_folder() / "spikes" if cache else None
        self.workers = workers
        self.seed = seed
        self.splits: dict[Split, SpikeSet] = {}

    @abstractmethod
    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        """The data sets that make up a split."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        assert self.prepare.sensor_size is not None
        return self.prepare.shape(self.prepare.sensor_size)

    def prepare_data(self) -> None:
        """Finds or makes the recordings, and bins them, before anything else is done."""
        for split in ("train", "validation", "test"):
            self.split(split)

    def split(self, name: Split) -> SpikeSet:
        """The spikes of a split, prepared when first asked for."""
        if name not in self.splits:
            with options_as_settings():
                sets = self.recordings(name)
                parts = {
                    recordings: SpikeSet.of(recordings, self.prepare, self.cache, self.workers)
                    for recordings in dict.fromkeys(sets)  # once each, however often it is shown
                }
            self.splits[name] = SpikeSet.cat([parts[recordings] for recordings in sets])
        return self.splits[name]

    def examples(self, split: Split, count: int) -> SpikeBatch:
        """The first examples of a split."""
        some = self.split(split)
        return _batch(some.__getitems__(range(min(count, len(some)))))

    def mean_target(self) -> Tensor:
        """The mean training image, `(H W,)`."""
        train = self.split("train")
        weight = np.bincount(train.image, minlength=len(train.images)) / len(train)
        mean = np.tensordot(weight, train.images / 255, 1)
        return torch.from_numpy(mean).float().flatten()

    def on_after_batch_transfer(self, batch: SpikeExamples, dataloader_idx: int) -> SpikeBatch:
        return _batch(batch)

    def train_dataloader(self) -> DataLoader[SpikeExamples]:
        train = self.split("train")
        sampler: DistributedSampler[SpikeExamples] = DistributedSampler(
            train,
            num_replicas=self.trainer.world_size if self.trainer else 1,
            rank=self.trainer.global_rank if self.trainer else 0,
            seed=self.seed * 1_000_003,  # epochs are added to it: keep seeds far apart
        )
        return _loader(train, self.batch_size, sampler)

    def val_dataloader(self) -> DataLoader[SpikeExamples]:
        return _loader(self.split("validation"), max(self.batch_size, 100))

    def test_dataloader(self) -> DataLoader[SpikeExamples]:
        return _loader(self.split("test"), max(self.batch_size, 100))


def _batch(examples: SpikeExamples) -> SpikeBatch:
    spikes, image, label, id = examples
    return SpikeBatch(spikes, image.flatten(1), label, id)


def _loader(
    spikes: SpikeSet,
    batch_size: int,
    sampler: DistributedSampler[SpikeExamples] | None = None,
) -> DataLoader[SpikeExamples]:
    return DataLoader(
        spikes,
        batch_size,
        sampler=sampler,
        collate_fn=collate,  # type: ignore[arg-type]  # `SpikeSet` hands over whole batches
        generator=torch.Generator(),  # leaves the global one alone
    )
