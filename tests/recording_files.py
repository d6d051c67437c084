"""Writers of small recordings in every format, independent of the readers under test."""

import io
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Events = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


def some_events(count: int = 50, width: int = 34, height: int = 34, seed: int = 0) -> Events:
    """x, y, t, p with times that stand still now and then, as real ones do."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, width, count), rng.integers(0, height, count)
    return x, y, 1000 + np.cumsum(rng.integers(0, 300, count)), rng.random(count) < 0.5


def aedat2(events: Events, chip: str = "DVS128") -> bytes:
    x, y, t, p = events
    address = y << 8 | x << 1 | p if chip == "DVS128" else y << 22 | x << 12 | p << 11
    lines = f"#!AER-DAT2.0\r\n# Timestamps tick is 1 us\r\n# AEChip: some.chips.{chip}\r\n"
    return lines.encode() + np.stack([address, t], 1).astype(">u4").tobytes()


def aedat3(events: Events, chip: str = "DVS128") -> bytes:
    """Two packets of polarity events with a packet of two special events between them."""
    x, y, t, p = events
    word = x << 17 | y << 2 | p << 1 | 1
    body = np.stack([word, t & 0x7FFFFFFF], 1).astype("<u4")
    half = len(t) // 2

    def packet(kind: int, payload: bytes) -> bytes:
        n = len(payload) // 8
        overflow = int(t[0]) >> 31 if len(t) else 0
        return struct.pack("<hhiiiiii", kind, 1, 8, 4, overflow, n, n, n) + payload

    lines = f"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: {chip}\r\n#!END-HEADER\r\n"
    parts = (1, body[:half].tobytes()), (0, bytes(16)), (1, body[half:].tobytes())
    return lines.encode() + b"".join(packet(*part) for part in parts)


_AEDAT4_XML = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">
<node name="0" path="/mainloop/Recorder/outInfo/0/">
<attr key="compression" type="string">NONE</attr>
<attr key="typeIdentifier" type="string">EVTS</attr>
<node name="info" path="/mainloop/Recorder/outInfo/0/info/"><attr key="sizeX" type="int">34</attr>
<attr key="sizeY" type="int">34</attr></node></node></node></dv>"""


def aedat4(events: Events, xml: str = _AEDAT4_XML) -> bytes:
    """Uncompressed, in two packets; FlatBuffers tables laid out by hand, without a data table."""
    return aedat4_of(events, 0, lambda packet: packet, xml)


def aedat4_of(
    events: Events, compression: int, compress: Callable[[bytes], bytes], xml: str = _AEDAT4_XML
) -> bytes:
    """The same compressed: 1 for LZ4, 3 for zstd."""
    text = xml.encode() + b"\0"
    text = struct.pack("<I", len(text) - 1) + text + bytes(-len(text) % 4)
    vtable = struct.pack("<5H", 10, 20, 4, 8, 16) + bytes(2)
    fields = struct.pack("<iiqI", 12, compression, -1, 4)
    header = struct.pack("<I4s", 20, b"IOHE") + vtable + fields + text
    out = b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(header)) + header
    record = [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("", "V3")]
    half = len(events[0]) // 2
    for part in (slice(half), slice(half, None)):
        x, y, t, p = (field[part] for field in events)
        array = np.zeros(len(t), record)
        array["t"], array["x"], array["y"], array["p"] = t, x, y, p
        table = struct.pack("<I4s3HHiII", 16, b"EVTS", 6, 8, 4, 0, 8, 4, len(t))
        packet = compress(struct.pack("<I", len(table) + array.nbytes) + table + array.tobytes())
        out += struct.pack("<iI", 0, len(packet)) + packet
    return out


def dat(events: Events) -> bytes:
    x, y, t, p = events
    lines = b"% Data file containing CD events\n% Version 2\n% Width 34\n% Height 34\n"
    return lines + b"\x0c\x08" + np.stack([t, p << 28 | y << 14 | x], 1).astype("<u4").tobytes()


def evt2(events: Events) -> bytes:
    """A time word before each event, and an external trigger between."""
    x, y, t, p = events
    cd = p.astype(np.int64) << 28 | (t & 63) << 22 | x << 11 | y
    words = np.stack([8 << 28 | t >> 6, np.full_like(t, 10 << 28), cd], 1)
    return b"% evt 2.0\n% geometry 34x34\n% end\n" + words.astype("<u4").tobytes()


def evt3(events: Events) -> bytes:
    """Time, row and column words for each event."""
    x, y, t, p = events
    columns = 8 << 12 | t >> 12 & 0xFFF, 6 << 12 | t & 0xFFF, y, 2 << 12 | p << 11 | x
    return b"% evt 3.0\n% geometry 34x34\n% end\n" + np.stack(columns, 1).astype("<u2").tobytes()


def nmnist_bin(events: Events) -> bytes:
    x, y, t, p = events
    return np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], 1).astype("u1").tobytes()


def structured(events: Events) -> NDArray[np.void]:
    array = np.zeros(len(events[0]), [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
    array["x"], array["y"], array["t"], array["p"] = events
    return array


def npy(events: Events) -> bytes:
    file = io.BytesIO()
    np.save(file, structured(events))
    return file.getvalue()


def npz(events: Events) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **dict(zip("xytp", events, strict=True)))
    return file.getvalue()


def csv(events: Events) -> bytes:
    rows = [f"{t},{x},{y},{int(p)}\n" for x, y, t, p in zip(*events, strict=True)]
    return ("t,x,y,p\n" + "".join(rows)).encode()


def txt(events: Events) -> bytes:
    rows = [f"{t} {x} {y} {int(p)}\n" for x, y, t, p in zip(*events, strict=True)]
    return ("# a comment\n" + "".join(rows)).encode()


WRITERS: dict[str, Callable[[Events], bytes]] = {
    "aedat2.aedat": aedat2,
    "aedat3.aedat": aedat3,
    "aedat4.aedat4": aedat4,
    "dat.dat": dat,
    "evt2.raw": evt2,
    "evt3.raw": evt3,
    "nmnist.bin": nmnist_bin,
    "list.npy": npy,
    "list.npz": npz,
    "list.csv": csv,
    "list.txt": txt,
}
