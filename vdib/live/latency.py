"""How long events take until an image shows them, in memory that does not grow."""

import numpy as np

_BIN_MS = 0.25
_BINS = 20_000  # 5 s; what takes longer counts as that


class Latencies:
    """Counts of events by latency, in bins of 0.25 ms up to 5 s."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, np.int64)

    def add(self, seconds: float, events: int) -> None:
        """So many events took so long."""
        self.counts[min(max(int(seconds * 1000 / _BIN_MS), 0), _BINS - 1)] += events

    def quantile_ms(self, share: float) -> float:
        """The latency that this share of the events did not exceed, rounded up; 0 of none."""
        total = np.cumsum(self.counts)
        if not total[-1]:
            return 0.0
        return float((np.searchsorted(total, share * total[-1]) + 1) * _BIN_MS)
