"""A data set is prepared by one process at a time; the others wait, and find it done."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def one_at_a_time(folder: Path, name: str) -> Iterator[None]:
    """Only one process of this machine is inside, for a folder and a name.

    Whoever has waited has to look again whether there is anything left to do. A killed process
    leaves the lock free. Where the folder cannot be written, nobody waits: locks save work, and
    what is prepared is put in place in one step in any case.

    Args:
        folder: where the lock lies; made if it is not there.
        name: of what is prepared.
    """
    path = folder / f".{name}.lock"
    lock = FileLock(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        # Whoever still waits holds the file that is gone, and finds the work done.
        path.unlink(missing_ok=True)
        lock.release()
