"""Animations of events beside images, written frame by frame: memory does not grow with them.

Format: "Graphics Interchange Format, version 89a", CompuServe, 1990,
https://www.w3.org/Graphics/GIF/spec-gif89a.txt.

H, W: pixels of a picture; h, w: rows and columns of a sensor.
"""

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GREYS = 252
ON, OFF, SILENT, GAP = range(_GREYS, 256)
"""Entries of the palette behind the greys: events, none, and what lies between pictures."""

_COLOURS = {ON: (189, 31, 1), OFF: (63, 144, 218), SILENT: (240, 240, 240), GAP: (255, 255, 255)}


def _palette() -> bytes:
    palette = np.repeat(np.arange(256), 3).reshape(256, 3) * 255 // (_GREYS - 1)
    for entry, colour in _COLOURS.items():
        palette[entry] = colour
    return palette.astype(np.uint8).tobytes()


def grey(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """An image in [0, 1] as entries of the palette."""
    entries: NDArray[np.uint8] = np.rint(np.clip(image, 0, 1) * (_GREYS - 1)).astype(np.uint8)
    return entries


def events(on: NDArray[np.integer], off: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Counts of events (h, w) as entries of the palette: red where more were ON, blue where OFF."""
    return np.where(on + off == 0, SILENT, np.where(on >= off, ON, OFF)).astype(np.uint8)


def beside(pictures: list[NDArray[np.uint8]], height: int = 168) -> NDArray[np.uint8]:
    """Pictures side by side, each enlarged to about `height` pixels, in whole steps."""
    rows = []
    for picture in pictures:
        factor = max(1, round(height / picture.shape[0]))
        rows.append(np.repeat(np.repeat(picture, factor, 0), factor, 1))
    tall, gap = max(len(row) for row in rows), 8
    padded = []
    for row in rows:
        above = (tall - len(row)) // 2
        around = ((above + gap, tall - len(row) - above + gap), (gap // 2, gap // 2))
        padded.append(np.pad(row, around, constant_values=GAP))
    return np.concatenate(padded, 1)


class GIFWriter:
    """An animated GIF that appears under its name at the end: whatever has been added by then.

    Args:
        path: of the file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.gif"
    >>> with GIFWriter(path) as animation:
    ...     for level in (0.0, 1.0):
    ...         animation.add(beside([grey(np.full((4, 4), level))], height=4), ms=100)
    >>> with Image.open(path) as image:
    ...     image.n_frames
    2
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._file: IO[bytes] = self._partial.open("wb")
        self._begun = False
        self._due = 0.0  # ms that frames so far were to be shown longer than they are

    def add(self, frame: NDArray[np.uint8], ms: float) -> None:
        """A frame (H, W) of palette entries, shown for `ms`.

        GIF counts whole hundredths of a second, from one to eleven minutes. What is rounded off
        is made up for in the next frames; what is longer is cut.
        """
        self._due += ms
        hundredths = min(max(round(self._due / 10), 1), 0xFFFF)
        # At most a hundredth is owed: after a leap of years the next frames are as they were.
        self._due = min(max(self._due - 10 * hundredths, -10.0), 10.0)
        height, width = frame.shape
        if not self._begun:
            self._file.write(struct.pack("<6sHH3s", b"GIF89a", width, height, b"\xf7\0\0"))
            self._file.write(_palette())
            self._file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")  # again and again
            self._begun = True
        self._file.write(struct.pack("<4sHH", b"!\xf9\x04\0", hundredths, 0))
        self._file.write(struct.pack("<sHHHHH", b",", 0, 0, width, height, 8 << 8))
        image = Image.frombytes("P", (width, height), frame.tobytes())
        self._file.write(image.tobytes("gif", "P", 8, 0))  # 8 bits, rows in order
        self._file.write(b"\0")

    def __enter__(self) -> "GIFWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with self._file:
                self._file.write(b";")
            if self._begun:
                os.replace(self._partial, self.path)
        finally:
            self._partial.unlink(missing_ok=True)
