"""AEDAT 4.0 (DV): a FlatBuffers header with an XML description, then compressed packets.

Format: "AEDAT 4.0", iniVation documentation,
https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-4.0.html

The MIT package `aedat` (the extra `vdib[aedat]`) decompresses and decodes. It trusts the file,
and ends the whole process on some corrupted descriptions, so header and lengths of all packets
are checked here first, and how large each packet may become: it is decompressed whole.
"""

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np

from vdib.datasets.extras import import_extra
from vdib.datasets.formats.frame_size import most_bytes
from vdib.datasets.formats.source import EventChunk, EventSource, Faults, Hint, size_of

_VERSION = b"#!AER-DAT4.0\r\n"
_MAX_HEADER = 1 << 22

MAX_PACKET = 1 << 24
MAX_EXPANSION = 100
"""A packet that may take so many bytes and so many times its own is taken for an attack."""


def read_aedat4(file: BinaryIO, faults: Faults, stream: int | None = None) -> EventSource:
    """AEDAT 4.0; `stream` chooses among several event streams (default: the first)."""
    module = import_extra("aedat", "aedat")
    start, table, description = _header(file, faults)
    streams = _event_streams(description, faults)
    stream = min(streams, default=None) if stream is None else stream
    if stream is None or stream not in streams:
        other = [Hint("stream", str(s), "reads one that is there") for s in sorted(streams)[:1]]
        found = f"the event streams {sorted(streams)}"[:200]
        raise faults.fatal(start, found, f"stream {stream or 0}", *other)
    packets = _packets(file, start, table, faults)
    try:
        decoder = module.Decoder(faults.path)
    except BaseException as error:
        if not _is_decoders(error):
            raise
        raise faults.fatal(start, f"a header that does not decode ({error})", "AEDAT 4.0") from None
    chunks = _decode(decoder, stream, packets, faults)
    return EventSource("AEDAT 4.0", streams[stream], time_bits=None, chunks=chunks)


def _header(file: BinaryIO, faults: Faults) -> tuple[int, int, bytes]:
    """(first byte of the packets, byte of the table after them or -1, XML description)."""
    version = file.read(len(_VERSION))
    if version != _VERSION:
        raise faults.fatal(0, f"the line {version!r}", f"{_VERSION!r}")
    prefix = file.read(4)
    length = struct.unpack("<I", prefix)[0] if len(prefix) == 4 else 0
    room = size_of(file) - file.tell()
    if len(prefix) < 4 or not 8 <= length <= min(room, _MAX_HEADER):
        found = f"a header of {length} bytes, {max(room, 0)} of them there"
        raise faults.fatal(len(_VERSION), found, f"8 to {_MAX_HEADER} bytes")
    header = file.read(length)
    if header[4:8] != b"IOHE":
        raise faults.fatal(len(_VERSION) + 8, f"the identifier {header[4:8]!r}", "b'IOHE'")
    try:
        table, description = _io_header(header)
    except (struct.error, IndexError) as error:
        raise faults.fatal(
            len(_VERSION) + 4, "offsets that leave the header", "an IOHeader"
        ) from error
    return file.tell(), table, description


def _io_header(header: bytes) -> tuple[int, bytes]:
    """The fields `dataTablePosition` and `infoNode` of a FlatBuffers table.

    A table begins with the distance back to its vtable: lengths of vtable and table, then where
    in the table each field lies (0: left out). A string field holds the distance to its length.
    """

    def number(kind: str, at: int) -> int:
        if at < 0:
            raise IndexError(at)
        return int(struct.unpack_from(kind, header, at)[0])

    root = number("<I", 0)
    vtable = root - number("<i", root)
    fields = (number("<H", vtable) - 4) // 2
    _, table_at, info_at = (number("<H", vtable + 4 + 2 * i) if i < fields else 0 for i in range(3))
    table = number("<q", root + table_at) if table_at else -1
    if not info_at:
        raise IndexError("no description")
    text = root + info_at + number("<I", root + info_at)
    length = number("<I", text)
    if text + 4 + length > len(header):
        raise IndexError(length)
    return table, header[text + 4 : text + 4 + length]


def _event_streams(description: bytes, faults: Faults) -> dict[int, tuple[int, int] | None]:
    """Number -> (width, height) of each stream whose type is EVTS."""
    streams: dict[int, tuple[int, int] | None] = {}
    try:
        text = description.decode("utf-8")
        if "<!" in text:
            raise ValueError("a document type")
        root = ElementTree.fromstring(text)
        for node in root.iterfind("node[@name='outInfo']/node"):
            attributes = {a.get("key"): a.text or "" for a in node.iterfind("attr")}
            place = {a.get("key"): a.text or "" for a in node.iterfind("node/attr")}
            if attributes.get("typeIdentifier") == "EVTS":
                stated = "sizeX" in place and "sizeY" in place
                size = (int(place["sizeX"]), int(place["sizeY"])) if stated else None
                streams[int(node.get("name", ""))] = size
    except (ValueError, ElementTree.ParseError) as error:
        raise faults.fatal(len(_VERSION) + 4, f"a description with {error}", "XML") from error
    return streams


def _packets(file: BinaryIO, start: int, table: int, faults: Faults) -> list[tuple[int, int]]:
    """(byte, stream) of each packet that lies whole within the file."""
    size = size_of(file)
    if table != -1 and not start <= table <= size:
        faults.bad(start, f"a table of packets at byte {table}", f"one up to byte {size}")
    end = table if start <= table <= size else size
    packets = []
    while start < end:
        file.seek(start)
        prefix = file.read(8)
        stream, length = struct.unpack("<iI", prefix) if len(prefix) == 8 else (-1, size)
        if start + 8 + length > end:
            faults.bad(start, f"a packet of {length} bytes", f"one that ends by byte {end}")
            break
        most = most_bytes(file, start + 8, start + 8 + length)
        if most > (limit := MAX_PACKET + MAX_EXPANSION * length):
            found = f"a packet of {length} bytes that may become {most}"
            raise faults.fatal(start, found, f"at most {limit}")
        packets.append((start, stream))
        start += 8 + length
    return packets


def _decode(
    decoder: Any, stream: int, packets: list[tuple[int, int]], faults: Faults
) -> Iterator[EventChunk]:
    for start, number in packets:
        try:
            packet = next(decoder)
        except StopIteration:
            faults.bad(start, "no packet", f"a packet of stream {number}")
            return
        except BaseException as error:
            if not _is_decoders(error):
                raise
            faults.bad(start, f"a packet that does not decode ({error})", "an intact packet")
            continue
        if packet["stream_id"] != number:
            raise faults.fatal(start, f"stream {packet['stream_id']}", f"stream {number}")
        if number == stream:
            events = packet["events"]
            yield EventChunk(
                x=events["x"].astype(np.int32),
                y=events["y"].astype(np.int32),
                t=events["t"].astype(np.int64),
                p=events["on"].astype(bool),
                offset=np.full(events.size, start),
            )


def _is_decoders(error: BaseException) -> bool:
    """Whether an error is the decoder's: a panic of Rust code is no `Exception` in Python."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
