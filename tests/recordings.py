"""Small recordings, and folders of them, for tests of what is done with recordings."""

import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vdib.datasets.images import ImageSet
from vdib.datasets.recording import Origin, Recording

DATA = os.environ.get("VDIB_DATA")


def real(*names: str) -> pytest.MarkDecorator:
    """Skips where VDIB_DATA has not all of these."""
    missing = [name for name in names if not DATA or not Path(DATA, name).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)} in VDIB_DATA")


def of(x: Any, y: Any, t: Any, p: Any, size: tuple[int, int] = (34, 34)) -> Recording:
    fields = (np.array(a, d) for a, d in zip((x, y, t, p), ("i2", "i2", "i8", "?"), strict=True))
    return Recording(*fields, size, Origin("here", "test"))


def at_times(*t: int) -> Recording:
    """Events that differ in x, so that each can be told from those at the same time."""
    return of(range(len(t)), [0] * len(t), t, [True] * len(t), (max(1, len(t)), 1))


def scattered(
    count: int = 300, size: tuple[int, int] = (34, 34), us: int = 100_000, seed: int = 0
) -> Recording:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, size[0], count), rng.integers(0, size[1], count)
    return of(x, y, np.sort(rng.integers(0, us, count)), rng.random(count) < 0.5, size)


def pieces(recording: Recording, cuts: Iterable[int]) -> list[Recording]:
    """The recording cut before these events."""
    edges = [0, *sorted(cuts), len(recording)]
    return [recording.part(a, b) for a, b in pairwise(edges)]


def fields(recording: Recording) -> list[list[Any]]:
    return [getattr(recording, name).tolist() for name in "xytp"]


def write_npz(path: Path, recording: Recording) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: getattr(recording, name) for name in "xytp"})
    return path


def write_image(path: Path, grey: Any) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(grey, np.uint8)).save(path)
    return path


def same_files(folder: Path) -> dict[str, bytes]:
    """What lies below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def one_line(error: BaseException | str, *parts: str) -> None:
    """An error is one line that says these."""
    words = str(error)
    assert "\n" not in words
    for part in parts:
        assert part in words, (part, words)


def numbered_digits(start: int, stop: int, download: bool = True) -> ImageSet:
    """In MNIST's place: image i is of class i mod 10 and begins with i in four bytes."""
    index = np.arange(start, stop)
    images = np.zeros((len(index), 28, 28), np.uint8)
    images[:, 0, :4] = index.astype(">u4").view(np.uint8).reshape(-1, 4)
    return ImageSet(*(torch.from_numpy(a) for a in (images, index % 10, index)))


def number_of(image: Any) -> int:
    """Which of `numbered_digits` it is."""
    return int.from_bytes(np.asarray(image, np.uint8)[0, :4].tobytes(), "big")
