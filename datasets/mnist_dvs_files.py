"""The files of MNIST-DVS, by their names: `mnist_D_scaleSS_NNNN.aedat`."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

NAME = re.compile(r"mnist_(\d)_scale(\d\d)_(\d{4})(?:_\w+)?\.aedat")


def find(folders: Sequence[Path], scale: int) -> list[tuple[int, int, Path]]:
    """Digit, number and path of the recordings of a scale, each once, in order."""
    found: dict[tuple[int, int], Path] = {}
    for folder in folders:
        paths: list[Path] = []
        for place, below, names in os.walk(folder):
            # Not into hidden folders: a download in another process moves and removes its own.
            below[:] = [name for name in below if not name.startswith(".")]
            paths += [Path(place, name) for name in names]
        for path in sorted(paths):
            named = NAME.fullmatch(path.name)
            if named and int(named[2]) == scale and 1 <= int(named[3]) <= 1000:
                found.setdefault((int(named[1]), int(named[3])), path)
    return [(*key, path) for key, path in sorted(found.items())]
