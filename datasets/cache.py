"""Arrays that take long to make, kept on disk under everything they depend on."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.files import cache_folder, replacing

Arrays = dict[str, NDArray[Any]]


def cached(settings: Mapping[str, Any], make: Callable[[], Arrays], folder: Path) -> Arrays:
    """What `make` returns, from the folder where it was made under the same settings before.

    The file is named by the SHA-256 of the settings as JSON, so any change of them makes it anew.
    A file that does not read is made again; a folder that cannot be written costs the next run its
    time and nothing else.

    Args:
        settings: all that the arrays depend on, in JSON's types.
        make: makes them.
        folder: where they are kept.
    """
    words = json.dumps(settings, sort_keys=True)
    path = folder / f"{sha256(words.encode()).hexdigest()[:32]}.npz"
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError:
        pass  # not there, or not for us
    except Exception:  # whatever the bytes of a damaged file happen to mean
        print(f"vdib: {path} is damaged: making it again", file=sys.stderr)
    arrays = make()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        print(f"vdib: not kept for the next run: {error}", file=sys.stderr)
    return arrays


def default_folders(name: str) -> list[Path]:
    """Where a data set is looked for: below `$VDIB_DATA`, then in the user's cache."""
    given = os.environ.get("VDIB_DATA")
    return [*([Path(given) / name] if given else []), cache_folder() / name]
