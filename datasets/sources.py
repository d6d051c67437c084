"""The digits that simulated recordings show, split so that no test digit is ever trained on.

| split | from MNIST | from the digits that come along |
|---|---|---|
| train | training images 12,000 to 59,999 | `Digits("train")`, 4,000 |
| validation | training images 6,000 to 11,999 | `Digits("validation")`, 500 |
| test | the 10,000 test images | `Digits("test")`, 500 |

The sources of N-MNIST's first 1,000 recordings and of the first 300 zeros of MNIST-DVS lie below
MNIST training image 6,000: outside of training, validation, test and the judge's training.
"""

import sys
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vdib.datasets.digits import Digits
from vdib.datasets.images import ImageSet
from vdib.datasets.mnist import MNIST, training_images
from vdib.datasets.recording_set import Split

Source = Literal["auto", "mnist", "digits"]
_RANGES = {"train": (12_000, 60_000), "validation": (6_000, 12_000)}


def source_images(split: Split, source: Source = "auto") -> ImageSet:
    """The images behind the simulated recordings of a split.

    Args:
        split: see the table.
        source: "mnist", "digits", or "auto": MNIST where it is found or can be downloaded, and
            otherwise the digits, with a line on stderr that says so.

    Raises:
        FileNotFoundError: the files are absent and could not be downloaded.
        ValueError: no such split or source.
    """
    if split not in (*_RANGES, "test"):
        raise ValueError(f"split: got {split!r}, expected 'train', 'validation' or 'test'")
    if source not in ("auto", "mnist", "digits"):
        raise ValueError(f"source: got {source!r}, expected 'auto', 'mnist' or 'digits'")
    if source == "digits":
        return Digits(split)
    try:
        return training_images(*_RANGES[split]) if split in _RANGES else MNIST("test")
    except FileNotFoundError as error:
        if source == "mnist":
            raise
        if split == "train":
            print(f"vdib: using the 4,000 digits that come along: {error}", file=sys.stderr)
        return Digits(split)


def class_images(source: Source = "auto") -> NDArray[np.uint8]:
    """One image per digit, `(10, 28, 28)`: of the training images, the one nearest the mean."""
    images = source_images("train", source)
    chosen = []
    for digit in range(10):
        these = images.images[images.labels == digit]
        flat = these.flatten(1).float()
        chosen.append(these[(flat - flat.mean(0)).square().sum(1).argmin()])
    return torch.stack(chosen).numpy()
