"""Files as other programs write them, and what their own readers make of them."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording_files import aedat2, aedat4, some_events

from vdib.datasets.recording import (
    LAYOUTS,
    NotARecordingError,
    Recording,
    RecordingError,
    read_pieces,
    read_recording,
)


def read(path: Path, content: bytes | str, **options: Any) -> Recording:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_recording(path, **options)


def rows(recording: Recording) -> list[tuple[int, ...]]:
    """x, y, t, p of each event."""
    return list(zip(*(getattr(recording, field).tolist() for field in "xytp"), strict=True))


THREE = [(10, 20, 5, True), (11, 20, 9, False), (12, 21, 12, True)]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("%geometry:640,480\n10,20,1,5\n11,20,0,9\n12,21,1,12\n", (640, 480)),  # Metavision
        ("t,x@640,y@480,on\r\n5,10,20,1\r\n9,11,20,0\r\n12,12,21,1\r\n", (640, 480)),  # faery
        ("640 480\n5 10 20 1\n9 11 20 0\n12 12 21 1\n", (640, 480)),  # E2VID
        ("# Mäuse\n# t x y p\n\n5 10 20 1\n9 11 20 0\n12 12 21 1\n", (13, 22)),
        ("# x, y, timestamp, polarity\n10 20 5 1\n11 20 9 0\n12 21 12 1\n", (13, 22)),
        ("% a comment\n5 10 20 1\n9 11 20 0\n# between\n12 12 21 1\n", (13, 22)),
        ("#" * 300_000 + "\n5 10 20 1\n9 11 20 0\n12 12 21 1\n", None),
        ("timestamp,x,y,polarity,frame\n5,10,20,1,a\n9,11,20,0,b\n12,12,21,1,c\n", (13, 22)),
    ],
)
def test_text_says_above_its_events_what_they_are(
    text: str, size: tuple[int, int] | None, tmp_path: Path
) -> None:
    if size is None:
        with pytest.raises(NotARecordingError, match="a line of 262144 bytes"):
            read(tmp_path / "a.csv", text)
        return
    recording = read(tmp_path / "a.csv", text)
    assert (rows(recording), recording.sensor_size) == (THREE, size)
    if size == (640, 480):  # is known before the first event
        assert [rows(piece) for piece in read_pieces(tmp_path / "a.csv")] == [THREE]


def test_options_come_before_what_a_text_implies(tmp_path: Path) -> None:
    text = "%geometry:640,480\n5,10,20,1\n9,11,20,0\n12,12,21,1\n"
    recording = read(tmp_path / "a.csv", text, columns="txyp", sensor_size=(700, 500))
    assert (rows(recording), recording.sensor_size) == (THREE, (700, 500))


@pytest.mark.parametrize(
    "extra",
    [
        np.int64(7),
        np.array("DVS"),
        np.array({"a": 1}, object),
        np.zeros((0, 3)),
        np.zeros((5, 4)),
        np.zeros(3_000_000),
    ],
)
def test_archives_with_more_in_them(extra: Any, tmp_path: Path) -> None:
    """Nobody asked for it: not its type, not its size."""
    fields = dict(zip("xytp", np.array(THREE, np.int64).T, strict=True))
    np.savez_compressed(tmp_path / "a.npz", **fields, timestamps=extra, meta=extra)
    assert rows(read_recording(tmp_path / "a.npz")) == THREE
    table = np.rec.fromarrays(list(fields.values()), names="x,y,t,p")
    np.savez_compressed(
        tmp_path / "b.npz", events=table, **{"meta": extra} if extra.ndim < 2 else {}
    )
    assert rows(read_recording(tmp_path / "b.npz")) == THREE


def test_archives_that_hold_no_events(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 3, 3)), labels=np.arange(3))
    with pytest.raises(NotARecordingError, match=r"found arrays \['images', 'labels'\]"):
        read_recording(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", left=np.zeros((3, 4)), right=np.zeros((3, 4)))
    with pytest.raises(NotARecordingError, match="expected x, y, t and p, or one table"):
        read_recording(tmp_path / "b.npz")


@pytest.mark.parametrize(
    "head",
    [
        "% Data file containing CD events.\n% Version 2\n% Width 346\n% Height 260\n",
        "% Version 2\n% Width 346\n% Height 260\n",
        "% Width 346\n% Height 260\n",
        "% Data file containing CD\n% Height 260\n% Width 346\n% Date 2020-01-01 10:00:00\n",
    ],
)
def test_dat_of_other_writers(head: str, tmp_path: Path) -> None:
    events = struct.pack("<4I", 1, 5 | 7 << 14 | 1 << 28, 2, 6 | 7 << 14)
    recording = read(tmp_path / "a.dat", head.encode() + b"\x00\x08" + events)
    assert rows(recording) == [(5, 7, 1, True), (6, 7, 2, False)]
    assert recording.sensor_size == (346, 260)


def test_dat_of_the_first_version(tmp_path: Path) -> None:
    """9 bits of x, 8 of y: the last event's bytes as faery 0.7.1 writes it."""
    words = bytes.fromhex("5f000000 2fdf0300")
    recording = read(
        tmp_path / "a.dat", b"% Version 1\n% Width 304\n% Height 240\n\x0c\x08" + words
    )
    assert (rows(recording), recording.sensor_size) == ([(303, 239, 95, True)], (304, 240))


