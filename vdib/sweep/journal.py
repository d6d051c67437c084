"""A study as a file that grows, on a disk that all machines of a sweep see."""

import os
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock


class Journal(JournalFileBackend):
    """Optuna's, but a line that a lost machine left half written does not spoil those after it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own_lock = JournalFileOpenLock(str(path))
        super().__init__(str(path), self._own_lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._own_lock.acquire()
        try:
            mend(self._path)
        finally:
            self._own_lock.release()
        super().append_logs(logs)


def mend(path: Path) -> None:
    """Cut off the last line where it does not end: nobody has read it."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        kept = size
        while kept:
            start = max(0, kept - 4096)
            file.seek(start)
            end = file.read(kept - start).rfind(b"\n")
            if end >= 0:
                kept = start + end + 1
                break
            kept = start
        if kept < size:
            file.truncate(kept)


def journal(path: Path) -> JournalStorage:
    """The study in a file, which is made where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(Journal(path))
