"""Recordings of event cameras as spikes, for Lightning.

Legend: B batch, T steps, C H W channels, rows and columns of input neurons.
"""

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from vdib.datasets.binning import SpikeBinning
from vdib.datasets.cache import cache_folder
from vdib.datasets.event_folder import EventFolder
from vdib.datasets.follow import Follow
from vdib.datasets.mnist_dvs import MNISTDVS
from vdib.datasets.mnist_dvs import SENSOR_SIZE as DVS128_SIZE
from vdib.datasets.nmnist import NMNIST, download_nmnist
from vdib.datasets.nmnist import SENSOR_SIZE as NMNIST_SIZE
from vdib.datasets.recording import ReadOptions
from vdib.datasets.recording_set import RecordingSet, Split, Target
from vdib.datasets.simulated import SimulatedMNISTDVS, SimulatedNMNIST
from vdib.datasets.sources import Source
from vdib.datasets.spike_set import Preparation, SpikeExamples, SpikeSet, collate
from vdib.lightning_modules.vdib_module import SpikeBatch

Recordings = Literal["simulated", "real", "both"]


class EventData(LightningDataModule):
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


class MNISTDVSData(EventData):
    """Digits that move over a screen, seen by a DVS128; the crop follows the digit.

    Args:
        recordings: `simulated` by `vdib.datasets.dvs_camera`, `real`, or `both` to train on and
            the real ones to validate and test on.
        target: one image per `class`, or each digit's own `source` image.
        num_train, num_validation, num_test: simulated recordings.
        simulation_seed: of the simulated recordings, apart from the run's seed.
        source: of the simulated digits: `mnist`, the `digits` that come along, or `auto`.
        root: folder of the real recordings (default: `$VDIB_DATA/mnist_dvs`, then the cache).
        scale: of the real recordings.
        size: side of the crop in pixels.
        download: fetch what is missing (2.5 GB).
        num_steps, step_ms: T and ms a step.
        batch_size, cache, workers, seed: see `EventData`.
    """

    def __init__(
        self,
        recordings: Recordings = "simulated",
        target: Target = "class",
        num_train: int = 10_000,
        num_validation: int = 500,
        num_test: int = 1_000,
        simulation_seed: int = 0,
        source: Source = "auto",
        root: str | None = None,
        scale: Literal[4, 8, 16] = 4,
        size: int = 26,
        download: bool = False,
        num_steps: int = 80,
        step_ms: float = 25.0,
        batch_size: int = 32,
        cache: bool = True,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(num_steps, step_ms, batch_size, cache, workers, seed)
        self.kind = recordings
        self.target: Target = target
        self.sizes = {"train": num_train, "validation": num_validation, "test": num_test}
        self.simulation_seed = simulation_seed
        self.source: Source = source
        self.root, self.scale, self.download = root, scale, download
        self.prepare = Preparation(
            (Follow((size, size)),),
            SpikeBinning(dt=self.step_us, num_steps=num_steps),
            DVS128_SIZE,
        )

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        parts: list[RecordingSet] = []
        if self.kind != "simulated":
            if self.download:
                from vdib.datasets.download_mnist_dvs import download

                download(self.root, scale=self.scale)
            parts.append(MNISTDVS(split, self.root, self.scale, self.target))
        if self.kind == "simulated" or (self.kind == "both" and split == "train"):
            size, seed = self.sizes[split], self.simulation_seed
            parts.append(SimulatedMNISTDVS(split, size, seed, self.target, self.source))
        return parts


class NMNISTData(EventData):
    """Digits on a screen, seen by a sensor that moves in three saccades.

    Args:
        recordings: `simulated` by `vdib.datasets.dvs_camera`, `real`, or `both` to train on and
            the real ones to validate and test on.
        target: one image per `class`, or each digit's own `source` image.
        num_train, num_validation, num_test: simulated recordings.
        real_weight: how often an epoch shows each real recording to train on.
        source: of the simulated digits: `mnist`, the `digits` that come along, or `auto`; beside
            real recordings only `mnist`, because those may show digits that come along.
        root: folder of the real recordings (default: `$VDIB_DATA/nmnist`, then the cache).
        fold: which fifth of the real recordings in `Train` to test on; none: the official split.
        download: fetch what is missing through tonic (1.1 GB).
        num_steps, step_ms: T and ms a step.
        batch_size, cache, workers, seed: see `EventData`.
    """

    def __init__(
        self,
        recordings: Recordings = "both",
        target: Target = "source",
        num_train: int = 10_000,
        num_validation: int = 500,
        num_test: int = 1_000,
        real_weight: int = 1,
        simulation_seed: int = 0,
        source: Source = "auto",
        root: str | None = None,
        fold: int | None = None,
        download: bool = False,
        num_steps: int = 30,
        step_ms: float = 10.0,
        batch_size: int = 32,
        cache: bool = True,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(num_steps, step_ms, batch_size, cache, workers, seed)
        if real_weight < 1:
            raise ValueError(f"real_weight: got {real_weight}, expected at least 1")
        if recordings == "both":
            if source == "digits":
                raise ValueError("source: got 'digits', expected 'mnist' beside real recordings, "
                                 "some of which show the digits that come along")  # fmt: skip
            source = "mnist"
        self.kind = recordings
        self.target: Target = target
        self.sizes = {"train": num_train, "validation": num_validation, "test": num_test}
        self.real_weight = real_weight
        self.simulation_seed = simulation_seed
        self.source: Source = source
        self.root, self.fold, self.download = root, fold, download
        # From time 0, not from the first event: the saccades have a fixed schedule.
        binning = SpikeBinning(dt=self.step_us, num_steps=num_steps, start=0)
        self.prepare = Preparation((), binning, NMNIST_SIZE)

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        parts: list[RecordingSet] = []
        if self.kind != "simulated":
            if self.download:
                download_nmnist(self.root)
            real = NMNIST(split, self.root, self.fold, target=self.target)
            parts += [real] * (self.real_weight if split == "train" else 1)
        if self.kind == "simulated" or (self.kind == "both" and split == "train"):
            size, seed = self.sizes[split], self.simulation_seed
            parts.append(SimulatedNMNIST(split, size, seed, self.target, self.source))
        return parts


class EventFolderData(EventData):
    """Anyone's own recordings: see `vdib.datasets.event_folder.EventFolder`.

    Args:
        root: the folder.
        sensor_size: width and height of the camera (default: as the first recording says).
        image_shape: height and width of what recordings become (default: as the images are).
        judged: whether that are digits, which the judge knows (default: as the classes are called).
        crop: left, top, width and height in pixels.
        follow: width and height of a window that follows what moves, instead of a crop.
        downsample: pixels a side that share an input neuron.
        polarity: `two` channels, or one `merged`.
        on_error: `raise` at the first bad record of a file, or `skip` bad records.
        num_steps, step_ms: T and ms a step, from a recording's first event on.
        batch_size, cache, workers, seed: see `EventData`.
    """

    def __init__(
        self,
        root: str,
        sensor_size: tuple[int, int] | None = None,
        image_shape: tuple[int, int] | None = None,
        judged: bool | None = None,
        crop: tuple[int, int, int, int] | None = None,
        follow: tuple[int, int] | None = None,
        downsample: int = 1,
        polarity: Literal["two", "merged"] = "two",
        on_error: Literal["raise", "skip"] = "raise",
        num_steps: int = 80,
        step_ms: float = 25.0,
        batch_size: int = 32,
        cache: bool = True,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(num_steps, step_ms, batch_size, cache, workers, seed)
        if crop and follow:
            raise ValueError("crop and follow: expected one of the two")
        self.root = os.path.abspath(root)
        self.options = ReadOptions(on_error=on_error, sensor_size=sensor_size)
        if sensor_size is None or image_shape is None or judged is None:
            train = EventFolder(self.root, "train", self.options)
            sensor_size = sensor_size or train.recording(0).sensor_size
            height, width = train.images.shape[1:]
            image_shape = image_shape or (height, width)
            judged = train.judged if judged is None else judged
        # Said in the run's config.yaml, so that the run is of use where the folder is not.
        self.found = {"sensor_size": sensor_size, "image_shape": image_shape, "judged": judged}
        self.image_shape = image_shape
        self.judged = judged
        self.prepare = Preparation(
            (Follow(follow),) if follow else (),
            SpikeBinning(
                dt=self.step_us,
                num_steps=num_steps,
                polarity=polarity,
                crop=crop,
                downsample=downsample,
            ),
            sensor_size,
        )

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        return [EventFolder(self.root, split, self.options)]


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
