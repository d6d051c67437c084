"""N-MNIST: MNIST's digits on a screen, seen by a sensor that moves in three saccades.

Orchard, Jayawant, Cohen, Thakor, "Converting Static Image Datasets to Spiking Neuromorphic
Datasets Using Saccades", Frontiers in Neuroscience 9, 2015,
https://doi.org/10.3389/fnins.2015.00437. 60,000 + 10,000 recordings of 34 x 34 pixels and 0.3 s.
"""

import os
import shutil
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile

from vdib.datasets.cache import default_folders
from vdib.datasets.formats.nmnist_bin import SENSOR_SIZE
from vdib.datasets.mnist import MNIST, NUM_TRAINING, training_images
from vdib.datasets.one_at_a_time import one_at_a_time
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
from vdib.datasets.simulated import SimulatedNMNIST
from vdib.datasets.sources import Source, class_images
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.files import cache_folder
from vdib.signal import Label

_COUNTS = {"Train": NUM_TRAINING, "Test": 10_000}
_SCRATCH = ".nmnist-"

__all__ = ["NMNIST", "SENSOR_SIZE", "download_nmnist"]


class NMNIST(RecordingSet):
    """The recordings `Train/<class>/<number>.bin` and `Test/<class>/<number>.bin`.

    Training recording n shows MNIST training image n - 1, test recording n test image n - 1: its
    source, whose number in `vdib.datasets.mnist.MNIST` is its id.

    Without a fold, the test split is `Test`, validation the training recordings of MNIST's
    validation images (0 to 4,999), training the rest. With one, only `Train` is used, whatever
    part of it there is: its recordings, in order of their numbers, go to the folds in turn; the
    fold's are the test split, every tenth of the others validation, the rest training.

    Args:
        split: train, validation or test; None for all of `Train`.
        root: folder; by default `$VDIB_DATA/nmnist`, then the user's cache.
        fold: 0 to `num_folds` - 1; None for the official split.
        num_folds: of cross-validation.
        target: "class" for one image per class, "source" for each digit's own, "label" for none.
        options: how the files are read.

    Raises:
        FileNotFoundError: no such recordings (one line, which says where to get them).
        ValueError: no such split, fold or target.
    """

    def __init__(
        self,
        split: Split | None = None,
        root: str | os.PathLike[str] | None = None,
        fold: int | None = None,
        num_folds: int = 5,
        target: Target = "source",
        options: ReadOptions | None = None,
    ) -> None:
        self.options = options or ReadOptions()
        if split not in (None, "train", "validation", "test") or target not in TARGETS:
            raise ValueError(f"got split {split!r} and target {target!r}, expected 'train', "
                             "'validation' or 'test' and 'source', 'class' or 'label'")  # fmt: skip
        if fold is not None and not 0 <= fold < num_folds:
            raise ValueError(f"fold: got {fold}, expected 0 to {num_folds - 1}")
        folders = [Path(root)] if root is not None else default_folders("nmnist")
        official_test = split == "test" and fold is None
        part = "Test" if official_test else "Train"
        found = _find(folders, part)
        if split is not None and fold is not None:
            found = [item for i, item in enumerate(found) if _in_fold(i, fold, num_folds) == split]
        elif split in ("train", "validation"):
            found = [item for item in found if (item[1] <= 5_000) == (split == "validation")]
        if not found:
            raise FileNotFoundError(
                f"no N-MNIST recordings for the {split or 'training'} split "
                f"({part}/<class>/<number>.bin) below {' or '.join(map(str, folders))}: "
                "--data.download true (needs tonic), or with a part of Train only --data.fold 0"
            )
        self.files = found
        self.name = f"N-MNIST {split or 'recordings'}"
        labels = [label for label, _, _ in found]
        if target == "label":
            self.images, rows = NO_IMAGE, [0] * len(labels)
        elif target == "class":
            # Of MNIST's training images from 12,000 on, which no recording of a fold shows.
            self.images, rows = class_images("mnist"), labels
        else:
            index = [number - 1 for _, number, _ in found]
            every = MNIST("test") if official_test else training_images(0, NUM_TRAINING)
            self.images, rows = every.images[index].numpy(), list(range(len(found)))
        base = NUM_TRAINING if official_test else 0
        self.shown = [
            Shown(label, row, base + number - 1)
            for row, (label, number, _) in zip(rows, found, strict=True)
        ]

    def recording(self, index: int) -> Recording:
        return read_recording(self.files[index][2], **vars(self.options))

    def identity(self) -> Any:
        files = [file_identity(path) for _, _, path in self.files]
        changed = self.options.changed()
        return [files, repr(changed)] if changed else files