def test_overflow_marks_of_nmnist(tmp_path: Path) -> None:
    """A record at y = 240 adds 2^13 us and is no event, whatever the option, in any block."""
    t = np.arange(0, 400_000, 50)
    records, turns = [], 0
    for i, time in enumerate(t.tolist()):
        while time >= (turns + 1) << 13:
            records.append((0, 240, 0, 0))
            turns += 1
        records.append((i % 34, i % 30, i % 2, time - (turns << 13)))
    x, y, p, low = np.array(records).T
    content = np.stack([x, y, p << 7, low >> 8 & 255, low & 255], 1).astype("u1").tobytes()
    for name in ("a.bin", "without a suffix"):
        for options in ({}, {"on_error": "skip"}, {"on_error": "segments"}, {"unwrap": True}):
            recording = read(tmp_path / name, content, **options)
            np.testing.assert_array_equal(recording.t, t)
            assert recording.num_skipped == 0


def test_padding_in_event_words(tmp_path: Path) -> None:
    pytest.importorskip("evt3")
    words = [0x8000, 0x6005, 20, 0x2000 | 1 << 11 | 10, 0x9999, 0x6009, 21, 0x2000 | 11]
    evt3 = b"% evt 3.0\n% geometry 1280x720\n% end\n" + np.array(words, "<u2").tobytes()
    recording = read(tmp_path / "a.raw", evt3)
    assert rows(recording) == [(10, 20, 5, True), (11, 21, 9, False)]
    evt2 = struct.pack("<4I", 8 << 28 | 1, 0x99999999, 1 << 28 | 4 << 11 | 5, 0xB0000000)
    recording = read(tmp_path / "b.raw", b"% evt 2.0\n" + evt2)
    assert (rows(recording), recording.num_skipped) == ([(4, 5, 64, True)], 0)


