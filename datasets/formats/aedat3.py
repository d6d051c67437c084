"""AEDAT 3.1 (cAER): text lines, then packets of events of one type, little-endian.

Format: "AEDAT 3.1", iniVation documentation,
https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html

A polarity event is a 32-bit word (bit 0 valid, bit 1 polarity, bits 2..16 y, bits 17..31 x,
counted from the upper left) and a 31-bit time in us, which the packet's count of overflows
continues. Packets of other types (frames, motion, triggers) are passed over.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from vdib.datasets.formats.source import BLOCK_BYTES, EventChunk, EventSource, Faults, size_of
from vdib.datasets.formats.text_header import text_header

_END = re.compile(rb"#!END-HEADER")
_SOURCE = re.compile(r"#Source \d+: *(\w+)")
_PACKET = np.dtype(
    [("type", "<i2"), ("source", "<i2")]
    + [(name, "<i4") for name in ("size", "t_offset", "t_overflow", "capacity", "number", "valid")]
)
_EVENT = np.dtype([("word", "<u4"), ("t", "<i4")])
_POLARITY = 1

_SENSOR_SIZES = {
    "DVS128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS208": (208, 192),
    "DAVIS240": (240, 180),
    "DAVIS346": (346, 260),
    "DAVIS640": (640, 480),
}


def read_aedat3(file: BinaryIO, faults: Faults) -> EventSource:
    """AEDAT 3.1; the sensor's size is that of the one camera among the header's sources."""
    lines = text_header(file, b"#", _END, faults)
    if not lines or not _END.match(lines[-1].encode("latin-1")):
        raise faults.fatal(file.tell(), "events or the file's end", "the line #!END-HEADER first")
    for line in lines:
        if line.startswith("#Format:") and line.removeprefix("#Format:").strip() != "RAW":
            raise faults.fatal(0, f"packets in the form {line[8:48]!r}", "#Format: RAW")
    cameras = [match[1].upper() for line in lines if (match := _SOURCE.match(line))]
    sizes = {
        size for name, size in _SENSOR_SIZES.items() if any(c.startswith(name) for c in cameras)
    }
    return EventSource(
        "AEDAT 3.1",
        sizes.pop() if len(sizes) == 1 else None,
        time_bits=None,
        chunks=_decode(file, file.tell(), faults),
    )


def _decode(file: BinaryIO, start: int, faults: Faults) -> Iterator[EventChunk]:
    end = size_of(file)
    camera: int | None = None
    while start < end:
        file.seek(start)
        raw = file.read(_PACKET.itemsize)
        if len(raw) < _PACKET.itemsize:
            faults.bad(start, f"{len(raw)} bytes before the end", "a packet header of 28 bytes")
            return
        header = np.frombuffer(raw, _PACKET)[0]
        kind, source, size, overflow, number = (
            int(header[name]) for name in ("type", "source", "size", "t_overflow", "number")
        )
        wrong = size < 1 or number < 0 or overflow < 0 or kind < 0
        if wrong or (kind == _POLARITY and (size != _EVENT.itemsize or header["t_offset"] != 4)):
            # Without a believable length the next packet cannot be found.
            faults.bad(
                start,
                f"a packet of type {kind} with {number} events of {size} bytes",
                "a packet header, with polarity events of 8 bytes",
            )
            return
        start += _PACKET.itemsize
        if kind == _POLARITY:
            present = min(number, (end - start) // size)
            camera = source if camera is None else camera
            if source == camera:
                yield from _polarity(file, start, present, overflow, faults)
            elif present:
                faults.bad(start, f"events of source {source}", f"one camera, {camera}", present)
        start += number * size
        if start > end:
            faults.bad(end, "the end of the file", f"a packet that ends at byte {start}")


def _polarity(
    file: BinaryIO, start: int, number: int, overflow: int, faults: Faults
) -> Iterator[EventChunk]:
    """A packet's events; those that a filter has marked invalid are left out."""
    step = BLOCK_BYTES // _EVENT.itemsize
    for first in range(0, number, step):
        count = min(step, number - first)
        events = np.frombuffer(file.read(count * _EVENT.itemsize), _EVENT)
        word, t = events["word"], events["t"].astype(np.int64)
        chunk = EventChunk(
            x=(word >> 17).astype(np.int32),
            y=(word >> 2 & 0x7FFF).astype(np.int32),
            t=t + (overflow << 31),
            p=(word >> 1 & 1) == 1,
            offset=start + _EVENT.itemsize * np.arange(first, first + events.size),
        )
        valid = (word & 1) == 1
        negative = valid & (t < 0)
        if negative.any():
            i = int(negative.argmax())
            count = int(np.count_nonzero(negative))
            faults.bad(int(chunk.offset[i]), f"the time {t[i]} us", "a time of 31 bits", count)
        yield chunk.take(valid & (t >= 0))
