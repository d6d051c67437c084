"""Events in NumPy files: one array, or in an .npz also an array for each of x, y, t and p.

An array is structured (fields x, y, t, p or the like) or has shape (N, columns). What else lies in
an archive is left alone. Nothing is unpickled, and no array is made before its stated size is
checked against the bytes that are there.
"""

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vdib.datasets.formats.columns import column_chunk, named_columns
from vdib.datasets.formats.source import (
    BLOCK_BYTES,
    EventChunk,
    EventSource,
    Faults,
    RecordingError,
    size_of,
)

MAX_EXPANSION = 100
"""An archive whose arrays would take over so many times its own bytes is taken for an attack."""

_MAX_NPY_HEADER = 1 << 14


def read_npy(file: BinaryIO, faults: Faults, columns: str | None, time_scale: float) -> EventSource:
    """One array; its header is checked at once, its data are read with the first events."""
    places = _checked_places(file, 0, columns, faults)

    def chunks() -> Iterator[EventChunk]:
        file.seek(0)
        array = _array(file, 0, size_of(file), faults)
        table = {field: array[place] for field, place in places.items()}
        data = size_of(file) - array.nbytes
        yield from _decode(table, data, array.strides[0], faults, time_scale)

    return EventSource("npy", None, None, chunks())


def read_npz(file: BinaryIO, faults: Faults, columns: str | None, time_scale: float) -> EventSource:
    """Arrays named x, y, t and p, or the one table; what is read is chosen at once."""
    with _archive_opens(faults):
        archive = zipfile.ZipFile(file)
        chosen = _chosen(archive, faults)
        limit = MAX_EXPANSION * size_of(file) + BLOCK_BYTES
        total = sum(member.file_size for member in chosen.values())
        if total > limit:
            raise faults.fatal(0, f"arrays of {total} bytes", f"at most {limit} in such a file")

    def chunks() -> Iterator[EventChunk]:
        with _archive_opens(faults):
            table = _loaded(archive, chosen, columns, faults)
        yield from _decode(table, 0, 0, faults, time_scale)

    return EventSource("npz", None, None, chunks())


@contextmanager
def _archive_opens(faults: Faults) -> Iterator[None]:
    """Errors from inside, of which zipfile and zlib raise a dozen types, as the recording's."""
    try:
        yield
    except RecordingError:
        raise
    except Exception as error:
        raise faults.fatal(0, f"an archive that does not open ({error})", "a .npz file") from error


def _chosen(archive: zipfile.ZipFile, faults: Faults) -> dict[str, zipfile.ZipInfo]:
    """The members of the columns x, y, t and p, or under no name that of the one table."""
    members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()
               if m.filename.endswith(".npy")}  # fmt: skip
    if given := named_columns(list(members)):
        parts = list(members.values())
        return {field: parts[i] for field, i in given.items()}
    tables = [member for member in members.values() if _is_table(archive, member)]
    if len(tables) != 1:
        found = f"arrays {sorted(members)}"[:200]
        raise faults.other(0, found, "x, y, t and p, or one table of events")
    return {"": tables[0]}


def _loaded(
    archive: zipfile.ZipFile,
    chosen: dict[str, zipfile.ZipInfo],
    columns: str | None,
    faults: Faults,
) -> dict[str, NDArray[Any]]:
    """The columns x, y, t, p."""
    arrays = {}
    for name, member in chosen.items():
        with archive.open(member) as part:
            places = None if name else _checked_places(part, member.header_offset, columns, faults)
        with archive.open(member) as part:
            arrays[name] = _array(part, member.header_offset, member.file_size, faults)
        if places is not None:
            return {field: arrays[""][place] for field, place in places.items()}
    if {a.ndim for a in arrays.values()} != {1} or len({len(a) for a in arrays.values()}) != 1:
        shapes = ", ".join(f"{field} {a.shape}" for field, a in arrays.items())
        raise faults.fatal(0, f"arrays of shapes {shapes}"[:200], "x, y, t, p of one length")
    return arrays


