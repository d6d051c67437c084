"""The recent past of a recording, again and again, in memory that does not grow with it.

N: events.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vdib.datasets.events import Recording, joined


@dataclass(frozen=True)
class Running:
    """A look back over `past` us, every `every` us or every `events` events.

    Looks fall at `start + every`, `start + 2 every`, .. with `start` the time of the first event,
    up to the last event and once beyond it, where there is an event to see; or at each `events`-th
    event, without those left over. So their number is bounded by that of the events, however far
    times leap, as they do where a camera takes over the computer's clock.

    >>> piece = Recording(
    ...     x=np.zeros(4, np.int16), y=np.zeros(4, np.int16), t=np.array([0, 5, 12, 31]),
    ...     p=np.ones(4, bool), sensor_size=(1, 1), origin=None,
    ... )
    >>> [(end, seen.t.tolist()) for end, seen in Running(past=15, every=10)([piece])]
    [(10, [0, 5]), (20, [5, 12]), (40, [31])]
    >>> [(end, seen.t.tolist()) for end, seen in Running(past=15, events=2)([piece])]
    [(6, [0, 5]), (32, [31])]
    """

    past: int
    every: int | None = None
    events: int | None = None

    def __post_init__(self) -> None:
        steps = [step for step in (self.every, self.events) if step is not None]
        if len(steps) != 1 or steps[0] < 1 or self.past < 1:
            raise ValueError(
                f"got past {self.past}, every {self.every} and events {self.events}, "
                "expected a past of 1 us or more and one of the others, 1 or more"
            )

    def __call__(self, pieces: Iterable[Recording]) -> Iterator[tuple[int, Recording]]:
        """The end of each look (us) and the events with `end - past <= t < end`.

        Every so many events, of several events at one time those that came first are seen. Looks
        do not depend on how a recording is cut into pieces.
        """
        held: deque[Recording] = deque()
        for part, end in self.cuts(pieces):
            if len(part):
                held.append(part)
            while len(held) > 1 and held[0].t[-1] < held[-1].t[-1] - self.past:
                held.popleft()
            if end is not None:
                first = (int(np.searchsorted(part.t, end - self.past)) for part in held)
                yield end, joined([p.part(f, len(p)) for p, f in zip(held, first, strict=True)])

    def cuts(self, pieces: Iterable[Recording]) -> Iterator[tuple[Recording, int | None]]:
        """All events once, in parts, each with the end of the look behind it, if there is one."""
        end, latest, left = None, 0, self.events or 0
        for piece in pieces:
            if not len(piece):
                continue
            first = 0
            if self.every:
                end = int(piece.t[0]) + self.every if end is None else end
                while end <= piece.t[-1]:
                    last = int(np.searchsorted(piece.t, end))
                    latest = int(piece.t[last - 1]) if last else latest
                    seen = latest >= end - self.past
                    yield piece.part(first, last), end if seen else None
                    if not seen:  # the first look behind the next event
                        end += (int(piece.t[last]) - end) // self.every * self.every
                    end, first = end + self.every, last
            else:
                assert self.events is not None
                while left <= len(piece) - first:
                    last = first + left
                    yield piece.part(first, last), int(piece.t[last - 1]) + 1
                    first, left = last, self.events
                left -= len(piece) - first
            latest = int(piece.t[-1])
            yield piece.part(first, len(piece)), None
        if end is not None and latest >= end - self.past:
            yield piece.part(0, 0), end
