"""A recording, replayed as fast as it was made, or so many times as fast."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vdib.datasets.recording import Recording, read_pieces
from vdib.live.aestream import Events
from vdib.live.queue import EventQueue
from vdib.live.source import Source, now

_PIECE_US = 5_000  # of the recording, given at once


class FileSource(Source):
    """A file of events in real time.

    Args:
        path: of the recording.
        speed: times as fast as it was made.
        read: how it is read.
        size: (width, height) of its sensor, where it does not say.
    """

    def __init__(
        self,
        path: Path,
        speed: float = 1.0,
        read: Mapping[str, Any] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if not 0 < speed < float("inf"):
            raise ValueError(f"{path}@{speed}x: expected a speed above 0")
        if not path.is_file():
            raise FileNotFoundError(2, "No such file or directory", str(path))
        self.path, self.speed, self.read, self.size = path, speed, dict(read or {}), size
        self.name = f"{path}@{speed:g}x"

    def run(self, queue: EventQueue) -> None:
        begun, first = now(), None
        for piece in read_pieces(self.path, **self.read, default_size=self.size):
            self.bad += piece.num_skipped
            if not len(piece):
                continue
            first = int(piece.t[0]) if first is None else first
            start = 0
            while start < len(piece):
                stop = int(np.searchsorted(piece.t, piece.t[start] + _PIECE_US))
                due = begun + (int(piece.t[stop - 1]) - first) / 1e6 / self.speed
                if self.stopped.wait(max(0.0, due - now())):
                    return
                queue.put(events_of(piece.part(start, stop), now()))
                start = stop


def events_of(recording: Recording, arrived: float) -> Events:
    """A recording's events as they would arrive."""
    return Events(recording.x, recording.y, recording.p, recording.t, arrived)
