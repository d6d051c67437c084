"""Arrays that take long to make, kept on disk under everything they depend on."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.one_at_a_time import one_at_a_time
from vdib.files import cache_folder, replacing

Arrays = dict[str, NDArray[Any]]


def cached(settings: Mapping[str, Any], make: Callable[[], Arrays], folder: Path) -> Arrays:
    """What `make` returns, from the folder where it was made under the same settings before.

    The file is named by the SHA-256 of the settings as JSON, so any change of them makes it anew.
    A file that does not read is made again; a folder that cannot be written costs the next run its
    time and nothing else. Of several processes that want the same, one makes it.

    Args:
        settings: all that the arrays depend on, in JSON's types.
        make: makes them.
        folder: where they are kept.
    """
    words = json.dumps(settings, sort_keys=True)
    path = folder / f"{sha256(words.encode()).hexdigest()[:32]}.npz"
    kept = _read(path)
    if kept is not None:
        return kept
    with one_at_a_time(folder, path.stem):
        kept = _read(path)  # somebody may have made them while we waited
        return _made(make, path) if kept is None else kept


def _read(path: Path) -> Arrays | None:
    """The arrays in a file; None where there is none, or none that can be read."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError:
        return None  # not there, or not for us
    except Exception:  # whatever the bytes of a damaged file happen to mean
        print(f"vdib: {path} is damaged: making it again", file=sys.stderr)
        with suppress(OSError):
            path.unlink()
        return None


def _made(make: Callable[[], Arrays], path: Path) -> Arrays:
    arrays = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        print(f"vdib: not kept for the next run: {error}", file=sys.stderr)
    return arrays


def default_folders(name: str) -> list[Path]:
    """Where a data set is looked for: below `$VDIB_DATA`, then in the user's cache."""
    given = os.environ.get("VDIB_DATA")
    return [*([Path(given) / name] if given else []), cache_folder() / name]
