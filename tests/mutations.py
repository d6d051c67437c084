"""Recordings that somebody has tampered with, each after the structure of its format.

A mutated file is a function of its number alone. Headers lose, repeat and exchange lines, and their
numbers become others; fields of packets, records, archives and compressed frames are set to what
is awkward; times leap, wrap and run backwards; blocks are cut, repeated, moved and exchanged.
"""

import re
import struct
from collections.abc import Callable

import numpy as np
from recording_files import WRITERS, aedat2, aedat3, aedat4_of, evt3, some_events

Random = np.random.Generator

WIDTHS = {
    "aedat2": 4, "aedat3": 4, "aedat4": 4, "dat": 4, "evt2": 4, "evt3": 2, "nmnist": 5, "list": 2
}  # fmt: skip
AWKWARD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 23, (1 << 31) - 1, 1 << 31,
           (1 << 32) - 1, 1 << 53, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip
NUMBERS = (b"0", b"-1", b"1", b"99999", b"1e999", b"nan", b"1.5", b"9" * 30, b"", b"\xff", b"0x10")
_LINE = re.compile(rb"[^\r\n]*\r?\n")


def lz4_frame(payload: bytes, random: Random | None = None) -> bytes:
    """An LZ4 frame of stored blocks; by chance with some that say they are compressed."""
    out = struct.pack("<I", 0x184D2204) + b"\x60\x70\x73"
    for at in range(0, len(payload), 400):
        part = payload[at : at + 400]
        stored = random is None or random.random() > 0.05
        out += struct.pack("<I", len(part) | stored << 31) + part
    return out + bytes(4)


def zstd_frame(payload: bytes, random: Random | None = None) -> bytes:
    """A zstd frame of raw blocks; by chance with many behind them that repeat a byte."""
    blocks = [(0, payload[at : at + 400]) for at in range(0, len(payload), 400)]
    for _ in range(0 if random is None else random.integers(0, 4) ** 7):
        blocks.append((1, b"\0"))
    out = struct.pack("<I", 0xFD2FB528) + b"\x00\x58"
    for i, (kind, part) in enumerate(blocks):
        size = len(part) if kind == 0 else 1 << 17
        out += struct.pack("<I", size << 3 | kind << 1 | (i == len(blocks) - 1))[:3] + part
    return out


def originals(random: Random) -> tuple[str, bytes]:
    """A file of a format by chance, mostly small, and its name."""
    size = int(random.choice([0, 1, 40, 40, 700, 20_000]))
    events = some_events(size, seed=int(random.integers(1 << 30)))
    names = [*WRITERS, "davis.aedat", "davis3.aedat", "lz4.aedat4", "zstd.aedat4", "vectors.raw"]
    name = names[random.integers(len(names))]
    if name == "davis.aedat":
        return name, aedat2(events, "DAVIS346")
    if name == "davis3.aedat":
        return name, aedat3(events, "DAVIS240C")
    if name == "lz4.aedat4":
        return name, aedat4_of(events, 1, lambda packet: lz4_frame(packet, random))
    if name == "zstd.aedat4":
        return name, aedat4_of(events, 3, lambda packet: zstd_frame(packet, random))
    if name == "vectors.raw":  # up to twelve events a word
        head = evt3(some_events(0)) + struct.pack("<3H", 0x8000, 0x6000, 0x0003)
        words = random.choice([0x3004, 0x4FFF, 0x50FF, 0x2009, 0x6001], 8 * size).astype("<u2")
        return name, head + words.tobytes()
    return name, WRITERS[name](events)


def mutated(number: int) -> tuple[str, bytes]:
    """The name and the content of a mutated file."""
    random = np.random.default_rng([number, 20261127])
    name, content = originals(random)
    for _ in range(min(random.geometric(0.6), 5)):
        content = _CHANGES[random.integers(len(_CHANGES))](content, _width(name), random)
    return name, content


def _width(name: str) -> int:
    return next((width for kind, width in WIDTHS.items() if name.startswith(kind)), 4)


def _body(content: bytes) -> int:
    """Where the lines of text end and records begin."""
    at = 0
    while (line := _LINE.match(content, at)) and content[at : at + 1] in b"#%":
        at = line.end()
    return at


