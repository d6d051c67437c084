"""Property-based: no bytes make a reader hang, fail otherwise than it says, or eat the memory."""

import re
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_recordings import check
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import lz4_frame, zstd_frame
from recording_files import WRITERS, aedat4_of, some_events

from vdib.datasets.recording import RecordingError, read_recording

SLOWEST = 5.0  # seconds for a file of a few kB: far above need, far below a hang
MEMORY = 8  # bytes for each of the file, and 1 MB beside
BEGINNINGS = (
    b"",
    b"#!AER-DAT2.0\r\n",
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n",
    b"#!AER-DAT4.0\r\n",
    b"% Data file containing CD\n% Version 2\n\x00\x08",
    b"% evt 2.0\n",
    b"% evt 3.0\n",
    b"\x93NUMPY\x01\x00",
    b"PK\x03\x04",
    b"t x y p\n",
)
FILES = {name: writer(some_events(40)) for name, writer in WRITERS.items()}

quick = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def read_in_bounds(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for options in ({}, {"on_error": "skip"}, {"on_error": "skip", "unwrap": True, "flip_y": True}):
        begun = time.perf_counter()
        tracemalloc.start()
        try:
            recording = read_recording(path, **options)
            assert recording.num_skipped == 0 or options
            complaint = None
        except RecordingError as error:
            complaint = error
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        if complaint:
            assert complaint.path == str(path)
            assert 0 <= complaint.offset <= len(content)
        assert peak <= MEMORY * len(content) + (1 << 20)
        assert time.perf_counter() - begun < SLOWEST


@pytest.fixture(autouse=True, scope="module")
def extras() -> None:
    pytest.importorskip("aedat")
    pytest.importorskip("evt3")


@pytest.mark.parametrize("beginning", BEGINNINGS)
@quick
@given(rest=st.binary(max_size=600), suffix=st.sampled_from([".aedat", ".bin", ".raw"]))
def test_arbitrary_bytes(beginning: bytes, tmp_path: Path, rest: bytes, suffix: str) -> None:
    read_in_bounds(tmp_path / f"a{suffix}", beginning + rest)


@pytest.mark.parametrize("name", FILES)
@quick
@given(data=st.data())
def test_mutated_files(name: str, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(FILES[name])
    where = st.integers(0, len(content) - 1)
    for at, byte in data.draw(st.lists(st.tuples(where, st.integers(0, 255)), max_size=6)):
        content[at] = byte
    start, length = data.draw(where), data.draw(st.sampled_from([0, 0, 1, 7, len(content)]))
    content[start : start + length] = data.draw(st.binary(max_size=8)) if length else b""
    read_in_bounds(tmp_path / name, bytes(content))


@pytest.mark.parametrize("name", [n for n in FILES if not n.startswith(("evt3", "list.npz"))])
def test_memory_for_a_large_file(name: str, tmp_path: Path) -> None:
    """EVT 3.0 and .npz are compressed, and left out here."""
    content = WRITERS[name](some_events(60_000))
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        recording = read_recording(path, sensor_size=(34, 34), unwrap=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(recording) == 60_000
    assert peak <= 6 * len(content) + (6 << 20)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are Linux's")
def test_some_mutated_files(tmp_path: Path) -> None:
    """The first ones of `python tests/fuzz_recordings.py`, checked as it checks them."""
    for number in range(150):
        line = check(number, tmp_path)
        assert line.endswith("}"), line


def test_the_check_finds_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that does not stop, takes memory, or fails otherwise than it says."""

    def fault_of(reader: Callable[..., Any]) -> str:
        monkeypatch.setattr("vdib.datasets.recording.read_recording", reader)
        return check(1, tmp_path).rpartition("}")[2]

    def nameless(path: Path, **options: Any) -> None:
        raise RecordingError("a file", 0, "one", "two")

    def other(path: Path, **options: Any) -> None:
        raise KeyError("x")

    def large(path: Path, **options: Any) -> None:
        bytearray(b"1") * (80 << 20)
        raise RecordingError(str(path), 0, "one", "two")

    def beyond(path: Path, **options: Any) -> None:
        raise RecordingError(str(path), 1 << 40, "one", "two")

    assert "a message that" in fault_of(nameless)
    assert "KeyError" in fault_of(other)
    assert re.search(r"\d\d MB for -1 events of", fault_of(large))
    assert "byte 1099511627776 of" in fault_of(beyond)


@pytest.mark.parametrize("compression", [1, 3])
def test_packets_that_would_fill_the_memory(compression: int, tmp_path: Path) -> None:
    """64 kB of either may become a gigabyte: told by the blocks' headers, before it is made."""

    def bomb(packet: bytes) -> bytes:
        if compression == 3:
            head = struct.pack("<I", 0xFD2FB528) + b"\x00\x58"
            return head + (struct.pack("<I", 1 << 20 | 2)[:3] + b"\0") * 8192
        head = struct.pack("<I", 0x184D2204) + b"\x60\x70\x73"
        return head + (struct.pack("<I", 16000) + b"\xff" * 16000) * 60

    path = tmp_path / "a.aedat4"
    path.write_bytes(aedat4_of(some_events(10), compression, bomb))
    for on_error in ("raise", "skip"):
        with pytest.raises(RecordingError, match=r"that may become \d{9,}, expected at most"):
            read_recording(path, on_error=on_error)


@pytest.mark.parametrize(("compression", "frame"), [(1, lz4_frame), (3, zstd_frame)])
def test_compressed_packets_are_read(compression: int, frame: Any, tmp_path: Path) -> None:
    events = some_events(300)
    path = tmp_path / "a.aedat4"
    path.write_bytes(aedat4_of(events, compression, frame))
    np.testing.assert_array_equal(read_recording(path).t, events[2])
