"""MNIST (LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document
recognition", 1998, http://yann.lecun.com/exdb/mnist/), read from disk or downloaded once.

The files are looked for in `$VDIB_DATA/mnist`, then in the user's cache; a download goes to the
cache only. Both folders have torchvision's layout, `MNIST/raw/<idx file>`, not gzipped.
"""

import io
import math
import os
import shutil
import struct
import sys
import textwrap
from contextlib import redirect_stderr, redirect_stdout
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from vdib.datasets.images import ImageSet
from vdib.datasets.one_at_a_time import one_at_a_time
from vdib.files import cache_folder

NUM_TRAINING = 60_000
_RAW = Path("MNIST", "raw")
_SCRATCH = ".mnist-"
_SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}


class MNIST(ImageSet):
    """The MNIST digits; downloaded (11 MB) the first time, unless told not to.

    | split | images | ids |
    |---|---|---|
    | train | training images 5,000 to 59,999 | their index |
    | validation | training images 0 to 4,999 | their index |
    | test | the 10,000 test images | 60,000 + their index |

    Validation lies below 12,000 because the judge (`vdib.judge`) was trained on training images
    12,000 to 59,999: an accuracy it reports has to be on digits that it never saw.

    Raises:
        FileNotFoundError: the files are absent and could not be downloaded (one line).
        OSError: a file is not the MNIST file that its name says (one line).
        ValueError: no such split.
    """

    def __init__(
        self, split: Literal["train", "validation", "test"], download: bool = True
    ) -> None:
        if split == "train":
            part = training_images(5_000, NUM_TRAINING, download)
        elif split == "validation":
            part = training_images(0, 5_000, download)
        elif split == "test":
            part = _read(False, 0, 10_000, download)
        else:
            raise ValueError(f"split: got {split!r}, expected 'train', 'validation' or 'test'")
        super().__init__(part.images, part.labels, part.ids)


def training_images(start: int, stop: int, download: bool = True) -> ImageSet:
    """MNIST's training images start..stop - 1, whatever split they belong to.

    Raises:
        FileNotFoundError, OSError: as `MNIST`.
        ValueError: not a range within the 60,000 images.
    """
    if not 0 <= start < stop <= NUM_TRAINING:
        raise ValueError(f"range: got {start}..{stop}, expected 0 <= start < stop <= 60000")
    return _read(True, start, stop, download)


def _read(train: bool, start: int, stop: int, download: bool) -> ImageSet:
    root = _find(download)
    # torchvision meets a damaged file with a bare assertion, and a wrong size with nothing at all
    for name, shape in _SHAPES.items():
        _check_idx(root / _RAW / name, shape)
    # here, because torchvision takes a second to import
    from torchvision.datasets import MNIST as Files  # type: ignore[import-untyped]

    files = Files(str(root), train=train)
    ids = torch.arange(start, stop) + (0 if train else NUM_TRAINING)
    # clones: a pickled view would carry all 60,000 images along
    return ImageSet(files.data[start:stop].clone(), files.targets[start:stop].clone(), ids)


def _find(download: bool) -> Path:
    given = os.environ.get("VDIB_DATA")
    cache = cache_folder() / "mnist"
    folders = [Path(given) / "mnist", cache] if given else [cache]
    for root in folders:
        if _complete(root):
            return root
    why = "downloading is off"
    if download:
        try:
            with one_at_a_time(cache, "mnist"):
                if not _complete(cache):  # by now
                    _download(cache)
            return cache
        except (OSError, RuntimeError, HTTPException) as error:
            why = textwrap.shorten(str(error), 120) or type(error).__name__
    names = ", ".join(_SHAPES)
    raise FileNotFoundError(
        f"MNIST not found: put {names} (not gzipped) into {folders[0] / _RAW} ({why})"
    ) from None


def _complete(root: Path) -> bool:
    return all((root / _RAW / name).is_file() for name in _SHAPES)


def _download(root: Path) -> None:
    from torchvision.datasets import MNIST as Files

    raw = root / _RAW
    raw.mkdir(parents=True, exist_ok=True)
    print(f"vdib: downloading MNIST (11 MB) into {raw}", file=sys.stderr)
    silence = io.StringIO()
    # a folder of its own, then renames: ranks that download at once never see half a file
    for left in root.glob(f"{_SCRATCH}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(dir=root, prefix=_SCRATCH) as scratch:
        with redirect_stdout(silence), redirect_stderr(silence):
            Files(scratch, download=True)
        for name in _SHAPES:
            os.replace(Path(scratch) / _RAW / name, raw / name)


def _check_idx(path: Path, shape: tuple[int, ...]) -> None:
    """An idx file is big-endian: 0x0800 + dimensions, each dimension, then that many bytes."""
    header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
    size = len(header) + math.prod(shape)
    with path.open("rb") as file:
        found = file.read(len(header))
    if found != header or path.stat().st_size != size:
        raise OSError(
            f"{path} is damaged: expected {size} bytes starting {header.hex()}, got "
            f"{path.stat().st_size} starting {found.hex()}; replace it"
        )
