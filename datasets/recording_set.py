"""Recordings with what they show: what every event data set yields.

H, W: pixels of a target image.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from vdib.datasets.events import Recording

Split = Literal["train", "validation", "test"]
Target = Literal["source", "class", "label"]
"""Whether a recording is to become its own source image, the one of its class, or no image."""
TARGETS = get_args(Target)
NO_IMAGE: NDArray[np.uint8] = np.zeros((1, 28, 28), np.uint8)
"""In the place of images where recordings become labels."""


class Shown(NamedTuple):
    """What a recording shows.

    Attributes:
        label: its class.
        image: row of the data set's `images` that it is to become.
        id: stable number of the example, never shared by two recordings of one data set.
    """

    label: int
    image: int
    id: int


class RecordingSet(Dataset[tuple[Recording, Shown]], ABC):
    """Recordings, read or made when asked for.

    Attributes:
        images: (M, H, W) uint8, all images that recordings are to become; vectors are (M, 1, D)
            float32.
        shown: what each recording shows, in order.
        name: of the data set, for progress bars and messages.
    """

    images: NDArray[np.uint8] | NDArray[np.float32]
    shown: Sequence[Shown]
    name: str

    def __len__(self) -> int:
        return len(self.shown)

    def __getitem__(self, index: int) -> tuple[Recording, Shown]:
        return self.recording(index), self.shown[index]

    @abstractmethod
    def recording(self, index: int) -> Recording:
        """The recording at a position."""

    @abstractmethod
    def identity(self) -> Any:
        """Everything the recordings depend on, in JSON's types: changed files are others."""


def file_identity(path: Path) -> list[Any]:
    """Name, size and time of the last change."""
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]