def test_times_of_evt3_that_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 bits of time, 16.8 s: the upper word falls, and time goes on."""
    pytest.importorskip("evt3")
    words: list[int] = []
    t = np.arange(15_000_000, 60_000_000, 2_000_003)
    for time in t.tolist():
        low = time & 0xFFF
        words += [0x8000 | time >> 12 & 0xFFF, 0x6000 | low, 0x0003, 0x2000 | 5]
    content = b"% evt 3.0\n% geometry 34x34\n% end\n" + np.array(words, "<u2").tobytes()
    np.testing.assert_array_equal(read(tmp_path / "a.raw", content).t, t)
    monkeypatch.setattr("vdib.datasets.formats.source.BLOCK_BYTES", 10)
    np.testing.assert_array_equal(read_recording(tmp_path / "a.raw").t, t)


def test_aedat2_of_other_chips(tmp_path: Path) -> None:
    """By name, whatever the header says; without one DVS128, and the message says what to do."""
    x, y, t, p = some_events(width=600, height=400)
    expected = list(zip(x.tolist(), y.tolist(), t.tolist(), p.tolist(), strict=True))
    unnamed = aedat2((x, y, t, p), "DAVIS640").replace(b"# AEChip: some.chips.DAVIS640\r\n", b"")
    unknown = unnamed.replace(b"#!AER-DAT2.0\r\n", b"#!AER-DAT2.0\r\n# AEChip: a.b.MyChip\r\n")
    for content, message in ((unnamed, "an address of DVS128"), (unknown, "'a.b.MyChip'")):
        with pytest.raises(RecordingError, match=f"{message}.*; layout=.*DAVIS346"):
            read(tmp_path / "a.aedat", content)
        recording = read_recording(tmp_path / "a.aedat", layout="DAVIS640")
        assert (rows(recording), recording.sensor_size) == (expected, (640, 480))
    assert rows(read(tmp_path / "a.aedat", aedat2((x, y, t, p), "DAVIS640"))) == expected
    early = aedat2((x % 128, y % 128, t, p)).replace(b"chips.DVS128", b"chips.Tmpdiff128")
    assert read(tmp_path / "a.aedat", early).sensor_size == (128, 128)
    with pytest.raises(ValueError, match=r"layout is 'DAVIS'.*" + ", ".join(LAYOUTS)):
        read_recording(tmp_path / "a.aedat", layout="DAVIS")


def test_stereo_aedat4(tmp_path: Path) -> None:
    """Two event streams in one file: each packet says which it belongs to."""
    pytest.importorskip("aedat")
    events = some_events()
    xml = aedat4(events).partition(b"<dv")[2].partition(b"</dv>")[0].decode()
    begin, end = xml.index('<node name="0"'), xml.rindex("</node>")
    node = xml[begin:end]
    second = node.replace('name="0"', 'name="1"').replace("/0/", "/1/")
    two = aedat4(events, f"<dv{xml[:end]}{second}</node></dv>")
    at = two.rindex(b"EVTS") - 16  # the number of the last packet's stream
    two = two[:at] + struct.pack("<i", 1) + two[at + 4 :]
    half = len(events[0]) // 2
    for stream, part in ((0, slice(half)), (1, slice(half, None)), (None, slice(half))):
        recording = read(tmp_path / "a.aedat4", two, stream=stream)
        np.testing.assert_array_equal(recording.t, events[2][part])
    with pytest.raises(RecordingError, match=r"the event streams \[0, 1\], expected stream 2; s"):
        read_recording(tmp_path / "a.aedat4", stream=2)


# Times.


def of_times(t: Any) -> bytes:
    """An AEDAT 2.0 file of a DVS128, its events told apart by their places."""
    t = np.asarray(t, np.int64)
    x, y = np.arange(t.size) % 128, np.arange(t.size) // 128 % 128
    return aedat2((x, y, t, np.ones(t.size, bool)))


def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """What lies in order on both sides is kept, and nothing is lost."""
    before, after = np.arange(6_000_000, 6_100_000, 10), np.arange(0, 50_000, 10)
    content = of_times(np.concatenate((before, after)))
    with pytest.raises(RecordingError, match=r"on_error=segments goes on.*; on_error=skip leaves"):
        read(tmp_path / "a.aedat", content)
    recording = read_recording(tmp_path / "a.aedat", on_error="segments")
    np.testing.assert_array_equal(recording.t, np.concatenate((before, after + before[-1])))
    assert recording.num_skipped == 0
    skipping = read_recording(tmp_path / "a.aedat", on_error="skip")
    assert skipping.num_skipped == len(after)


def test_resets_wherever_blocks_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [np.arange(start, start + 3_000, 10) for start in (9_000, 0, 100, 50_000, 7)]
    times = np.concatenate(parts)
    expected = times.copy()
    for at in np.flatnonzero(np.diff(times) < 0) + 1:
        expected[at:] += expected[at - 1] - expected[at]
    for size in (8 * 7, 8 * 64, 8 * 300, 1 << 18):
        monkeypatch.setattr("vdib.datasets.formats.source.BLOCK_BYTES", size)
        recording = read(tmp_path / "a.aedat", of_times(times), on_error="segments")
        np.testing.assert_array_equal(recording.t, expected)


def test_a_single_bad_time_is_no_reset(tmp_path: Path) -> None:
    good = np.arange(0, 20_000, 10)
    for at, t in ((700, 3), (700, 1_000_000), (0, 900_000)):
        times = good.copy()
        times[at] = t
        recording = read(tmp_path / "a.aedat", of_times(times), on_error="segments")
        np.testing.assert_array_equal(recording.t, np.delete(good, at))
        assert recording.num_skipped == 1


def test_times_of_no_clock_are_refused(tmp_path: Path) -> None:
    """Nanoseconds since 1970 taken for us, and an overflowing AEDAT 4.0 time."""
    events = np.zeros(3, [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
    events["t"] = 1_700_000_000_000_000_000 + np.arange(3) * 1000
    np.save(tmp_path / "a.npy", events)
    with pytest.raises(RecordingError, match=r"time_scale=1e-3 reads t in ns"):
        read_recording(tmp_path / "a.npy")
    recording = read_recording(tmp_path / "a.npy", time_scale=1e-3)
    assert recording.t[0] == 1_700_000_000_000_000
    pytest.importorskip("aedat")
    x, y, t, p = some_events()
    t[30] = (1 << 63) - 1
    with pytest.raises(RecordingError, match="expected a time within 285 years"):
        read(tmp_path / "a.aedat4", aedat4((x, y, t, p)))
    assert len(read_recording(tmp_path / "a.aedat4", on_error="skip")) == 49


def test_messages_are_one_line_whatever_the_file_is_called(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x01\x00\xff\xff" + b"{" + b" " * 65534
    for name in ("a.npy", "a\nb\x85c.npy"):
        (tmp_path / name).write_bytes(header)
        with pytest.raises(RecordingError, match="a header that does not parse") as caught:
            read_recording(tmp_path / name)
        assert len(str(caught.value).splitlines()) == 1
