"""From waiting events to images: the loop of a live input.

H, W: pixels of an image; h, w: of the sensor; L, N_y: steps and readout neurons of the window.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.events import Origin, Recording
from vdib.live.aestream import Events
from vdib.live.clock import Clock
from vdib.live.latency import Latencies
from vdib.live.queue import EventQueue
from vdib.live.source import now
from vdib.naturalise.event_feed import EventFeed
from vdib.naturalise.naturaliser import Naturaliser


@dataclass
class Look:
    """What a look at a live input shows.

    Attributes:
        window: the readout's spikes, `(L, N_y)`.
        image: `(H, W)` in [0, 1]; None of a run that tells labels.
        label: its name and probability; None of one that makes images.
        events: ON minus OFF events since the look before, `(h, w)`.
    """

    window: NDArray[np.float32]
    image: NDArray[np.float32] | None
    label: tuple[str, float] | None
    events: NDArray[np.int64]


@dataclass
class Engine:
    """Takes events from a queue, feeds a stream, and looks every so often.

    Args:
        model: that `carries`.
        queue: of events, in order of arrival.
        every: s from one look to the next, at least.
        size: (width, height) of the source's sensor.

    Attributes:
        used, outside: events fed, and those that lay on no pixel of the sensor.
        looks: so far.
        latencies: from an event's arrival until the image that shows it is there.
        heard: when the latest events arrived, s.
    """

    model: Naturaliser
    queue: EventQueue
    every: float
    size: tuple[int, int]
    used: int = 0
    outside: int = 0
    looks: int = 0
    heard: float | None = None
    latencies: Latencies = field(default_factory=Latencies)

    def __post_init__(self) -> None:
        self.feed = EventFeed(self.model)
        self.clock = Clock(self.model.prepare.past_us)
        self._shown: list[tuple[float, int]] = []  # arrival and number of what no look has shown
        self._seen: NDArray[np.int64] | None = None
        self._warm()

    def _warm(self) -> None:
        """Compile, and load what is loaded late, before the first event waits for it."""
        size = self.model.prepare.sensor_size
        assert size is not None
        one = np.zeros(1, np.int16)
        event = Recording(one, one, np.zeros(1, np.int64), one > 0, size, Origin("live", "live"))
        self.feed.feed(event)
        self.feed.look(1)
        self.feed.stream.decode(self.feed.look(self.feed.dt)[None])
        self.feed.begin()

    def run(self, show: Callable[[Look], None]) -> None:
        """Until the queue has ended and is empty."""
        due = now()
        while True:
            ended = self.queue.ended
            chunks = self.queue.take(max(0.001, min(self.every, due - now())))
            for events in chunks:
                self._take(events)
            if self._shown and (now() >= due or (ended and not chunks)):
                due = max(due + self.every, now())
                look = self._look()
                there = now()
                for arrived, count in self._shown:
                    self.latencies.add(there - arrived, count)
                self._shown = []
                show(look)
            if ended and not chunks:
                return

    def _take(self, events: Events) -> None:
        t, new = self.clock.times(events)
        if new:
            self.feed.begin()
        self.heard = events.arrived
        x, y = events.x, events.y
        on = (x >= 0) & (x < self.size[0]) & (y >= 0) & (y < self.size[1])
        inside = np.flatnonzero(on)
        self.outside += len(events) - len(inside)
        self.used += len(inside)
        if not len(inside):
            return
        columns = x[inside], y[inside], t[inside], events.p[inside]
        placed = self.model.placed(Recording(*columns, self.size, Origin("live", "live")))
        self.feed.feed(placed)
        self._count(placed)
        self._shown.append((events.arrived, len(inside)))

    def _count(self, events: Recording) -> None:
        width, height = events.sensor_size
        if self._seen is None:
            self._seen = np.zeros((height, width), np.int64)
        place = events.y.astype(np.int64) * width + events.x
        signs = 2.0 * events.p - 1
        counts = np.bincount(place, signs, width * height)
        self._seen += counts.reshape(height, width).astype(np.int64)

    def _look(self) -> Look:
        """At what has come, as soon as it has."""
        self.looks += 1
        if self._seen is None or self.feed.last is None:  # all was outside of what is looked at
            self._seen = np.zeros((1, 1), np.int64) if self._seen is None else self._seen
            window = self.feed.stream.recent
        else:
            window = self.feed.look(self.feed.last + 1)
        decoded: Any = self.feed.stream.decode(window[None])
        seen, self._seen = self._seen, None
        if self.model.labels:
            sure, label = decoded.probs[0].max(-1)
            name = self.model.module.signal.name(int(label))
            return Look(window, None, (name, float(sure)), seen)
        shape = self.model.module.signal.shape
        return Look(window, decoded.mean.view(shape).numpy(), None, seen)
