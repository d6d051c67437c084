"""The times of live events, in order, whatever their source does to its clock."""

import numpy as np

from vdib.live.aestream import Events, Ints

_WRAP = 1 << 32  # us, of a clock of 32 bits: 71 minutes


class Clock:
    """Times (us) that never fall.

    Events without times get that of their arrival. A clock of 32 bits that begins again goes on. A
    time that falls by more than `patience` is a source that was started again: a new beginning.
    Smaller disorder, of packets that overtook each other, is put straight.

    Args:
        patience: us.

    Attributes:
        restarts: new beginnings.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.restarts = 0
        self._offset = 0
        self._last: int | None = None

    def times(self, events: Events) -> tuple[Ints, bool]:
        """Of one event or more, and whether they are a new beginning."""
        if events.t is None:
            t = np.full(len(events), round(events.arrived * 1e6), np.int64)
        else:
            t = events.t + self._offset
        new = False
        if self._last is not None and t[0] < self._last - self.patience:
            if self._last - t[0] > _WRAP // 2 and self._last < self._offset + _WRAP:
                self._offset += _WRAP
                t = t + _WRAP
            else:
                new, self._offset = True, 0
                self.restarts += 1
                t = t if events.t is None else events.t
        elif self._last is not None:
            t[0] = max(int(t[0]), self._last)
        t = np.maximum.accumulate(t)
        self._last = int(t[-1])
        return t, new
