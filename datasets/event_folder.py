"""Anyone's own recordings: a folder of files, with labels or with the images they are to become."""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.find_recordings import SUFFIXES, passed_over, recordings_below
from vdib.datasets.recording import ReadOptions, Recording, read_recording
from vdib.datasets.recording_set import RecordingSet, Shown, Split, file_identity
from vdib.datasets.sources import class_images

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".tif", ".tiff")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class EventFolder(RecordingSet):
    """Recordings below a folder, whatever their formats.

    **Labels.** A recording's class is the name of the folder it lies in (below the split's, where
    there are splits), classes being numbered in alphabetical order, or as they are called where
    all of them are numbers. Recordings that lie directly in the folder are of class 0.

    **Images.** What a recording is to become is, first found first taken: the image beside it of
    the same name (`a/b.npz` and `a/b.png`); the image beside its folder of the folder's name
    (`a.png`), one for the class; where all classes are digits 0 to 9, MNIST's image of the class.
    All images are read as grey and have one size.

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

    Attributes:
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
        digits = None
        images: dict[Path | str, NDArray[np.uint8]] = {}
        chosen: list[Path | str] = []
        for path in kept:
            name = self._class(path, marked)
            key: Path | str = _image_of(path) or (name if self.judged else "")
            if not key:
                raise FileNotFoundError(
                    f"{path} is to become which image? Put {path.stem}.png beside it, "
                    f"or {path.parent.name}.png beside its folder"
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
        rows = {key: row for row, key in enumerate(images)}
        self.images = np.stack(list(images.values()))
        self.judged = self.judged and self.images.shape[1:] == (28, 28)
        self.shown = [
            Shown(self.classes[self._class(path, marked)], rows[key], self._id(path))
            for path, key in zip(kept, chosen, strict=True)
        ]

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


def _image_of(recording: Path) -> Path | None:
    """The image of a recording: beside it, or beside its folder."""
    for stem in (recording.with_suffix(""), recording.parent):
        for suffix in IMAGES:
            path = stem.parent / f"{stem.name}{suffix}"
            if path.is_file():
                return path
    return None


def read_image(path: Path) -> NDArray[np.uint8]:
    """A grey image, (H, W).

    Raises:
        ValueError: the file is no image (one line).
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            grey: NDArray[np.uint8] = np.asarray(image.convert("L"), np.uint8)
            return grey
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from None
