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
from vdib.datasets.formats.text_header import text_header

_END = re.compile(rb"% end\b")
_DAT_RECORD = np.dtype([("t", "<u4"), ("word", "<u4")])
_DAT_EVENT_TYPES = (0x00, 0x0C)  # generic 2D events, contrast detection

_OFF, _ON, _TIME_HIGH, _TRIGGER, _OTHERS, _CONTINUED = 0x0, 0x1, 0x8, 0xA, 0xE, 0xF
_EVT2_TYPES = np.isin(np.arange(16), (_OFF, _ON, _TIME_HIGH, _TRIGGER, _OTHERS, _CONTINUED))


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
    if "% Data file containing" not in header:
        raise faults.fatal(0, "a header that names no encoding", "'% evt ...' or '% Data file ...'")
    if not re.search(r"^% Version 2\b", header, re.MULTILINE):
        raise faults.fatal(0, "a DAT header of another version", "the line '% Version 2'")
    return EventSource("Prophesee DAT", size, 32, _decode_dat(file, start, faults))


def _stated_size(header: str) -> tuple[int, int] | None:
    """(width, height), stated as `geometry 640x480`, `width=640;height=480` or `Width 640`."""
    if match := re.search(r"\bgeometry (\d{1,5})x(\d{1,5})\b", header):
        return int(match[1]), int(match[2])
    width = re.search(r"\bwidth[ =](\d{1,5})\b", header, re.IGNORECASE)
    height = re.search(r"\bheight[ =](\d{1,5})\b", header, re.IGNORECASE)
    return (int(width[1]), int(height[1])) if width and height else None


def _decode_dat(file: BinaryIO, start: int, faults: Faults) -> Iterator[EventChunk]:
    """Bits 0..13 of a word are x, 14..27 y, 28..31 the polarity."""
    kind = file.read(2)
    if len(kind) < 2 or kind[0] not in _DAT_EVENT_TYPES or kind[1] != _DAT_RECORD.itemsize:
        raise faults.fatal(
            start, f"event type and size {kind.hex(' ') or 'missing'}", "00 08 or 0c 08"
        )
    for first, block in records(file, _DAT_RECORD, start + 2, faults, "events"):
        word = block["word"]
        polarity = word >> 28
        chunk = EventChunk(
            x=(word & 0x3FFF).astype(np.int16),
            y=(word >> 14 & 0x3FFF).astype(np.int16),
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

    A time word carries the upper 28 bits of the time of all events up to the next one.
    """
    high = np.int64(-1)  # no time word yet
    for first, word in records(file, np.dtype("<u4"), start, faults, "words"):
        kind = word >> 28
        if not _EVT2_TYPES[kind].all():
            unknown = ~_EVT2_TYPES[kind]
            i, count = int(unknown.argmax()), int(np.count_nonzero(unknown))
            faults.bad(first + 4 * i, f"a word of type {kind[i]:#x}", "a type of EVT 2.0", count)
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
