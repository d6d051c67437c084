"""Every reader against files written by hand: good ones, and bad ones of every kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording_files import WRITERS, Events, aedat2, aedat3, aedat4, evt2, some_events, structured

import vdib.datasets.extras
from vdib.datasets.recording import (
    DAVIS240,
    DAVIS346,
    DVS128,
    Origin,
    Recording,
    RecordingError,
    read_pieces,
    read_recording,
)

EVENTS = some_events()
SIZE = {"sensor_size": (34, 34)}
EXTRAS = {"aedat4.aedat4": "aedat", "evt3.raw": "evt3"}


def write(folder: Path, name: str, content: bytes) -> Path:
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    path = folder / name
    path.write_bytes(content)
    return path


def assert_events(recording: Recording, events: Events) -> None:
    for got, expected in zip(
        (recording.x, recording.y, recording.t, recording.p), events, strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def without(events: Events, *indices: int) -> Events:
    return tuple(np.delete(field, indices) for field in events)  # type: ignore[return-value]


def changed(events: Events, field: int, index: int, value: int) -> Events:
    copies = [f.copy() for f in events]
    copies[field][index] = value
    return tuple(copies)  # type: ignore[return-value]


@pytest.mark.parametrize("name", WRITERS)
def test_reads_what_was_written(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, WRITERS[name](EVENTS))
    recording = read_recording(path, **SIZE)
    assert_events(recording, EVENTS)
    assert (recording.x.dtype, recording.y.dtype) == (np.int16, np.int16)
    assert (recording.t.dtype, recording.p.dtype) == (np.int64, np.bool_)
    assert recording.origin.path == str(path)
    assert recording.num_skipped == 0


@pytest.mark.parametrize("name", WRITERS)
def test_format_is_told_by_content(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, WRITERS[name](EVENTS))
    assert_events(read_recording(path.rename(tmp_path / "unnamed"), **SIZE), EVENTS)


@pytest.mark.parametrize("name", WRITERS)
def test_pieces_make_the_recording(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("source", "text", "numpy_files", "aedat3"):
        monkeypatch.setattr(f"vdib.datasets.formats.{module}.BLOCK_BYTES", 128)
    path = write(tmp_path, name, WRITERS[name](EVENTS))
    pieces = list(read_pieces(path, **SIZE))
    assert len(pieces) > 1
    joined = (np.concatenate([getattr(piece, field) for piece in pieces]) for field in "xytp")
    for got, expected in zip(joined, EVENTS, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_stated_sensor_sizes(tmp_path: Path) -> None:
    def size(name: str, content: bytes, **options: Any) -> tuple[int, int]:
        return read_recording(write(tmp_path, name, content), **options).sensor_size

    assert size("a.aedat", aedat2(EVENTS)) == (128, 128)
    assert size("b.aedat", aedat2(EVENTS, "DAVIS240C")) == (240, 180)
    assert size("c.aedat", aedat2(EVENTS, "Davis346B")) == (346, 260)
    assert size("d.aedat", aedat3(EVENTS, "DAVIS240C")) == (240, 180)
    assert size("dat.dat", WRITERS["dat.dat"](EVENTS)) == (34, 34)
    assert size("evt2.raw", WRITERS["evt2.raw"](EVENTS)) == (34, 34)
    extent = int(EVENTS[0].max()) + 1, int(EVENTS[1].max()) + 1
    assert size("list.csv", WRITERS["list.csv"](EVENTS)) == extent
    assert size("e.csv", WRITERS["list.csv"](EVENTS), sensor_size=(64, 48)) == (64, 48)


def test_golden_bytes(tmp_path: Path) -> None:
    """Records spelt out bit by bit from the formats' descriptions."""
    golden = {
        # y 0x12, x 0x34, bit 0 set: 0x1200 | 0x68 | 1
        "a.aedat": (b"#!AER-DAT2.0\n" + bytes.fromhex("00001269 00000105"), 0x34, 0x12, 261, True),
        # DAVIS: y 3 << 22 | x 5 << 12 | ON 1 << 11
        "b.aedat": (
            b"#!AER-DAT2.0\n# AEChip: eu.DAVIS240C\n" + bytes.fromhex("00c05800 00000007"),
            5,
            3,
            7,
            True,
        ),
        # x 7 in 14 bits, y 2 << 14, polarity 0
        "c.dat": (
            b"% Data file containing CD\n% Version 2\n\x00\x08"
            + bytes.fromhex("09000000 07800000"),
            7,
            2,
            9,
            False,
        ),
        # time high 1 -> 64 us, then ON, low time 3, x 4, y 5
        "d.raw": (b"% evt 2.0\n" + bytes.fromhex("01000080 0520c010"), 4, 5, 67, True),
        # p in bit 7 of the third byte, 0x010203 us
        "e.bin": (bytes.fromhex("0405 810203"), 4, 5, 0x010203, True),
    }
    for name, (content, x, y, t, p) in golden.items():
        recording = read_recording(write(tmp_path, name, content))
        assert_events(recording, tuple(np.array([v]) for v in (x, y, t, p)))  # type: ignore[arg-type]


