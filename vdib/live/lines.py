"""Events as lines of text on a pipe: `t,x,y,p`, us and pixels."""

import os
import select
import sys

import numpy as np

from vdib.live.aestream import Events
from vdib.live.queue import EventQueue
from vdib.live.source import Source, now

_PATIENCE = 0.1  # s, after which it is looked whether to stop


class LineSource(Source):
    """Lines of four whole numbers, parted by commas or blanks; others are counted as bad.

    Args:
        descriptor: of the pipe; stdin by default.
    """

    name = "stdin"

    def __init__(self, descriptor: int | None = None) -> None:
        super().__init__()
        self.descriptor = sys.stdin.fileno() if descriptor is None else descriptor

    def run(self, queue: EventQueue) -> None:
        rest = b""
        while not self.stopped.is_set():
            ready, _, _ = select.select([self.descriptor], [], [], _PATIENCE)
            if not ready:
                continue
            data = os.read(self.descriptor, 1 << 16)
            lines, _, rest = (rest + data).rpartition(b"\n")
            events, bad = parsed(lines if data else rest)
            self.bad += bad
            queue.put(events)
            if not data:
                return


def parsed(text: bytes) -> tuple[Events, int]:
    """The events of whole lines, and how many lines were none."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(b"#")]
    rows = [line.replace(b",", b" ").split() for line in lines]
    good = []
    for row in rows:
        try:
            numbers = [int(word) for word in row]
        except ValueError:
            continue
        if len(numbers) == 4 and max(map(abs, numbers[1:3])) < 1 << 15:
            good.append(numbers)
    t, x, y, p = np.array(good, np.int64).reshape(-1, 4).T
    events = Events(x.astype(np.int16), y.astype(np.int16), p > 0, t, now())
    return events, len(lines) - len(good)
