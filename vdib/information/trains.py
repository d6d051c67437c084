"""Spike trains of one's own, from a .npz with two arrays of the same recordings.

| array | sequences | one long recording |
|---|---|---|
| `x`, 0 or 1 | `(B, T, N_x)` | `(T, N_x)` |
| `y`, 0 or 1 | `(B, T, N_y)` | `(T, N_y)` |

Sequences are taken to be independent of each other and alike. Other names: `--x` and `--y`.
"""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdib.runs.command import UserError

MOST_NUMBERS = 200_000_000
"""Numbers of an array that are read at most: a file may promise more than it holds."""

_DAMAGED = (ValueError, BadZipFile, EOFError, AttributeError, OSError, KeyError, TypeError)


def read(path: Path, x: str, y: str) -> tuple[Tensor, Tensor]:
    """Both arrays as float32, with as many axes as they came with.

    Args:
        path: of the file.
        x: name of the input's array.
        y: name of the code's.

    Raises:
        UserError: no such file or array, or arrays that are no spike trains (one line).
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            has = list(file.files)
            missing = [name for name in (x, y) if name not in has]
            arrays = []
            for name in () if missing else (x, y):
                _check_header(file, name, path)
                arrays.append(file[name])
    except UserError:
        raise
    except _DAMAGED as error:
        raise UserError(f"{path} is damaged, or no .npz of plain arrays") from error
    if missing:
        held = ", ".join(has) or "nothing"
        raise UserError(f"{path}: has {held}, expected {missing[0]}: name it with --x or --y")
    both = [_spikes(array, name, path) for array, name in zip(arrays, (x, y), strict=True)]
    shapes = [tuple(array.shape) for array in both]
    if len(shapes[0]) != len(shapes[1]) or shapes[0][:-1] != shapes[1][:-1]:
        raise UserError(
            f"{path}: {x} {shapes[0]} and {y} {shapes[1]}, expected the same sequences and steps"
        )
    return both[0], both[1]


def _check_header(file: Any, name: str, path: Path) -> None:
    """Refuse an array by its header, before any of it is read."""
    with file.zip.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(member)
    size = int(np.prod([int(n) for n in shape], dtype=object))
    if size > MOST_NUMBERS:
        raise UserError(f"{path}: {name} of {size:,} numbers, expected {MOST_NUMBERS:,} at most")
    if dtype.kind not in "buif":
        raise UserError(f"{path}: {name} of {dtype}, expected spikes, 0 or 1")


def _spikes(array: NDArray[Any], name: str, path: Path) -> Tensor:
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise UserError(
            f"{path}: {name} of shape {array.shape}, expected (sequences, steps, neurons) or "
            "(steps, neurons)"
        )
    if not np.isin(array, (0, 1)).all():
        raise UserError(f"{path}: {name} holds other numbers than 0 and 1")
    return torch.from_numpy(array.astype(np.float32))
