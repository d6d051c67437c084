"""Property-based: no bytes make a reader hang, fail otherwise than it says, or eat the memory."""

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recording_files import WRITERS, some_events

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
