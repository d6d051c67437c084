"""Lists of events as text: one event a line, its numbers apart by commas, semicolons or blanks.

Lines that begin with '#' or '%' and empty lines are passed over. A first line of names (t or
timestamp, x, y, p or polarity, in any order, among other columns) says which column is which;
without one the order is the argument `columns`.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.formats.columns import column_chunk, named_columns
from vdib.datasets.formats.source import BLOCK_BYTES, EventChunk, EventSource, Faults

_BLANKS = bytes.maketrans(b",;\t", b"   ")
_COMMENTS = (b"#", b"%")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def looks_like_text(head: bytes) -> bool:
    """Printable ASCII (after a byte order mark, which some spreadsheets write)."""
    return all(32 <= c < 127 or c in b"\t\r\n" for c in head.removeprefix(_BYTE_ORDER_MARK))


def read_event_text(file: BinaryIO, faults: Faults, columns: str, time_scale: float) -> EventSource:
    """Text; `columns` is the order in a list without names, such as "txyp" or "xytp"."""
    places = {field: columns.index(field) for field in "xytp"}
    return EventSource("text", None, None, _decode(file, places, faults, time_scale))


def _blocks(file: BinaryIO, faults: Faults) -> Iterator[tuple[int, bytes]]:
    """Whole lines, some thousands at a time, with the byte they begin at."""
    start, rest = 0, b""
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
    file: BinaryIO, places: dict[str, int], faults: Faults, time_scale: float
) -> Iterator[EventChunk]:
    named = False
    for start, block in _blocks(file, faults):
        if start == 0 and block.startswith(_BYTE_ORDER_MARK):
            block = b"   " + block[3:]
        block = block.translate(_BLANKS)
        if not named:
            names, skip = _first_line(block)
            if names:
                given = named_columns(names)
                if given is None and any(name[0].isalpha() for name in names):
                    found = " ".join(names)[:80]
                    raise faults.fatal(start, repr(found), "numbers, or the names x, y, t and p")
                places = given or places
                block, start = (block[skip:], start + skip) if given else (block, start)
                named = True
        rows, offset = _numbers(block, start, max(places.values()) + 1, faults)
        yield column_chunk(
            {field: rows[:, place] for field, place in places.items()}, offset, faults, time_scale
        )


def _first_line(block: bytes) -> tuple[list[str], int]:
    """The first line that is no comment, split, and the place after it."""
    at = 0
    for line in block.splitlines(keepends=True):
        at += len(line)
        if line.strip() and not line.lstrip().startswith(_COMMENTS):
            return line.decode("latin-1").split(), at
    return [], at


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
        if not line.strip() or line.lstrip().startswith(_COMMENTS):
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
