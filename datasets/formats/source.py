"""What a reader of one file format hands over: decoded events in chunks, and its complaints.

A reader only decodes. Whether the decoded events make sense (inside the sensor, in time order)
is judged in one place for all formats, `check.py`, so every chunk says which byte of the
file each of its events came from.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

BLOCK_BYTES = 1 << 18
"""How much of a file is decoded at once: working memory stays near a few MB for any file."""


class Hint(NamedTuple):
    """A reading option that would help: its name in `ReadOptions`, a value, and what for."""

    option: str
    value: str
    purpose: str


def in_python(hint: Hint) -> str:
    """How `read_recording` takes an option.

    >>> in_python(Hint("unwrap", "true", "continues it"))
    'unwrap=True'
    """
    return f"{hint.option}={'True' if hint.value == 'true' else hint.value}"


class RecordingError(ValueError):
    """A file that cannot be read as a recording: where, what was found, what was expected.

    The message ends with the options that would help, spelt as the caller takes options. Commands
    spell them in their own way: `raise error.spelt(as_flag)`.
    """

    def __init__(
        self,
        path: str,
        offset: int,
        found: str,
        expected: str,
        hints: tuple[Hint, ...] = (),
        spelling: Callable[[Hint], str] = in_python,
    ) -> None:
        super().__init__(path, offset, found, expected, hints, spelling)
        self.path, self.offset, self.found, self.expected = path, offset, found, expected
        self.hints, self.spelling = hints, spelling

    def __str__(self) -> str:
        words = f"{self.path}: byte {self.offset}: found {self.found}, expected {self.expected}"
        said = "; ".join([words, *(f"{self.spelling(hint)} {hint[2]}" for hint in self.hints)])
        return " ".join(said.splitlines())  # names of files and other packages' words may have more

    def spelt(self, spelling: Callable[[Hint], str]) -> "RecordingError":
        """The same error, its options named as another command takes them."""
        where = self.path, self.offset, self.found, self.expected, self.hints
        return type(self)(*where, spelling)


class NotARecordingError(RecordingError):
    """A file that is whole, and something else: a note, a table of labels, an array of boxes."""


SKIP = Hint("on_error", "skip", "leaves out what is bad")


@dataclass
class Faults:
    """Where readers report what is wrong with a file: raises at once, or counts (`skip`)."""

    path: Path
    skip: bool
    count: int = 0

    def fatal(self, offset: int, found: str, expected: str, *hints: Hint) -> RecordingError:
        """The error to raise where nothing more of the file can be read, in either mode."""
        return RecordingError(str(self.path), int(offset), found, expected, hints)

    def other(self, offset: int, found: str, expected: str, *hints: Hint) -> RecordingError:
        """The error to raise where the file is whole, and no recording."""
        return NotARecordingError(str(self.path), int(offset), found, expected, hints)

    def bad(self, offset: int, found: str, expected: str, count: int = 1, *hints: Hint) -> None:
        """Report `count` unusable records, the first of them at `offset`."""
        if not self.skip:
            raise self.fatal(offset, found, expected, *hints, SKIP)
        self.count += int(count)


class EventChunk(NamedTuple):
    """N decoded, unchecked events in file order; t in us, offset in bytes."""

    x: NDArray[Any]  # (N,) integer
    y: NDArray[Any]  # (N,) integer
    t: NDArray[np.int64]  # (N,)
    p: NDArray[np.bool_]  # (N,)
    offset: NDArray[np.int64]  # (N,)

    def take(self, which: NDArray[np.bool_] | slice) -> "EventChunk":
        x, y, t, p, offset = self
        return EventChunk(x[which], y[which], t[which], p[which], offset[which])


@dataclass(frozen=True)
class EventSource:
    """An opened recording: what its header says, and its events still to be decoded.

    `sensor_size` is (width, height), or None where neither file nor format states it.
    `time_bits` is the width of the timestamp counter, or None for one that never wraps.
    """

    format: str
    sensor_size: tuple[int, int] | None
    time_bits: int | None
    chunks: Iterator[EventChunk]


def size_of(file: BinaryIO) -> int:
    """Bytes in an open file, whose position is left alone."""
    here = file.tell()
    size = file.seek(0, 2)
    file.seek(here)
    return size


def records(
    file: BinaryIO, dtype: DTypeLike, start: int, faults: Faults, name: str
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Whole records from byte `start` on, as (offset of the first, records), a block at a time.

    Bytes left over at the end are reported as one truncated record.
    """
    width = np.dtype(dtype).itemsize
    step = max(BLOCK_BYTES // width, 1) * width
    file.seek(start)
    while block := file.read(step):
        whole = len(block) // width
        if whole:
            yield start, np.frombuffer(block, dtype, whole)
        if len(block) % width:
            faults.bad(
                start + whole * width,
                f"{len(block) % width} bytes before the end of the file",
                f"whole {name} of {width} bytes",
            )
        start += len(block)
