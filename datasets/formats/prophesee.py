"""Prophesee DAT and EVT 2.0 files: lines beginning with '%', then little-endian words.

Formats: Metavision documentation, https://docs.prophesee.ai/stable/data/file_formats/dat.html
and https://docs.prophesee.ai/stable/data/encoding_formats/evt2.html
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from vdib.datasets.formats.prophesee_evt3 import decode_evt3
from vdib.datasets.formats.source import EventChunk, EventSource, Faults, records
from vdib.datasets.formats.text import looks_like_text
from vdib.datasets.formats.text_header import text_header

_END = re.compile(rb"% end\b")
_KEYS = re.compile(rb"^% (evt|format|Data file|Version)\b", re.MULTILINE)
_DAT_RECORD = np.dtype([("t", "<u4"), ("word", "<u4")])
_DAT_EVENT_TYPES = (0x00, 0x0C)  # generic 2D events, contrast detection
_DAT_BITS = {"1": (9, 8), "2": (14, 14)}
"""By version of the header: bits of x and, above them, of y. The polarity's come next."""

_OFF, _ON, _TIME_HIGH = 0x0, 0x1, 0x8


def looks_like_prophesee(head: bytes) -> bool:
    """Lines of '% ' and a key, or with something binary after them; no text with comments."""
    return head.startswith(b"%") and (bool(_KEYS.search(head)) or not looks_like_text(head))


def read_prophesee(file: BinaryIO, faults: Faults) -> EventSource:
    """DAT, EVT 2.0 or EVT 3.0, as the header says."""
    header = "\n".join(text_header(file, b"%", _END, faults))
    size = _stated_size(header)
    start = file.tell()
    encoding = re.search(r"% evt (\S+)|% format EVT(\d[.\d]*)", header)
    if encoding:
        version = (encoding[1] or encoding[2]).removesuffix(".0")
        if version == "2":
            chunks = _decode_evt2(file, start, faults)
            return EventSource("Prophesee EVT2", size, time_bits=34, chunks=chunks)
        if version == "3":
            return EventSource("Prophesee EVT3", size, None, decode_evt3(file, start, faults))
        raise faults.fatal(0, f"the encoding EVT {version}", "EVT 2.0 or EVT 3.0")
    version = re.search(r"^% Version +(\S+)", header, re.MULTILINE)
    kind = file.read(2)
    is_dat = len(kind) == 2 and kind[0] in _DAT_EVENT_TYPES and kind[1] == _DAT_RECORD.itemsize
    if not is_dat and version is None and "% Data file containing" not in header:
        raise faults.fatal(0, "a header that names no encoding", "'% evt ...' or '% Version ...'")
    # Writers that leave the version out mean the second, as the camera's makers read it.
    bits = _DAT_BITS.get(version[1] if version else "2")
    if bits is None:
        raise faults.fatal(0, "a DAT header of another version", "the line '% Version 2'")
    if not is_dat:
        found = f"event type and size {kind.hex(' ') or 'missing'}"
        raise faults.fatal(start, found, "00 08 or 0c 08")
    return EventSource("Prophesee DAT", size, 32, _decode_dat(file, start + 2, *bits, faults))


def _stated_size(header: str) -> tuple[int, int] | None:
    """(width, height), stated as `geometry 640x480`, `width=640;height=480` or `Width 640`."""
    if match := re.search(r"\bgeometry (\d{1,5})x(\d{1,5})\b", header):
        return int(match[1]), int(match[2])
    width = re.search(r"\bwidth[ =](\d{1,5})\b", header, re.IGNORECASE)
    height = re.search(r"\bheight[ =](\d{1,5})\b", header, re.IGNORECASE)
    return (int(width[1]), int(height[1])) if width and height else None


def _decode_dat(
    file: BinaryIO, start: int, x_bits: int, y_bits: int, faults: Faults
) -> Iterator[EventChunk]:
    """The lowest bits of a word are x, then come those of y, and up to 4 of the polarity."""
    for first, block in records(file, _DAT_RECORD, start, faults, "events"):
        word = block["word"]
        polarity = word >> (x_bits + y_bits) & 0xF
        chunk = EventChunk(
            x=(word & ((1 << x_bits) - 1)).astype(np.int16),
            y=(word >> x_bits & ((1 << y_bits) - 1)).astype(np.int16),
            t=block["t"].astype(np.int64),
            p=polarity == 1,
            offset=first + _DAT_RECORD.itemsize * np.arange(word.size),
        )
        odd = polarity > 1
        if odd.any():
            i = int(odd.argmax())
            count = int(np.count_nonzero(odd))
            faults.bad(int(chunk.offset[i]), f"the polarity {polarity[i]}", "0 or 1", count)
            chunk = chunk.take(~odd)
        yield chunk


def _decode_evt2(file: BinaryIO, start: int, faults: Faults) -> Iterator[EventChunk]:
    """32-bit words: the type in bits 28..31, and for events 6 bits of time, 11 of x, 11 of y.

    A time word carries the upper 28 bits of the time of all events up to the next one. Words of
    other types (triggers, and what the format keeps for later) are passed over.
    """
    high = np.int64(-1)  # no time word yet
    for first, word in records(file, np.dtype("<u4"), start, faults, "words"):
        kind = word >> 28
        is_high = kind == _TIME_HIGH
        highs = np.concatenate(([high], word[is_high].astype(np.int64) & 0xFFFFFFF))
        which = np.flatnonzero(kind <= _ON)
        event = word[which]
        base = highs[np.cumsum(is_high)[which]]
        high = highs[-1]
        chunk = EventChunk(
            x=(event >> 11 & 0x7FF).astype(np.int16),
            y=(event & 0x7FF).astype(np.int16),
            t=(base << 6) + (event >> 22 & 0x3F),
            p=(event >> 28) == _ON,
            offset=first + 4 * which,
        )
        early = base < 0
        if early.any():
            count = int(np.count_nonzero(early))
            faults.bad(int(chunk.offset[0]), "an event before any time word", "time first", count)
            chunk = chunk.take(~early)
        yield chunk
