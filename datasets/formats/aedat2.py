"""AEDAT 2.0 (jAER): text lines, then big-endian pairs of a 32-bit address and a time in us.

Format: "AEDAT 2.0", iniVation documentation,
https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-2.0.html

Addresses are read as they stand: row 0 is the lowest y, and polarity bit 1 is ON. The document
counts y from the bottom, and readers differ in mirroring and in the sign of DVS128's polarity, so
`flip_x`, `flip_y` and `flip_polarity` of `read_recording` choose. On the MNIST-DVS recordings of
zeros, events as they stand match MNIST's images unmirrored: over 150 of them, correlation with the
digit's edges 0.434, turned by half 0.427, mirrored in x or y 0.39. As in N-MNIST, the polarity
called ON trails the moving digit: a dark digit, or the opposite sign.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.formats.source import EventChunk, EventSource, Faults, Hint, records
from vdib.datasets.formats.text_header import text_header

_END = re.compile(rb"#\s*End Of ASCII Header", re.IGNORECASE)
_RECORD = np.dtype([("address", ">u4"), ("t", ">u4")])


@dataclass(frozen=True)
class AddressLayout:
    """Where an address holds what: x and y as (lowest bit, number of bits), polarity's bit.

    An address with a bit of `other` set is a frame sample, a trigger or the like, and no event;
    one with a bit of `unused` set belongs to another camera or is corrupted.
    """

    name: str
    sensor_size: tuple[int, int]
    x: tuple[int, int]
    y: tuple[int, int]
    polarity: int
    other: int
    unused: int


def _davis(name: str, width: int, height: int) -> AddressLayout:
    return AddressLayout(name, (width, height), (12, 10), (22, 9), 11, 1 << 31 | 1 << 10, 0)


DVS128 = AddressLayout("DVS128", (128, 128), (1, 7), (8, 7), 0, other=1 << 15, unused=0xFFFF0000)
DAVIS240 = _davis("DAVIS240", 240, 180)
DAVIS346 = _davis("DAVIS346", 346, 260)

LayoutName = Literal["DVS128", "DAVIS128", "DAVIS208", "DAVIS240", "DAVIS346", "DAVIS640"]
LAYOUTS: dict[str, AddressLayout] = {
    layout.name: layout
    for layout in (
        DVS128,
        _davis("DAVIS128", 128, 128),
        _davis("DAVIS208", 208, 192),
        DAVIS240,
        DAVIS346,
        _davis("DAVIS640", 640, 480),
    )
}
_CHIPS = {**LAYOUTS, "TMPDIFF128": DVS128}
"""By what jAER calls them; its first name of the DVS128 was another."""


def read_aedat2(
    file: BinaryIO, faults: Faults, layout: AddressLayout | str | None = None
) -> EventSource:
    """AEDAT 2.0; without a layout the header's camera is used, and DVS128 where it names none."""
    lines = text_header(file, b"#", _END, faults)
    layout = LAYOUTS[layout] if isinstance(layout, str) else layout or _named_layout(lines, faults)
    return EventSource(
        f"AEDAT 2.0 ({layout.name})",
        layout.sensor_size,
        time_bits=32,
        chunks=_decode(file, layout, file.tell(), faults),
    )


def _named_layout(lines: list[str], faults: Faults) -> AddressLayout:
    """The camera on the `AEChip` line, or else on the `HardwareInterface` line."""
    for key in ("AEChip:", "HardwareInterface:"):
        named = [line.split(key, 1)[1].strip() for line in lines if key in line]
        for chip, layout in _CHIPS.items():
            if any(chip in name.upper() for name in named):
                return layout
        if named and key == "AEChip:":
            like = Hint("layout", "|".join(LAYOUTS), "reads it as this camera's")
            raise faults.fatal(0, f"the camera {named[0][:80]!r}", ", ".join(LAYOUTS), like)
    return DVS128


def _decode(
    file: BinaryIO, layout: AddressLayout, start: int, faults: Faults
) -> Iterator[EventChunk]:
    for first, block in records(file, _RECORD, start, faults, "events"):
        address = block["address"].astype(np.uint32)
        offset = first + _RECORD.itemsize * np.arange(address.size)
        foreign = (address & np.uint32(layout.unused)) != 0
        if foreign.any():
            i = int(foreign.argmax())
            faults.bad(
                int(offset[i]),
                f"the address {address[i]:#010x}",
                f"an address of {layout.name}, without bits {layout.unused:#010x}",
                int(np.count_nonzero(foreign)),
                Hint("layout", "DAVIS346", "or the like reads addresses of another camera"),
            )
        chunk = EventChunk(
            x=_bits(address, *layout.x),
            y=_bits(address, *layout.y),
            t=block["t"].astype(np.int64),
            p=_bits(address, layout.polarity, 1) == 1,
            offset=offset,
        )
        skipped = (address & np.uint32(layout.other | layout.unused)) != 0
        yield chunk.take(~skipped) if skipped.any() else chunk


def _bits(address: NDArray[np.uint32], low: int, count: int) -> NDArray[np.int16]:
    return ((address >> np.uint32(low)) & np.uint32((1 << count) - 1)).astype(np.int16)
