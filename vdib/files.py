"""Files that are written whole or not at all, and the user's cache folder."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SCRATCH = ".*.tmp"
"""What files are called while they are written: only a killed process leaves one behind."""


@contextmanager
def replacing(path: str | os.PathLike[str], durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` once it is complete.

    It lies in the same folder, as only there can a file be renamed in one step, and reaches the
    disk before it is renamed. A reader sees the old file or the new one; after a failure the old
    one is as it was, and nothing is left behind.

    Args:
        path: of the file.
        durable: wait for the disk. Not worth it for what is made thousands of times.

    Raises:
        OSError: the file cannot be written; it names `path`.
    """
    target = Path(path)
    # Names may be as long as the file system allows; two processes may write one file.
    scratch = target.with_name(f".{target.name[:40]}.{os.urandom(4).hex()}.tmp")
    try:
        with scratch.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(scratch, target)
    except OSError as error:
        if error.filename in (None, str(scratch)):
            raise OSError(error.errno, error.strerror or str(error), str(target)) from error
        raise
    finally:
        scratch.unlink(missing_ok=True)


def cache_folder() -> Path:
    """The user's cache folder of this package; it need not exist.

    Where there is no home, or nothing can be written in it, a private folder among the temporary
    files: caches cost time only.
    """
    folder = _users_cache()
    if folder is not None and (os.path.isdir(folder) or _can_be_made(folder)):
        return folder
    return _private_folder() or folder or Path(os.devnull, "vdib")  # nothing is ever found there


def _users_cache() -> Path | None:
    given = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    if given:
        return Path(given) / "vdib"
    try:
        home = Path.home()
    except RuntimeError:  # a user id without a name
        return None
    below = {"win32": "AppData/Local", "darwin": "Library/Caches"}
    return home / below.get(sys.platform, ".cache") / "vdib"


def _can_be_made(folder: Path) -> bool:
    """Whether the nearest folder above it that exists can be written in."""
    above = next(path for path in folder.absolute().parents if os.path.exists(path))
    return os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK)


def _private_folder() -> Path | None:
    """A folder among the temporary files that nobody else can write in, or None."""
    try:
        if sys.platform == "win32":  # of the user already
            return Path(tempfile.gettempdir(), "vdib")
        folder = Path(tempfile.gettempdir(), f"vdib-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        # Another user could have made it, and put into it what we would then trust.
        ours = found.st_uid == os.getuid() and not found.st_mode & 0o077 and not folder.is_symlink()
        return folder if ours else Path(tempfile.mkdtemp(prefix="vdib-"))
    except OSError:
        return None
