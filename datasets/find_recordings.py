"""Which files below a folder are recordings: by their content where their names do not tell."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from vdib.datasets.formats.read_options import ReadOptions
from vdib.datasets.formats.registry import recognised
from vdib.datasets.formats.source import Faults, NotARecordingError

SUFFIXES = (".aedat", ".aedat4", ".raw", ".dat", ".bin", ".npy", ".npz", ".csv", ".txt")
_SHARED_SUFFIXES = (".npy", ".npz", ".csv", ".txt")
"""Those that other files go by as well."""


class FilesBelow(NamedTuple):
    """What lies below a folder: recordings, and files that have only their suffixes."""

    recordings: list[Path]
    others: list[Path]


def recordings_below(folder: Path, exclude: Sequence[str] = ()) -> FilesBelow:
    """All recordings, in order; hidden files and excluded ones are not looked at.

    Args:
        folder: where to look.
        exclude: patterns of names, or of paths below the folder: `*_bbox.npy`, `labels/*`.
    """
    below = FilesBelow([], [])
    for path in files_below(folder, SUFFIXES, exclude):
        (below.recordings if may_be_recording(path) else below.others).append(path)
    return below


def files_below(
    folder: Path, suffixes: Sequence[str], exclude: Sequence[str] = ()
) -> Iterator[Path]:
    """Files that go by these suffixes, in order, but for hidden and excluded ones."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        names = (path.name, path.relative_to(folder).as_posix())
        if any(fnmatch(name, pattern) for name in names for pattern in exclude):
            continue
        if path.is_file():
            yield path


def may_be_recording(path: Path) -> bool:
    """False where a text or NumPy file is whole and holds something else than events.

    Only its beginning is read. A file that is damaged or cannot be opened may be a recording:
    nothing that somebody recorded is passed over.
    """
    if path.suffix.lower() not in _SHARED_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            recognised(file, Faults(path, skip=False), ReadOptions())
    except NotARecordingError:
        return False
    except (OSError, ValueError, ImportError):
        pass
    return True


def passed_over(paths: Sequence[Path], why: str) -> str:
    """In words, that files are not used; empty where there are none."""
    if not paths:
        return ""
    names = ", ".join(path.name for path in paths[:3])
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"passed over, {why}: {names}{more}"