def _lines(content: bytes, width: int, random: Random) -> bytes:
    """Lines of the header, or of a text, taken out, repeated, exchanged or made very long."""
    end = _body(content) or len(content)
    lines = _LINE.findall(content[:end]) or [content[:end]]
    i, j = random.integers(len(lines), size=2)
    match random.integers(5):
        case 0:
            del lines[i]
        case 1:
            lines.insert(j, lines[i])
        case 2:
            lines[i], lines[j] = lines[j], lines[i]
        case 3:
            lines[i] = lines[i].rstrip() + b"x" * int(random.choice([10, 70_000, 300_000])) + b"\n"
        case _:
            lines[i] = lines[i].rstrip(b"\r\n")
    return b"".join(lines) + content[end:]


def _numbers(content: bytes, width: int, random: Random) -> bytes:
    """A number in the text of a header, a description or a list becomes another."""
    found = list(re.finditer(rb"\d+", content[: 1 << 16]))
    if not found:
        return content
    number = found[random.integers(len(found))]
    other = NUMBERS[random.integers(len(NUMBERS))]
    return content[: number.start()] + other + content[number.end() :]


def _field(content: bytes, width: int, random: Random) -> bytes:
    """A field of a packet's header or a record becomes awkward."""
    start = _body(content)
    fields = max((len(content) - start) // width, 1)
    # Mostly near the beginning, where headers of packets are.
    i = int(min(fields - 1, random.geometric(0.05) if random.random() < 0.5 else
                random.integers(fields)))  # fmt: skip
    size = int(random.choice([1, 2, 4, 8]))
    number = AWKWARD[random.integers(len(AWKWARD))] % (1 << 8 * size)
    order = "little" if random.random() < 0.7 else "big"
    at = start + i * width
    return content[:at] + number.to_bytes(size, order) + content[at + size :]


def _records(content: bytes, width: int, random: Random) -> bytes:
    """Runs of records cut, repeated, reversed, moved or filled, so that times leap and fall."""
    start = _body(content)
    body = content[start:]
    first, last = sorted(random.integers(0, len(body) // width + 1, 2) * width)
    run = body[first:last]
    match random.integers(6):
        case 0:
            run = b""
        case 1:
            run = run * int(random.integers(2, 5))
        case 2:
            parts = [run[at : at + 2 * width] for at in range(0, len(run), 2 * width)]
            run = b"".join(reversed(parts))
        case 3:
            return content[:start] + run + body[:first] + body[last:]
        case 4:
            run = bytes([random.integers(256)]) * len(run)
        case _:
            run = random.bytes(len(run))
    return content[:start] + body[:first] + run + body[last:]


def _archive(content: bytes, width: int, random: Random) -> bytes:
    """A field of the entries of an archive, or of the header of a frame, becomes awkward."""
    marks = rb"PK..|\x93NUMPY|\x04\x22\x4d\x18|\x28\xb5\x2f\xfd|EVTS|IOHE"
    found = [mark.start() for mark in re.finditer(marks, content, re.DOTALL)]
    if not found:
        return _field(content, width, random)
    at = found[random.integers(len(found))] + int(random.integers(4, 32))
    size = int(random.choice([1, 2, 4]))
    number = AWKWARD[random.integers(len(AWKWARD))] % (1 << 8 * size)
    return content[:at] + number.to_bytes(size, "little") + content[at + size :]


def _bits(content: bytes, width: int, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.integers(1, 20) if changed else 0):
        changed[random.integers(len(changed))] ^= 1 << random.integers(8)
    return bytes(changed)


def _cut(content: bytes, width: int, random: Random) -> bytes:
    return content[: random.integers(len(content) + 1)]


def _spliced(content: bytes, width: int, random: Random) -> bytes:
    """Ends as a file of another format."""
    _, other = originals(random)
    return content[: random.integers(len(content) + 1)] + other[random.integers(len(other) + 1) :]


_CHANGES: tuple[Callable[[bytes, int, Random], bytes], ...] = (
    _lines, _numbers, _field, _field, _records, _records, _archive, _bits, _cut, _spliced
)  # fmt: skip
