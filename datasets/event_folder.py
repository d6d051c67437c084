"""Anyone's own recordings: a folder of files, with labels or with the images they are to become."""

import os
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.find_recordings import SUFFIXES, passed_over, recordings_below
from vdib.datasets.formats.read_options import ReadOptions, options_as_settings
from vdib.datasets.grey_image import image_of, read_image
from vdib.datasets.preparation import Preparation
from vdib.datasets.recording import Recording, read_recording
from vdib.datasets.recording_set import RecordingSet, Shown, Split, file_identity
from vdib.datasets.recording_splits import RecordingSplits, step_us
from vdib.datasets.sources import class_images
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.datasets.transforms.follow import Follow
from vdib.signal import Image, Label

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class EventFolder(RecordingSet):
    """Recordings below a folder, whatever their formats.

    **Labels.** A recording's class is the name of the folder it lies in (below the split's, where
    there are splits), classes being numbered in alphabetical order, or as they are called where
    all of them are numbers. Recordings that lie directly in the folder are of class 0.

    **Images.** What a recording is to become is, first found first taken: the image beside it of
    the same name (`a/b.npz` and `a/b.png`); the image beside its folder of the folder's name
    (`a.png`), one for the class; where all classes are digits 0 to 9, MNIST's image of the class.
    All images are read as grey and have one size. Without `images`, none is looked for.

    **Splits.** Folders `train`, `validation` and `test` below the root say which is which. Where
    there are none, the first byte of the SHA-256 of a recording's path below the root does: one
    in ten is validation, one in ten test, and adding files moves no other.

    **Other files.** A text or a NumPy file that is whole and holds no events (a note, a table of
    labels, boxes) is passed over; `exclude` names those that look like recordings and are none.

    Args:
        root: the folder.
        split: train, validation or test; None for all recordings there are.
        options: how the files are read.
        exclude: patterns of files to be left alone, of their names or of their paths below the
            root: `*_bbox.npy`, `labels/*`.
        images: whether recordings are to become images.

    Attributes:
        classes: the number of each class.
        unused: in words, which files below the root are in no split; empty where there are none.

    Raises:
        FileNotFoundError: no recordings, or no image for one of them (one line).
        ValueError: no such split, or images of several sizes.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Split | None = None,
        options: ReadOptions | None = None,
        exclude: Sequence[str] = (),
        images: bool = True,
    ) -> None:
        if split not in (None, *SPLITS):
            raise ValueError(f"split: got {split!r}, expected 'train', 'validation' or 'test'")
        self.root = Path(root)
        self.options = options or ReadOptions()
        every, others = recordings_below(self.root, exclude)
        marked = any((self.root / name).is_dir() for name in SPLITS)
        strays = [path for path in every if marked and self._split(path, marked) not in SPLITS]
        self.unused = passed_over(others, "no recordings") or passed_over(
            strays, f"not in {', '.join(SPLITS)}"
        )
        kept = [p for p in every if split in (None, self._split(p, marked))]
        if not kept:
            where = self.root / (split or "") if marked else self.root
            raise FileNotFoundError(
                f"no {f'{split} ' if split else ''}recordings ({', '.join(SUFFIXES)}) "
                f"below {where}, "
                f"where {len(every)} lie in all: more of them, or folders {', '.join(SPLITS)}"
            )
        self.files = kept
        self.name = f"{self.root.name} {split or 'recordings'}"
        classes = [self._class(path, marked) for path in every]
        self.classes = _numbered(classes)
        self.judged = all(name.isdecimal() and int(name) < 10 for name in classes)
        rows = [0] * len(kept)
        self.images = np.zeros((1, 1, 1), np.uint8)
        if images:
            rows = self._choose_images(marked)
        self.judged = self.judged and self.images.shape[1:] == (28, 28)
        self.shown = [
            Shown(self.classes[self._class(path, marked)], row, self._id(path))
            for path, row in zip(kept, rows, strict=True)
        ]

    def _choose_images(self, marked: bool) -> list[int]:
        """Read the images; which of them each recording is to become."""
        digits = None
        images: dict[Path | str, NDArray[np.uint8]] = {}
        chosen: list[Path | str] = []
        for path in self.files:
            name = self._class(path, marked)
            key: Path | str = image_of(path) or (name if self.judged else "")
            if not key:
                raise FileNotFoundError(
                    f"{path} is to become which image? Put {path.stem}.png beside it, "
                    f"or {path.parent.name}.png beside its folder, or --data.target label"
                )
            if isinstance(key, str):
                digits = class_images() if digits is None else digits
                images[key] = digits[int(key)]
            elif key not in images:
                images[key] = read_image(key)
            chosen.append(key)
        sizes = {image.shape for image in images.values()}
        if len(sizes) > 1:
            raise ValueError(f"{self.root}: images of one size expected, got {sorted(sizes)}")
        self.images = np.stack(list(images.values()))
        row = {key: row for row, key in enumerate(images)}
        return [row[key] for key in chosen]

    def recording(self, index: int) -> Recording:
        return read_recording(self.files[index], **vars(self.options))

    def identity(self) -> Any:
        return [repr(self.options.changed()), [file_identity(path) for path in self.files]]

    def _below(self, path: Path) -> Path:
        return path.relative_to(self.root)

    def _digest(self, path: Path) -> bytes:
        # A name need not be of the file system's encoding.
        return sha256(self._below(path).as_posix().encode("utf-8", "surrogateescape")).digest()

    def _id(self, path: Path) -> int:
        return int.from_bytes(self._digest(path)[:6], "big")

    def _split(self, path: Path, marked: bool) -> str:
        if marked:
            return self._below(path).parts[0]
        share = self._digest(path)[0] / 256
        return "test" if share < 0.1 else "validation" if share < 0.2 else "train"

    def _class(self, path: Path, marked: bool) -> str:
        parents = self._below(path).parts[int(marked) : -1]
        return parents[-1] if parents else ""


def _numbered(names: Sequence[str]) -> dict[str, int]:
    ordered = sorted(set(names))
    if all(name.isdecimal() for name in ordered) and len(set(map(int, ordered))) == len(ordered):
        return {name: int(name) for name in ordered}
    return {name: number for number, name in enumerate(ordered)}


class EventFolderSplits(RecordingSplits):
    """Anyone's own recordings: see `vdib.datasets.event_folder.EventFolder`.

    Args:
        root: the folder.
        target: what recordings become: an `image`, or the `label` of their class.
        image_shape: height and width of the images (default: as they are).
        judged: whether that are digits, which the judge knows (default: as the classes are called).
        num_classes: how many labels there are (default: as many as folders).
        class_names: what they are called, in order (default: as the folders are).
        crop: left, top, width and height in pixels.
        follow: width and height of a window that follows what moves, instead of a crop.
        downsample: pixels a side that share an input neuron.
        polarity: `two` channels, or one `merged`.
        exclude: patterns of files that are no recordings, such as `*_bbox.npy` or `labels/*`.
        num_steps, step_ms: T and ms a step, from a recording's first event on.
        read: how files are read, the settings of `ReadOptions`. Without `sensor_size` the camera's
            is as the first recording says.
    """

    def __init__(
        self,
        root: str,
        target: Literal["image", "label"] = "image",
        image_shape: tuple[int, int] | None = None,
        judged: bool | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        crop: tuple[int, int, int, int] | None = None,
        follow: tuple[int, int] | None = None,
        downsample: int = 1,
        polarity: Literal["two", "merged"] = "two",
        exclude: Sequence[str] = (),
        num_steps: int = 80,
        step_ms: float = 25.0,
        **read: Any,
    ) -> None:
        if crop and follow:
            raise ValueError("crop and follow: expected one of the two")
        self.root = os.path.abspath(os.path.expanduser(root))
        self.options = ReadOptions(**read)
        self.exclude = tuple(exclude)
        self.images = target == "image"
        size = self.options.sensor_size
        said = (size, image_shape, judged) if self.images else (size, num_classes, class_names)
        if None in said:
            train = EventFolder(self.root, "train", self.options, self.exclude, self.images)
            with options_as_settings():
                size = size or train.recording(0).sensor_size
            height, width = train.images.shape[1:]
            image_shape = image_shape or (height, width)
            judged = train.judged if judged is None else judged
            num_classes = num_classes or max(train.classes.values()) + 1
            names = {number: name for name, number in train.classes.items()}
            if class_names is None:
                class_names = [names.get(i, "") or str(i) for i in range(num_classes)]
        # Said in the run's config.yaml, so that the run is of use where the folder is not.
        self.found = {"sensor_size": size}
        if self.images:
            assert image_shape is not None
            self.found |= {"image_shape": image_shape, "judged": judged}
            self.signal = Image(tuple(image_shape), bool(judged))
        else:
            assert num_classes is not None
            assert class_names is not None
            self.found |= {"num_classes": num_classes, "class_names": list(class_names)}
            self.signal = Label(num_classes, tuple(class_names))
        self.prepare = Preparation(
            (Follow(follow),) if follow else (),
            SpikeBinning(
                dt=step_us(num_steps, step_ms),
                num_steps=num_steps,
                polarity=polarity,
                crop=crop,
                downsample=downsample,
            ),
            size,
        )

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        found = EventFolder(self.root, split, self.options, self.exclude, self.images)
        if split == "train" and found.unused:
            print(f"vdib: {found.unused}", file=sys.stderr)
        return [found]
