"""Times of a camera whose clock was set back meanwhile, as jAER's "zero timestamps" does."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vdib.datasets.formats.source import EventChunk, Faults

_AT_ONCE = 512
"""Falls of the time that are judged together: bounds the memory that their neighbours take."""

_FEWEST = 3
_MAX_SHIFT = 1 << 60


def over_clock_resets(
    chunks: Iterator[EventChunk], faults: Faults, reach: int
) -> Iterator[EventChunk]:
    """The events, each part after a reset moved behind the part before.

    The first event after a reset gets the time of the last one before: how much time went by is
    not in the file. A time that falls is a reset where the median of the `reach` times from there
    on lies below that of the `reach` times before; a single bad time moves neither median past the
    other, and is left to the check of the order.
    """
    shift = 0
    held: EventChunk | None = None
    past = np.zeros(0, np.int64)  # up to `reach` times before the held events, as in the file
    for chunk, is_last in _with_last(chunks):
        if held is not None:
            chunk = EventChunk(*(np.concatenate(pair) for pair in zip(held, chunk, strict=True)))
        stop = len(chunk.t) if is_last else max(len(chunk.t) - reach, 0)
        times = np.concatenate((past, chunk.t))
        resets = _resets(times, len(past), len(past) + stop, reach)
        steps = np.zeros(stop, np.int64)
        steps[resets - len(past)] = times[resets - 1] - times[resets]
        moved = shift + np.cumsum(steps)
        if stop:
            shift = int(moved[-1])
            if shift > _MAX_SHIFT:  # before it can pass 64 bits
                raise faults.fatal(chunk.offset[0], "no end of clock resets", "times that rise")
        ready, held = chunk.take(slice(stop)), chunk.take(slice(stop, None))
        yield ready._replace(t=ready.t + moved)
        past = times[max(len(past) + stop - reach, 0) : len(past) + stop]


def _resets(times: NDArray[np.int64], first: int, last: int, reach: int) -> NDArray[np.int64]:
    """Which of the events `first` to `last - 1` are the first after a reset."""
    falls = np.flatnonzero(times[1:] < times[:-1]) + 1
    # One or two events at either end of a file do not say which side is wrong.
    enough = (falls >= _FEWEST) & (falls <= len(times) - _FEWEST)
    falls = falls[(falls >= first) & (falls < last) & enough]
    if not falls.size:
        return falls
    windows = sliding_window_view(np.pad(times, reach, mode="edge"), reach)
    found = []
    for some in np.split(falls, range(_AT_ONCE, falls.size, _AT_ONCE)):
        before, after = windows[some], windows[some + reach]
        found.append(some[np.median(after, 1) < np.median(before, 1)])
    return np.concatenate(found)


def _with_last(chunks: Iterator[EventChunk]) -> Iterator[tuple[EventChunk, bool]]:
    """Each chunk, and whether it is the last."""
    held: EventChunk | None = None
    for chunk in chunks:
        if held is not None:
            yield held, False
        held = chunk
    if held is not None:
        yield held, True
