"""Judge decoded events: inside the sensor, and in time order. The same rules for every format."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.formats.clock_resets import over_clock_resets
from vdib.datasets.formats.source import SKIP, EventChunk, EventSource, Faults, Hint

MAX_SIDE = 1 << 15  # coordinates are kept in 16 signed bits

MAX_TIME = 1 << 53
"""Times lie within 285 years of 0: sums and differences of a few of them fit 64 bits with ease."""

LOOK_AHEAD = 64
"""Events that must follow before an event is judged when skipping: a single timestamp that leaps
ahead is then dropped itself, and not the whole recording after it."""


def checked(
    source: EventSource,
    faults: Faults,
    sensor_size: tuple[int, int] | None,
    unwrap: bool,
    segments: bool,
) -> Iterator[EventChunk]:
    """The source's events without the bad ones; `faults` decides whether a bad one is an error."""
    chunks = inside(source.chunks, faults, sensor_size or (MAX_SIDE, MAX_SIDE))
    bits = source.time_bits
    if unwrap and bits is not None:
        chunks, bits = unwrapped(chunks, bits), None
    if segments:
        chunks = over_clock_resets(chunks, faults, LOOK_AHEAD)
    return longest_in_order(chunks, faults) if faults.skip else in_order(chunks, faults, bits)


def inside(
    chunks: Iterator[EventChunk], faults: Faults, size: tuple[int, int]
) -> Iterator[EventChunk]:
    """Keep 0 <= x < width, 0 <= y < height and times of a clock that can be."""
    width, height = size
    for chunk in chunks:
        if chunk.t.size and (chunk.t.min() < -MAX_TIME or chunk.t.max() > MAX_TIME):
            near = (chunk.t >= -MAX_TIME) & (chunk.t <= MAX_TIME)
            i = int(near.argmin())
            faults.bad(
                int(chunk.offset[i]),
                f"an event at {chunk.t[i]} us",
                "a time within 285 years of 0",
                int(near.size - np.count_nonzero(near)),
            )
            chunk = chunk.take(near)
        good = (chunk.x >= 0) & (chunk.x < width) & (chunk.y >= 0) & (chunk.y < height)
        if not good.all():
            i = int(good.argmin())
            faults.bad(
                int(chunk.offset[i]),
                f"an event at x = {chunk.x[i]}, y = {chunk.y[i]}",
                f"a place on the {width} x {height} sensor",
                int(good.size - np.count_nonzero(good)),
                Hint("sensor_size", "W,H", "says which sensor it was"),
            )
            chunk = chunk.take(good)
        yield chunk


def unwrapped(chunks: Iterator[EventChunk], bits: int) -> Iterator[EventChunk]:
    """Undo the wraps of a counter of so many bits: t + 2^bits turns.

    A step of more than half the counter's range is a wrap: forwards where the time fell, and
    back where it rose, so that one corrupted timestamp costs itself and not the rest.
    """
    turns, last = 0, None
    for chunk in chunks:
        t = chunk.t
        if t.size:
            step = np.diff(t, prepend=t[0] if last is None else last)
            half = 1 << (bits - 1)
            turn = turns + np.cumsum((step < -half).astype(np.int64) - (step > half))
            turns, last = int(turn[-1]), t[-1]
            chunk = chunk._replace(t=t + (turn << bits))
        yield chunk


def in_order(
    chunks: Iterator[EventChunk], faults: Faults, bits: int | None
) -> Iterator[EventChunk]:
    """Pass the events on; a time that falls is an error."""
    last = None
    for chunk in chunks:
        t = chunk.t
        if t.size:
            before = np.concatenate(([t[0] if last is None else last], t[:-1]))
            if (t < before).any():
                i = int((t < before).argmax())
                wrapped = bits is not None and int(before[i]) - int(t[i]) > 1 << (bits - 1)
                hint = (
                    Hint("unwrap", "true", f"continues a {bits}-bit counter that wrapped")
                    if wrapped
                    else Hint("on_error", "segments", "goes on after a clock that was set back")
                )
                raise faults.fatal(
                    int(chunk.offset[i]),
                    f"an event at {t[i]} us after one at {before[i]} us",
                    "times that do not run backwards",
                    hint,
                    SKIP,
                )
            last = t[-1]
        yield chunk


def longest_in_order(chunks: Iterator[EventChunk], faults: Faults) -> Iterator[EventChunk]:
    """Keep as many events as can stand in time order, judged a chunk at a time."""
    floor: int | None = None
    held: EventChunk | None = None
    for chunk in chunks:
        if held is not None:
            chunk = EventChunk(*(np.concatenate(pair) for pair in zip(held, chunk, strict=True)))
        cut = max(chunk.t.size - LOOK_AHEAD, 0)
        good = largest_ordered_subset(chunk.t, floor)[:cut]
        faults.count += int(cut - np.count_nonzero(good))
        kept, held = chunk.take(slice(cut)).take(good), chunk.take(slice(cut, None))
        if kept.t.size:
            floor = int(kept.t[-1])
            yield kept
    if held is not None:
        good = largest_ordered_subset(held.t, floor)
        faults.count += int(good.size - np.count_nonzero(good))
        yield held.take(good)


def largest_ordered_subset(t: NDArray[np.int64], floor: int | None) -> NDArray[np.bool_]:
    """Which events to keep so that the times never fall, starting from `floor`, and most are kept.

    The longest non-decreasing subsequence, by patience sorting in O(N log N): `tails[k]` is the
    smallest time that a subsequence of k + 1 events can end with.

    >>> largest_ordered_subset(np.array([1, 2, 9, 3, 4]), floor=None).tolist()
    [True, True, False, True, True]
    """
    good = np.ones(t.shape, bool) if floor is None else t >= floor
    candidates = np.flatnonzero(good)
    times = t[candidates]
    if (times[1:] >= times[:-1]).all():
        return good
    tails = array("q")
    ends = array("q")  # which candidate ends the subsequence of each length
    before = array("q")  # the candidate that precedes each one
    for i, time in enumerate(times.tolist()):
        length = bisect_right(tails, time)
        before.append(ends[length - 1] if length else -1)
        if length == len(tails):
            tails.append(time)
            ends.append(i)
        else:
            tails[length], ends[length] = time, i
    good[:] = False
    i = ends[-1]
    while i >= 0:
        good[candidates[i]] = True
        i = before[i]
    return good