def _find(folders: list[Path], part: str) -> list[tuple[int, int, Path]]:
    """Label, number and path, in order of the numbers, of where most are; tonic adds `NMNIST`."""
    every: list[list[tuple[int, int, Path]]] = [[]]
    for folder in folders:
        for place in (folder / part, folder / "NMNIST" / part):
            paths = [path for path in place.glob("[0-9]/*.bin") if path.stem.isdecimal()]
            found = [(int(path.parent.name), int(path.stem), path) for path in paths]
            every.append([item for item in found if 1 <= item[1] <= _COUNTS[part]])
    most: list[tuple[int, int, Path]] = max(every, key=len)
    return sorted(most, key=lambda item: item[1])


def _in_fold(position: int, fold: int, num_folds: int) -> Split:
    if position % num_folds == fold:
        return "test"
    return "validation" if position // num_folds % 10 == 0 else "train"


def download_nmnist(root: str | os.PathLike[str] | None = None) -> Path:
    """Both parts, through tonic (1.1 GB, checksummed), to a folder or the user's cache.

    Each part is put in place in one step once it is complete; what a killed process has left is
    fetched again.

    Raises:
        ImportError: tonic is missing (one line).
        OSError: the server does not answer, or sends something else (one line).
    """
    from vdib.datasets.extras import import_extra

    folder = Path(root) if root is not None else cache_folder() / "nmnist"
    places = [folder] if root is not None else default_folders("nmnist")
    missing = [part for part, count in _COUNTS.items() if len(_find(places, part)) < count]
    if not missing:
        return folder
    tonic = import_extra("tonic", "tonic")
    with one_at_a_time(folder, "nmnist"):
        for part in missing:
            if len(_find(places, part)) < _COUNTS[part]:
                _fetch(tonic, folder, part)
    return folder


def _fetch(tonic: Any, folder: Path, part: str) -> None:
    for left in folder.glob(f"{_SCRATCH}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(dir=folder, prefix=_SCRATCH) as name:
        scratch = Path(name)
        try:
            tonic.datasets.NMNIST(str(scratch / "new"), train=part == "Train")
        except (OSError, RuntimeError, HTTPException, BadZipFile) as error:
            raise OSError(f"N-MNIST could not be fetched: {str(error).splitlines()[0]}") from None
        place = folder / "NMNIST" / part
        place.parent.mkdir(exist_ok=True)
        if place.exists():  # not complete, or it would not be fetched
            os.replace(place, scratch / "old")
        os.replace(scratch / "new" / "NMNIST" / part, place)


class NMNISTSplits(RecordingSplits):
    """Digits on a screen, seen by a sensor that moves in three saccades.

    Args:
        recordings: `simulated` by `vdib.datasets.camera`, `real`, or `both` to train on and the
            real ones to validate and test on.
        target: one image per `class`, each digit's own `source` image, or its `label`.
        num_train, num_validation, num_test: simulated recordings.
        simulation_seed: of the simulated recordings, apart from the run's seed.
        real_weight: how often an epoch shows each real recording to train on.
        source: of the simulated digits: `mnist`, the `digits` that come along, or `auto`; beside
            real recordings only `mnist`, because those may show digits that come along.
        root: folder of the real recordings (default: `$VDIB_DATA/nmnist`, then the cache).
        fold, num_folds: which part of `Train` to test on, of how many; none: the official split.
        download: fetch what is missing through tonic (1.1 GB).
        num_steps, step_ms: T and ms a step.
        read: how files of real recordings are read, the settings of `ReadOptions`.
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
        num_folds: int = 5,
        download: bool = False,
        num_steps: int = 30,
        step_ms: float = 10.0,
        **read: Any,
    ) -> None:
        if real_weight < 1:
            raise ValueError(f"real_weight: got {real_weight}, expected at least 1")
        if recordings == "both":
            if source == "digits":
                raise ValueError("source: got 'digits', expected 'mnist' beside real recordings")
            source = "mnist"
        self.options = ReadOptions(**read)
        self.kind, self.target = recordings, target
        if target == "label":
            self.signal = Label(10)
        self.sizes = {"train": num_train, "validation": num_validation, "test": num_test}
        self.real_weight = real_weight
        self.simulation_seed = simulation_seed
        self.source: Source = source
        self.root, self.folds, self.download = root, (fold, num_folds), download
        # From time 0, not from the first event: the saccades have a fixed schedule.
        binning = SpikeBinning(dt=step_us(num_steps, step_ms), num_steps=num_steps, start=0)
        self.prepare = Preparation((), binning, SENSOR_SIZE)

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        parts: list[RecordingSet] = []
        if self.kind != "simulated":
            if self.download:
                download_nmnist(self.root)
            real = NMNIST(split, self.root, *self.folds, self.target, self.options)
            parts += [real] * (self.real_weight if split == "train" else 1)
        if self.kind == "simulated" or (self.kind == "both" and split == "train"):
            size, seed = self.sizes[split], self.simulation_seed
            parts.append(SimulatedNMNIST(split, size, seed, self.target, self.source))
        return parts
