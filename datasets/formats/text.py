"""Lists of events as text: one event a line, its numbers apart by commas, semicolons or blanks.

Lines that begin with '#' or '%' and empty lines are passed over. Which column is which, and the
sensor's size, may stand above: see `text_columns.py`.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.formats.columns import column_chunk
from vdib.datasets.formats.source import BLOCK_BYTES, EventChunk, EventSource, Faults
from vdib.datasets.formats.text_columns import BLANKS, COMMENTS, text_columns

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def looks_like_text(head: bytes) -> bool:
    """No control characters, and mostly ASCII: comments may be in any encoding."""
    return not _CONTROL.search(head) and sum(c < 128 for c in head) >= 0.75 * len(head)


def read_event_text(
    file: BinaryIO, faults: Faults, columns: str | None, time_scale: float
) -> EventSource:
    """Text; `columns` is the order in a list without names, such as "txyp" or "xytp"."""
    places, size, start = text_columns(file, faults, columns)
    return EventSource("text", size, None, _decode(file, start, places, faults, time_scale))


def _blocks(file: BinaryIO, start: int, faults: Faults) -> Iterator[tuple[int, bytes]]:
    """Whole lines, some thousands at a time, with the byte they begin at."""
    rest = b""
    file.seek(start)
    while block := file.read(BLOCK_BYTES):
        block = rest + block
        cut = block.rfind(b"\n") + 1
        if not cut and len(block) > BLOCK_BYTES:
            raise faults.fatal(start, f"a line of over {BLOCK_BYTES} bytes", "an event a line")
        if cut:
            yield start, block[:cut]
        start, rest = start + cut, block[cut:]
    if rest:
        yield start, rest


def _decode(
    file: BinaryIO, start: int, places: dict[str, int], faults: Faults, time_scale: float
) -> Iterator[EventChunk]:
    for first, block in _blocks(file, start, faults):
        rows, offset = _numbers(block.translate(BLANKS), first, max(places.values()) + 1, faults)
        yield column_chunk(
            {field: rows[:, place] for field, place in places.items()}, offset, faults, time_scale
        )


def _numbers(
    block: bytes, start: int, width: int, faults: Faults
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(N, columns) numbers, and the byte at which each of the N lines begins."""
    lines = block.splitlines(keepends=True)
    offset = start + np.cumsum([0] + [len(line) for line in lines])[:-1]
    try:
        if block.strip():
            rows = np.loadtxt(lines, ndmin=2, comments=None, encoding="latin-1")
            if len(rows) == len(lines) and rows.shape[1] >= width:
                return rows, offset
    except ValueError:
        pass  # a comment or a bad line: one by one
    kept, where = [], []
    for line, at in zip(lines, offset.tolist(), strict=True):
        if not line.strip() or line.lstrip().startswith(COMMENTS):
            continue
        try:
            kept.append(_row(line, width))
            where.append(at)
        except ValueError:
            faults.bad(at, repr(line[:60].decode("latin-1").strip()), f"a line of {width} numbers")
    return np.array(kept, np.float64).reshape(-1, width), np.array(where, np.int64)


def _row(line: bytes, width: int) -> list[float]:
    words = line.split(maxsplit=width)[:width]
    if len(words) < width or b"_" in line:
        raise ValueError(line)
    return [float(word) for word in words]
