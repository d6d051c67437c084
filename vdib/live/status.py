"""What is to be said of a live input, at any moment and at the end."""

from typing import Any

from vdib.live.engine import Engine
from vdib.live.source import Source, now


class Status:
    """Counts and rates.

    Args:
        source, engine: whose.
    """

    def __init__(self, source: Source, engine: Engine) -> None:
        self.source, self.engine = source, engine
        self.begun = now()
        self._before = self.begun, 0
        self._rate = 0.0

    def read(self) -> dict[str, Any]:
        """All figures of now, by name."""
        engine, queue, time = self.engine, self.engine.queue, now()
        since, received = self._before
        if time - since >= 0.5:
            self._rate = (queue.received - received) / (time - since)
            self._before = time, queue.received
        silent = None if engine.heard is None else time - engine.heard
        return {
            "source": self.source.name,
            "seconds": round(time - self.begun, 3),
            "events": queue.received,
            "events_per_second": round(self._rate),
            "used": engine.used,
            "dropped": queue.dropped,
            "outside": engine.outside,
            "bad": self.source.bad,
            "packets": getattr(self.source, "packets", None),
            "lost": self.source.lost,
            "lost_words": self.source.lost_words,
            "breaks": self.source.breaks,
            "restarts": engine.clock.restarts,
            "looks": engine.looks,
            "latency_p50_ms": engine.latencies.quantile_ms(0.5),
            "latency_p99_ms": engine.latencies.quantile_ms(0.99),
            "silent_s": None if silent is None else round(silent, 1),
        }

    def lines(self) -> list[str]:
        """The same, for people."""
        found = self.read()
        lost = "unknown" if found["lost"] is None else f"{found['lost']:,}"
        state = "waiting for events"
        if found["silent_s"] is not None:
            state = f"{found['events_per_second']:,} events/s"
            if found["silent_s"] >= 1:
                state = f"silent for {found['silent_s']} s"
        return [
            f"{found['source']}: {state}, {found['events']:,} events in {found['seconds']:.0f} s",
            f"dropped {found['dropped']:,} events, oldest first; {found['lost_words']}: {lost}",
            f"outside the sensor {found['outside']:,}, bad records {found['bad']:,}, "
            f"broke off {found['breaks']}, began again {found['restarts']}",
            f"{found['looks']:,} looks, an event is shown after {found['latency_p50_ms']:g} ms "
            f"(median), {found['latency_p99_ms']:g} ms (99 %)",
        ]