def test_vectors_of_evt3(tmp_path: Path) -> None:
    """Time high 1 and low 2, row 3, ON from column 4: bits 0, 2 of twelve, then bit 7 of eight."""
    words = np.array([0x8001, 0x6002, 0x0003, 0x3804, 0x4005, 0x5080, 0x2009], "<u2")
    recording = read_recording(write(tmp_path, "evt3.raw", b"% evt 3.0\n" + words.tobytes()))
    on = np.array([True, True, True, False])
    assert_events(recording, (np.array([4, 6, 23, 9]), np.full(4, 3), np.full(4, 4098), on))


def test_events_that_are_no_polarity_events_are_passed_over(tmp_path: Path) -> None:
    frame_sample = np.array([[1 << 31 | 5 << 12, 1], [1 << 10, 2], [7 << 22 | 6 << 12, 3]], ">u4")
    path = write(tmp_path, "a", b"#!AER-DAT2.0\n# AEChip: DAVIS346\n" + frame_sample.tobytes())
    recording = read_recording(path)
    assert (recording.x.tolist(), recording.y.tolist(), recording.num_skipped) == ([6], [7], 0)


def test_flips(tmp_path: Path) -> None:
    x, y, t, p = EVENTS
    path = write(tmp_path, "a.bin", WRITERS["nmnist.bin"](EVENTS))
    assert_events(read_recording(path, flip_x=True), (33 - x, y, t, p))
    assert_events(read_recording(path, flip_y=True), (x, 33 - y, t, p))
    assert_events(read_recording(path, flip_polarity=True), (x, y, t, ~p))


def test_columns_names_and_scale(tmp_path: Path) -> None:
    one = np.array([3]), np.array([4]), np.array([500000]), np.array([True])
    rows = {
        b"0.5 3 4 1\n": {"time_scale": 1e6},
        b"0.5 3 4 -1\n0.5 3 4 1": {"time_scale": 1e6},
        b"3;4;500000;1": {"columns": "xytp"},
        b"# made by hand\n\nrow,frame,polarity,time_us,x\r\n4,9,1,500000,3\r\n": {},
        b"\xef\xbb\xbftimestamp x y on\n500000\t3 4 1\n": {},
    }
    for content, options in rows.items():
        recording = read_recording(write(tmp_path, "a.txt", content), **options)
        assert_events(recording, one if len(recording) == 1 else without_first(one))
    for array in (np.array([[500000, 3, 4, 1]]), np.asfortranarray([[5e5, 3, 4, 1]] * 2)):
        np.save(tmp_path / "a.npy", array)
        recording = read_recording(tmp_path / "a.npy")
        assert (recording.x[0], recording.y[0], recording.t[0], recording.p[0]) == (3, 4, 5e5, True)
    np.savez(tmp_path / "b.npz", events=structured(EVENTS))
    assert_events(read_recording(tmp_path / "b.npz", **SIZE), EVENTS)


def without_first(one: Events) -> Events:
    x, y, t, _ = (np.repeat(field, 2) for field in one)
    return x, y, t, np.array([False, True])


