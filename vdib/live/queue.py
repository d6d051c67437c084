"""Events that wait to be worked through: a queue that drops the oldest and counts them."""

import threading
from collections import deque

from vdib.live.aestream import Events


class EventQueue:
    """Between one thread that puts events in and one that takes them out.

    Args:
        most: events that may wait.

    Attributes:
        received, dropped: events put in so far, and those of them that were dropped for newer ones.
        ended: whether no more will come.

    Raises:
        ValueError: room for no event.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"got room for {most} events, expected at least 1")
        self.most = most
        self.received = self.dropped = self._waiting = 0
        self.ended = False
        self._chunks: deque[Events] = deque()
        self._changed = threading.Condition()

    def put(self, events: Events) -> None:
        """Newer events than all before; where there is no room, the oldest go."""
        if not len(events):
            return
        with self._changed:
            self._chunks.append(events)
            self.received += len(events)
            self._waiting += len(events)
            while self._waiting > self.most:
                oldest = self._chunks[0]
                over = min(self._waiting - self.most, len(oldest))
                if over == len(oldest):
                    self._chunks.popleft()
                else:
                    self._chunks[0] = oldest.part(over)
                self._waiting -= over
                self.dropped += over
            self._changed.notify()

    def end(self) -> None:
        """No more will come."""
        with self._changed:
            self.ended = True
            self._changed.notify()

    def take(self, seconds: float) -> list[Events]:
        """All that wait, oldest first; after so many seconds without any, nothing."""
        with self._changed:
            if not self._chunks and not self.ended:
                self._changed.wait(seconds)
            taken = list(self._chunks)
            self._chunks.clear()
            self._waiting = 0
            return taken
