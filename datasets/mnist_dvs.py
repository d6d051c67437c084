"""MNIST-DVS: handwritten digits that move over a screen, seen by a DVS128.

T. Serrano-Gotarredona and B. Linares-Barranco, "Poker-DVS and MNIST-DVS. Their history, how they
were made, and other details", Frontiers in Neuroscience 9, 2015,
https://doi.org/10.3389/fnins.2015.00481. 10,000 digits at scales 4, 8 and 16; 1,000 recordings a
class of 2 to 3 s each.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vdib.datasets.cache import default_folders
from vdib.datasets.mnist import training_images
from vdib.datasets.mnist_dvs_files import find
from vdib.datasets.preparation import Preparation
from vdib.datasets.recording import ReadOptions, Recording, read_recording
from vdib.datasets.recording_set import (
    NO_IMAGE,
    TARGETS,
    RecordingSet,
    Shown,
    Split,
    Target,
    file_identity,
)
from vdib.datasets.recording_splits import Recordings, RecordingSplits, step_us
from vdib.datasets.simulated import Phase, SimulatedMNISTDVS
from vdib.datasets.sources import Source, class_images
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.datasets.transforms.follow import Follow
from vdib.datasets.transforms.track import Track
from vdib.signal import Label

SENSOR_SIZE = (128, 128)
SCALES = (4, 8, 16)
RANGES = {"train": (1, 800), "validation": (801, 900), "test": (901, 1000)}


class MNISTDVS(RecordingSet):
    """The recordings of one scale, found by their names wherever they lie below a folder.

    Per class, recordings 1 to 900 are for training (the last 100 of them for validation), 901 to
    1,000 for testing. Any part of the data set will do. Recording n of class D shows the n-th D of
    MNIST's training images (checked on 300 zeros: `tests/test_mnist_dvs.py`), which is its source.
    Its id is 1,000 D + n - 1.

    Args:
        split: train, validation or test; None for all recordings there are.
        root: folder; by default `$VDIB_DATA/mnist_dvs`, then the user's cache.
        scale: 4, 8 or 16.
        target: "class" for one image per class, "source" for each digit's own, "label" for none.
        numbers: (first, last) recording of each class, instead of the split's.
        options: how the files are read.

    Raises:
        FileNotFoundError: no such recordings (one line, which says where to get them).
        ValueError: no such split, scale or target.
    """

    def __init__(
        self,
        split: Split | None = None,
        root: str | os.PathLike[str] | None = None,
        scale: int = 4,
        target: Target = "class",
        numbers: tuple[int, int] | None = None,
        options: ReadOptions | None = None,
    ) -> None:
        self.options = options or ReadOptions()
        if scale not in SCALES or target not in TARGETS:
            raise ValueError(f"got scale {scale} and target {target!r}, expected 4, 8 or 16 and "
                             "'source', 'class' or 'label'")  # fmt: skip
        if split is not None and split not in RANGES:
            raise ValueError(f"split: got {split!r}, expected 'train', 'validation' or 'test'")
        first, last = numbers or (RANGES[split] if split else (1, 1000))
        folders = [Path(root)] if root is not None else default_folders("mnist_dvs")
        every = find(folders, scale)
        self.files = [item for item in every if first <= item[1] <= last]
        self.name = f"MNIST-DVS {split or 'recordings'}"
        if not self.files:
            raise FileNotFoundError(
                f"no MNIST-DVS recordings {first} to {last} at scale {scale} "
                f"(mnist_D_scale{scale:02}_NNNN.aedat) below {' or '.join(map(str, folders))}, "
                f"where {len(every)} others lie: python -m vdib.datasets.download_mnist_dvs, "
                "or --data.recordings simulated"
            )
        labels = [digit for digit, _, _ in self.files]
        if target == "label":
            self.images, rows = NO_IMAGE, [0] * len(labels)
        elif target == "class":
            self.images, rows = class_images(), labels
        else:
            self.images = source_of([(digit, number) for digit, number, _ in self.files])
            rows = list(range(len(self.files)))
        self.shown = [
            Shown(digit, row, 1_000 * digit + number - 1)
            for row, (digit, number, _) in zip(rows, self.files, strict=True)
        ]

    def recording(self, index: int) -> Recording:
        return read_recording(self.files[index][2], **vars(self.options))

    def identity(self) -> Any:
        files = [file_identity(path) for _, _, path in self.files]
        changed = self.options.changed()
        return [files, repr(changed)] if changed else files


def source_of(recordings: Sequence[tuple[int, int]]) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """The MNIST training images that recordings (digit, number) show, (R, 28, 28)."""
    images = training_images(0, 12_000)
    rows = [(images.labels == digit).nonzero()[:, 0] for digit in range(10)]
    index = torch.stack([rows[digit][number - 1] for digit, number in recordings])
    return images.images[index].numpy()


class MNISTDVSSplits(RecordingSplits):
    """Digits that move over a screen, seen by a DVS128; the crop follows the digit.

    Args:
        recordings: `simulated` by `vdib.datasets.camera`, `real`, or `both` to train on and the
            real ones to validate and test on.
        target: one image per `class`, each digit's own `source` image, or its `label`.
        num_train, num_validation, num_test: simulated recordings.
        simulation_seed: of the simulated recordings, apart from the run's seed.
        source: of the simulated digits: `mnist`, the `digits` that come along, or `auto`.
        root: folder of the real recordings (default: `$VDIB_DATA/mnist_dvs`, then the cache).
        scale: of the real recordings.
        size: side of the crop in pixels.
        follow: where the crop goes: with events before and after (`whole`), or, as live input
            needs, with those of the `past` alone.
        phase: of the motion in which simulated recordings begin: `recorded`, always the same, as
            in real ones, or `any`.
        download: fetch what is missing (2.5 GB).
        num_steps, step_ms: T and ms a step.
        read: how files of real recordings are read, the settings of `ReadOptions`.
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
        follow: Literal["whole", "past"] = "whole",
        phase: Phase = "recorded",
        download: bool = False,
        num_steps: int = 80,
        step_ms: float = 25.0,
        **read: Any,
    ) -> None:
        self.options = ReadOptions(**read)
        self.kind = recordings
        self.target = target
        if target == "label":
            self.signal = Label(10)
        self.sizes = {"train": num_train, "validation": num_validation, "test": num_test}
        self.simulation_seed = simulation_seed
        self.source: Source = source
        self.root, self.scale, self.download = root, scale, download
        if follow not in ("whole", "past"):
            raise ValueError(f"follow: got {follow!r}, expected 'whole' or 'past'")
        self.phase: Phase = phase
        if follow == "past":
            self.track = Track((size, size))
        self.prepare = Preparation(
            () if self.track else (Follow((size, size)),),
            SpikeBinning(dt=step_us(num_steps, step_ms), num_steps=num_steps),
            SENSOR_SIZE,
        )

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        parts: list[RecordingSet] = []
        if self.kind != "simulated":
            if self.download:
                from vdib.datasets.download_mnist_dvs import download

                download(self.root, scale=self.scale)
            parts.append(MNISTDVS(split, self.root, self.scale, self.target, options=self.options))
        if self.kind == "simulated" or (self.kind == "both" and split == "train"):
            size, seed = self.sizes[split], self.simulation_seed
            more = self.target, self.source, self.phase
            parts.append(SimulatedMNISTDVS(split, size, seed, *more))
        return parts
