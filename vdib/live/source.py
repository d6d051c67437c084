"""Where live events come from."""

import threading
import time
from abc import ABC, abstractmethod

from vdib.live.queue import EventQueue


class Source(ABC):
    """Something that gives events until it ends, or is stopped.

    What stalls or breaks off is waited for, and followed again when it comes back; only what is
    over, such as a file, ends.

    Attributes:
        name: for people.
        bad: records that made no sense.
        lost: what the system or the device says it lost before it reached us, in its own words;
            None where it does not say.
        breaks: how often it broke off.
        stopped: set to end it.
    """

    name: str

    def __init__(self) -> None:
        self.bad = self.breaks = 0
        self.lost: int | None = None
        self.stopped = threading.Event()

    @abstractmethod
    def run(self, queue: EventQueue) -> None:
        """Fill the queue until it is over or `stopped`."""

    @property
    def lost_words(self) -> str:
        """What `lost` counts."""
        return "lost on the way"

    def start(self, queue: EventQueue) -> threading.Thread:
        """`run` in a thread, which ends the queue."""

        def work() -> None:
            try:
                self.run(queue)
            except (OSError, ValueError, ImportError) as error:
                self.error: Exception | None = error
            finally:
                queue.end()

        self.error = None
        thread = threading.Thread(target=work, name="source", daemon=True)
        thread.start()
        return thread


now = time.monotonic
"""This machine's clock, s."""