def _is_table(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Whether an array, by its header, holds rows of events."""
    with archive.open(member) as part:
        try:
            shape, _, dtype = _header(part)
        except Exception:  # whatever it is, nobody asked for it
            return False
    return _places(shape, dtype, None) is not None


def _array(file: Any, offset: int, size: int, faults: Faults) -> NDArray[Any]:
    """The array of an open .npy file of `size` bytes; a shorter one is cut where it ends."""
    shape, fortran, dtype = _parsed_header(file, offset, faults)
    if dtype.hasobject or not dtype.itemsize or not shape or min(shape) < 0:
        raise faults.other(offset, f"an array {shape} of {dtype}"[:200], "an array of numbers")
    row = dtype.itemsize * math.prod(shape[1:])
    there = size - file.tell()
    if shape[0] * row > there:
        if fortran and len(shape) > 1:
            raise faults.fatal(offset, f"{there} bytes of data", f"{shape[0] * row}")
        rows = there // row
        faults.bad(offset, f"{there} bytes of data", f"{shape[0] * row}", shape[0] - rows)
        shape = (rows, *shape[1:])
    elif shape[0] * row < there:
        faults.bad(offset, f"{there} bytes of data", f"{shape[0] * row}")
    data = file.read(math.prod(shape) * dtype.itemsize)
    if len(data) < math.prod(shape) * dtype.itemsize:
        raise faults.fatal(offset, f"{len(data)} bytes of data", f"{shape[0] * row}")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type that an open .npy file states."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on headers of Python 2
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = read(file, max_header_size=_MAX_NPY_HEADER)
    return shape, fortran, dtype


def _places(
    shape: tuple[int, ...], dtype: np.dtype[Any], columns: str | None
) -> dict[str, Any] | None:
    """The index of each column x, y, t, p in such an array, or None where it is no table."""
    if dtype.names and len(shape) == 1:
        given = named_columns(dtype.names)
        return given and {field: dtype.names[i] for field, i in given.items()}
    if len(shape) == 2 and dtype.names is None and shape[1] >= 4 and dtype.kind in "iubf":
        return {field: (slice(None), (columns or "txyp").index(field)) for field in "xytp"}
    return None


def _parsed_header(
    file: Any, offset: int, faults: Faults
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        return _header(file)
    except Exception as error:  # NumPy parses Python literals: nearly any type of error
        why = str(error).split("\n")[0]
        raise faults.fatal(offset, f"a header that does not parse ({why})", ".npy") from error


def _checked_places(file: Any, offset: int, columns: str | None, faults: Faults) -> dict[str, Any]:
    """The index of each column x, y, t, p, by the header of an open .npy file."""
    shape, _, dtype = _parsed_header(file, offset, faults)
    places = _places(shape, dtype, columns)
    if places is None:
        found = f"an array {shape} of {dtype}"[:200]
        raise faults.other(offset, found, "fields x, y, t, p, or the shape (N, 4)")
    return places


def _decode(
    table: dict[str, NDArray[Any]], start: int, stride: int, faults: Faults, time_scale: float
) -> Iterator[EventChunk]:
    """Events from row 0 at byte `start` on, `stride` bytes a row (0 within an archive)."""
    if any(c.dtype.kind not in "iubf" or c.ndim != 1 for c in table.values()):
        kinds = ", ".join(f"{field} {c.dtype}" for field, c in table.items())
        raise faults.fatal(0, f"columns {kinds}"[:200], "columns of numbers")
    step = BLOCK_BYTES // 32
    for first in range(0, len(table["t"]), step):
        part = {field: c[first : first + step] for field, c in table.items()}
        offset = start + stride * np.arange(first, first + part["t"].size)
        yield column_chunk(part, offset, faults, time_scale)