# Bad files: an error that says where, what and what instead; or all the good events.


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.aedat", b"", "byte 0: found an empty file, expected a recording"),
        ("junk.aedat", bytes(range(128, 256)), "expected '#!AER-DAT2.0'"),
        ("old.aedat", b"#!AER-DAT1.0\r\n", "expected '#!AER-DAT2.0'"),
        ("hdf5.h5", b"\x89HDF\r\n\x1a\n", "expected '#!AER-DAT2.0'"),
        ("unended.aedat", b"#!AER-DAT2.0\r\n# a line", "byte 14: found a header line without"),
        ("unended.raw", b"% evt 2.0\n% a line", "byte 10: found a header line without an end"),
        ("unended3.aedat", b"#!AER-DAT3.1\r\n#Format: RAW\r\n\0", "the line #!END-HEADER"),
        ("png.aedat", b"#!AER-DAT3.1\r\n#Format: PNG\r\n#!END-HEADER\r\n", "#Format: RAW"),
        ("chip.aedat", b"#!AER-DAT2.0\n# AEChip: DVS640\n", "the camera 'DVS640'"),
        ("evt21.raw", b"% evt 2.1\n", "the encoding EVT 2.1, expected EVT 2.0 or EVT 3.0"),
        ("what.raw", b"% a line\n\0", "a header that names no encoding"),
        ("why.raw", b"% a line\n", "found the end of the file, expected numbers, or the names"),
        ("old.dat", b"% Data file containing CD\n% Version 3\n", "the line '% Version 2'"),
        ("type.dat", b"% Data file containing\n% Version 2\n\x0e\x08", "found event type and size"),
        ("words.txt", b"hello world\n", "found 'hello world', expected numbers, or the names"),
        ("none.csv", b"t,x,y,p\n", "no events and no sensor size"),
        ("a.npz", b"PK\x03\x04", "an archive that does not open"),
        ("a.npy", b"\x93NUMPY\x01\x00\x05\x00{'a'}", "a header that does not parse"),
    ],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_unreadable_files(
    name: str, content: bytes, expected: str, on_error: str, tmp_path: Path
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(RecordingError) as caught:
        read_recording(path, on_error=on_error)
    assert str(caught.value).startswith(f"{path}: byte ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "name", [n for n in WRITERS if n not in ("list.npz", "list.csv", "list.txt")]
)
def test_truncated_payload(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, WRITERS[name](EVENTS)[:-1])
    with pytest.raises(RecordingError, match="expected"):
        read_recording(path, **SIZE)
    recording = read_recording(path, on_error="skip", **SIZE)
    lost = 25 if name.startswith("aedat4") else 1  # AEDAT4 loses the packet
    assert len(recording) == 50 - lost
    assert recording.num_skipped == 1
    assert_events(recording, tuple(field[: 50 - lost] for field in EVENTS))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WRITERS)
def test_places_outside_the_sensor(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, WRITERS[name](changed(EVENTS, 0, 20, 99)))
    with pytest.raises(RecordingError, match=r"x = 99, y = \d+, expected a place on the 34 x 34"):
        read_recording(path, **SIZE)
    recording = read_recording(path, on_error="skip", **SIZE)
    assert_events(recording, without(EVENTS, 20))
    assert recording.num_skipped == 1


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("t", [5, 100_000])
def test_times_that_run_backwards(name: str, t: int, tmp_path: Path) -> None:
    """Skipping drops one leap back or ahead, not all the events after a leap ahead."""
    path = write(tmp_path, name, WRITERS[name](changed(EVENTS, 2, 20, t)))
    with pytest.raises(RecordingError, match=r"us after one at \d+ us, expected times that do not"):
        read_recording(path, **SIZE)
    recording = read_recording(path, on_error="skip", **SIZE)
    assert_events(recording, without(EVENTS, 20))
    assert recording.num_skipped == 1


def test_error_names_the_byte(tmp_path: Path) -> None:
    path = write(tmp_path, "a.bin", WRITERS["nmnist.bin"](changed(EVENTS, 1, 30, 34)))
    with pytest.raises(RecordingError) as caught:
        read_recording(path)
    assert (caught.value.path, caught.value.offset) == (str(path), 30 * 5)


@pytest.mark.parametrize(
    ("name", "bits"), [("aedat2.aedat", 32), ("dat.dat", 32), ("nmnist.bin", 23), ("evt2.raw", 34)]
)
def test_counters_that_wrap(name: str, bits: int, tmp_path: Path) -> None:
    x, y, t, p = EVENTS
    late = t - t[25] + (1 << bits)
    path = write(tmp_path, name, WRITERS[name]((x, y, late % (1 << bits), p)))
    with pytest.raises(RecordingError, match=f"unwrap=True continues a {bits}-bit counter"):
        read_recording(path, **SIZE)
    assert_events(read_recording(path, unwrap=True, **SIZE), (x, y, late, p))


def test_overflows_that_aedat3_counts(tmp_path: Path) -> None:
    x, y, t, p = EVENTS
    late = t + (3 << 31)
    assert_events(read_recording(write(tmp_path, "a", aedat3((x, y, late, p)))), (x, y, late, p))


def test_addresses_of_another_camera(tmp_path: Path) -> None:
    path = write(tmp_path, "a.aedat", aedat2(EVENTS, "DAVIS240"))
    assert_events(read_recording(path, layout=DAVIS240), EVENTS)
    assert_events(read_recording(path, layout=DAVIS346), EVENTS)
    with pytest.raises(RecordingError, match="expected an address of DVS128"):
        read_recording(path, layout=DVS128)


def test_event_before_any_time_word(tmp_path: Path) -> None:
    content = evt2(EVENTS)
    start = content.index(b"% end\n") + 6
    path = write(tmp_path, "a.raw", content[:start] + content[start + 4 :])
    with pytest.raises(RecordingError, match="an event before any time word"):
        read_recording(path)
    assert_events(read_recording(path, on_error="skip"), without(EVENTS, 0))


def test_text_with_bad_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", b"1 2 3 1\n2 2 x 1\n3 2 3\n4 2 3 7\n5 2.5 3 1\n6 2 3 0\n")
    with pytest.raises(RecordingError, match="byte 8: found '2 2 x 1', expected a line of 4"):
        read_recording(path)
    recording = read_recording(path, on_error="skip")
    assert (recording.t.tolist(), recording.num_skipped) == ([1, 6], 4)


def test_description_of_aedat4_must_be_xml(tmp_path: Path) -> None:
    pytest.importorskip("aedat")
    for xml in ("<dv", "<!DOCTYPE dv><dv/>", "<dv>\x00</dv>", "<dv/>"):
        path = write(tmp_path, "a.aedat4", aedat4(EVENTS, xml))
        with pytest.raises(RecordingError):
            read_recording(path)


def test_arrays_are_never_unpickled_nor_believed(tmp_path: Path) -> None:
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(RecordingError, match="of object, expected fields x, y, t, p"):
        read_recording(tmp_path / "object.npy")
    content = WRITERS["list.npy"](EVENTS).replace(b"(50,)", b"(9e9,)"[:5])
    with pytest.raises(RecordingError):
        read_recording(write(tmp_path, "shape.npy", content))
    huge = WRITERS["list.npy"](EVENTS).replace(b"(50,), }      ", b"(5000000000,)}")
    assert b"5000000000" in huge
    with pytest.raises(RecordingError, match="650 bytes of data, expected 65000000000"):
        read_recording(write(tmp_path, "huge.npy", huge))
    np.savez_compressed(tmp_path / "bomb.npz", events=np.zeros((2_500_000, 4)))
    with pytest.raises(RecordingError, match="arrays of 80000128 bytes"):
        read_recording(tmp_path / "bomb.npz")


def test_missing_extra_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(vdib.datasets.extras.importlib, "import_module", missing)
    for name, extra in EXTRAS.items():
        (tmp_path / name).write_bytes(WRITERS[name](EVENTS))
        with pytest.raises(ImportError, match=rf"^the package '{extra}' .* vdib\[{extra}\]$"):
            read_recording(tmp_path / name)


def test_options_and_recordings_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path, "a.bin", WRITERS["nmnist.bin"](EVENTS))
    for options in (
        {"on_error": "ignore"},
        {"columns": "xyt"},
        {"sensor_size": (0, 3)},
        {"time_scale": 0},
    ):
        with pytest.raises(ValueError, match="expected"):
            read_recording(path, **options)
    x, y, t, p = (a.astype(d) for a, d in zip(EVENTS, ("<i2", "<i2", "<i8", "?"), strict=True))
    origin = Origin("here", "test")
    for fields in ((x[1:], y, t, p), (x - np.int16(40), y, t, p), (x, y, t[::-1], p)):
        with pytest.raises(ValueError, match="expected"):
            Recording(*fields, (34, 34), origin)
    with pytest.raises(FileNotFoundError):
        read_recording(tmp_path / "nowhere.bin")
