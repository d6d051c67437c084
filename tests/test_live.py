"""Live input: what arrives, what is dropped, and what is seen."""

import itertools
import json
import os
import socket
import struct
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import recordings as make
from test_event_feed import SIZE, STEPS, moving, naturaliser

from vdib.live import __main__ as live
from vdib.live import camera, engine, recorded, replay, udp
from vdib.live.aestream import Events, decoded, encoded, timed
from vdib.live.clock import Clock
from vdib.live.engine import Engine, Look
from vdib.live.latency import Latencies
from vdib.live.lines import LineSource, parsed
from vdib.live.queue import EventQueue
from vdib.live.source import Source
from vdib.live.status import Status
from vdib.live.terminal import blocks
from vdib.live.web import Web, message
from vdib.naturalise.event_feed import EventFeed
from vdib.runs.command import UserError


def events(count: int = 5, t: int | None = 0, x: int = 0, arrived: float = 1.0) -> Events:
    """Events that differ in x, 1 us apart from t on."""
    place = np.arange(x, x + count).astype(np.int16)
    times = None if t is None else np.arange(t, t + count)
    return Events(place, place % 7, place % 2 > 0, times, arrived)


def loopback() -> socket.socket:
    """A socket that may send to this machine."""
    try:
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.bind(("127.0.0.1", 0))
    except OSError as error:
        pytest.skip(f"no sockets here: {error}")
    return out


# --- AEStream's packets ------------------------------------------------------------------------


def test_packets_bit_by_bit() -> None:
    """(x 5, y 3, ON), (x 300, y 2, OFF) without times, then (x 1, y 2, ON) at 70,000 us."""
    plain = struct.pack("<II", 0x8005_8003, 0x812C_0002)
    assert not timed(plain)
    found, bad = decoded(plain, False, 7.0)
    assert (found.x.tolist(), found.y.tolist()) == ([5, 300], [3, 2])
    assert (found.p.tolist(), found.t, found.arrived, bad) == ([True, False], None, 7.0, 0)
    with_time = struct.pack("<II", 0x0001_8002, 70_000)
    assert timed(with_time)
    found, bad = decoded(with_time, True, 7.0)
    assert found.t is not None
    assert (found.x[0], found.y[0], found.p[0], found.t[0], bad) == (1, 2, True, 70_000, 0)


@pytest.mark.parametrize("t", [None, (1 << 32) - 100])
def test_packets_there_and_back(t: int | None) -> None:
    some = events(300, t, x=20_000)
    packets = encoded(some)
    per = 128 if t is None else 64
    assert [len(p) for p in packets[:-1]] == [512] * (len(packets) - 1)
    assert len(packets) == -(-300 // per)
    found, bad = decoded(b"".join(packets), timed(packets[0]), 1.0)
    assert bad == 0
    for name in ("x", "y", "p"):
        assert np.array_equal(getattr(found, name), getattr(some, name))
    if some.t is not None and found.t is not None:
        assert np.array_equal(found.t, some.t % (1 << 32))


def test_what_makes_no_sense_is_counted_and_left_out() -> None:
    good = b"".join(encoded(events(3, None)))
    found, bad = decoded(good + struct.pack("<I", 5) + b"xy", False, 0.0)
    assert (len(found), bad) == (3, 2)
    found, bad = decoded(b"".join(encoded(events(3, 9))) + struct.pack("<I", 5), True, 0.0)
    assert (len(found), bad) == (3, 1)


# --- the queue ---------------------------------------------------------------------------------


def test_the_oldest_are_dropped_and_counted_exactly() -> None:
    queue = EventQueue(10)
    for first in (0, 6, 12):
        queue.put(events(6, first, x=first))
    assert (queue.received, queue.dropped) == (18, 8)
    taken = queue.take(0)
    assert np.concatenate([chunk.x for chunk in taken]).tolist() == list(range(8, 18))
    assert np.concatenate([chunk.t for chunk in taken if chunk.t is not None])[0] == 8
    queue.put(events(25))
    assert (queue.received, queue.dropped) == (43, 23)
    assert queue.take(0)[0].x.tolist() == list(range(15, 25))
    assert queue.take(0) == []


def test_a_queue_wakes_who_waits() -> None:
    queue, taken = EventQueue(10), []
    thread = threading.Thread(target=lambda: taken.append(queue.take(30)))
    thread.start()
    queue.put(events(2))
    thread.join(20)
    assert len(taken[0][0]) == 2
    queue.end()
    assert queue.take(30) == []


# --- times -------------------------------------------------------------------------------------


def test_times_never_fall() -> None:
    clock = Clock(1_000)
    assert clock.times(events(3, 500))[0].tolist() == [500, 501, 502]
    late, new = clock.times(events(4, 500))  # a packet that was overtaken
    assert (late.tolist(), new) == ([502, 502, 502, 503], False)
    again, new = clock.times(events(3, 7, arrived=9.0))
    assert again.tolist() == [503, 503, 503]
    assert not new


def test_a_source_that_begins_again_is_a_new_beginning() -> None:
    clock = Clock(1_000)
    clock.times(events(3, 5_000_000))
    t, new = clock.times(events(3, 100))
    assert (t.tolist(), new, clock.restarts) == ([100, 101, 102], True, 1)


def test_a_clock_of_32_bits_goes_on() -> None:
    clock, end = Clock(1_000), 1 << 32
    clock.times(events(3, end - 10))
    t, new = clock.times(events(3, 4))
    assert (t.tolist(), new, clock.restarts) == ([end + 4, end + 5, end + 6], False, 0)
    t, new = clock.times(events(3, 50))
    assert (t.tolist(), new, clock.restarts) == ([end + 50, end + 51, end + 52], False, 0)


def test_events_without_times_have_those_of_their_arrival() -> None:
    clock = Clock(1_000)
    assert clock.times(events(2, None, arrived=3.5))[0].tolist() == [3_500_000] * 2


def test_quantiles_by_hand() -> None:
    latencies = Latencies()
    assert latencies.quantile_ms(0.5) == 0
    for ms in range(100):
        latencies.add(ms / 1000 + 1e-5, 3)
    assert latencies.quantile_ms(0.5) == 49.25
    assert latencies.quantile_ms(0.99) == 98.25
    latencies.add(1e9, 1_000)
    assert latencies.quantile_ms(0.99) == 5_000


# --- sources -----------------------------------------------------------------------------------


def collected(source: Source, queue: EventQueue, count: int) -> list[Events]:
    """Until so many events are there."""
    found: list[Events] = []
    while sum(map(len, found)) < count:
        taken = queue.take(20)
        assert taken
        found += taken
    return found


def test_udp_over_loopback_and_a_sender_that_comes_back() -> None:
    source, queue = udp.UdpSource("127.0.0.1", 0), EventQueue(10_000)
    thread = source.start(queue)
    try:
        for first in (0, 500):  # each by a sender of its own
            out = loopback()
            for packet in encoded(events(500, first, x=first)):
                out.sendto(packet, ("127.0.0.1", source.port))
            out.sendto(b"x", ("127.0.0.1", source.port))
            out.close()
            found = collected(source, queue, 500)
            assert sorted(np.concatenate([e.x for e in found])) == list(range(first, first + 500))
    finally:
        source.stopped.set()
        thread.join(20)
    assert source.packets in (2 * 8, 2 * 9 - 1, 2 * 9)  # the last short one may be yet to come
    assert queue.ended
    assert source.lost in (None, 0)


def test_what_the_kernel_drops_is_told_apart_from_what_the_queue_drops() -> None:
    out, source = loopback(), udp.UdpSource("127.0.0.1", 0)
    sent = 0
    for packet in encoded(events(30_000, None)) * 40:  # nobody reads yet
        out.sendto(packet, ("127.0.0.1", source.port))
        sent += 1
    out.close()
    queue = EventQueue(1_000)
    thread = source.start(queue)
    taken = 0
    while not queue.received:
        taken += sum(map(len, queue.take(0.01)))
    before = -1
    while source.packets != before:  # until there is nothing more to read
        before = source.packets
        source.stopped.wait(0.25)
    source.stopped.set()
    thread.join(20)
    if source.lost is None:
        pytest.skip("this system does not say what it drops")
    assert source.packets + source.lost == sent
    taken += sum(map(len, queue.take(0)))
    assert queue.received == queue.dropped + taken
    assert taken <= 2_000 < queue.received


def test_the_kernels_table(tmp_path: Path) -> None:
    table = tmp_path / "udp"
    head = "sl local rem st tx tr tm retrnsmt uid timeout inode ref pointer drops\n"
    rows = (
        f"{i}: A:1 B:2 07 0:0 00:0 0 0 0 {inode} 2 0000 {i * 11}" for i, inode in ((1, 7), (2, 8))
    )
    table.write_text(head + "\n".join(rows) + "\n")
    assert udp.kernel_drops(8, str(table)) == 22
    assert udp.kernel_drops(9, str(table)) is None
    assert udp.kernel_drops(8, str(tmp_path / "none")) is None


def test_lines_of_text() -> None:
    text = b"# t x y p\n10,1,2,1\n20 3 4 0\n\nnot an event\n5,6\n30,5,6,-1\n9,99999,1,1\n"
    found, bad = parsed(text)
    assert found.t is not None
    assert (found.t.tolist(), found.x.tolist(), found.y.tolist()) == (
        [10, 20, 30],
        [1, 3, 5],
        [2, 4, 6],
    )
    assert (found.p.tolist(), bad) == ([True, False, False], 3)


def test_a_pipe_is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    source, queue = LineSource(reader), EventQueue(100)
    thread = source.start(queue)
    os.write(writer, b"1,1,1,1\n2,2,")
    os.write(writer, b"2,0\n3,3,3,1")  # the last line is not ended
    os.close(writer)
    thread.join(20)
    os.close(reader)
    assert np.concatenate([e.x for e in queue.take(0)]).tolist() == [1, 2, 3]
    assert queue.ended


def test_a_recording_comes_at_its_own_times(tmp_path: Path, monkeypatch: Any) -> None:
    """By a clock that stands still but for the waits."""
    path = make.write_npz(tmp_path / "a.npz", moving(100))
    made, time = moving(100), [50.0]
    source = recorded.FileSource(path, 2.0, size=SIZE)
    monkeypatch.setattr(recorded, "now", lambda: time[0])

    def wait(seconds: float) -> bool:
        time[0] += seconds
        return False

    monkeypatch.setattr(source, "stopped", SimpleNamespace(wait=wait))
    queue = EventQueue(10_000)
    source.run(queue)
    found = queue.take(0)
    assert sum(map(len, found)) == len(made)
    for chunk in found:
        assert chunk.t is not None
        assert chunk.t[-1] - chunk.t[0] < 5_000
        assert abs(chunk.arrived - 50 - (chunk.t[-1] - made.t[0]) / 2e6) < 1e-9


class Device:
    """A camera as `neuromorphic_drivers` documents one: it is iterated, and goes when unplugged."""

    def __init__(self, packets: list[Any]) -> None:
        self.packets = packets

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: Any) -> None: ...

    def name(self) -> SimpleNamespace:
        return SimpleNamespace(value="inivation_davis346")

    def __iter__(self) -> Any:
        yield from ((SimpleNamespace(ring=None), packet) for packet in self.packets)
        raise RuntimeError("unplugged")


def test_a_camera_that_is_unplugged_is_looked_for_again(monkeypatch: Any) -> None:
    kind = [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")]
    rows = np.array([(10, 1, 2, True), (20, 3, 4, False)], kind)

    def packet(array: Any, overflows: Any = None) -> Any:
        return SimpleNamespace(polarity_events=array, polarity_events_overflow_indices=overflows)

    devices = [Device([None, packet(None), packet(rows)]), Device([packet(rows, np.array([0, 1]))])]
    opened: list[dict[str, Any]] = []

    def open_device(**settings: Any) -> Device:
        opened.append(settings)
        if len(opened) == 2:
            raise RuntimeError("no device")
        if not devices:
            source.stopped.set()
            raise OSError("gone")
        return devices.pop(0)

    monkeypatch.setattr(camera, "_AGAIN", 0)
    source, queue = camera.CameraSource(SimpleNamespace(open=open_device)), EventQueue(100)
    source.run(queue)
    found = queue.take(0)
    assert len(found) == 2
    assert found[0].t is not None
    assert (found[0].t.tolist(), found[0].x.tolist()) == ([10, 20], [1, 3])
    assert (found[0].y.tolist(), found[0].p.tolist()) == ([2, 4], [True, False])
    assert (source.lost, source.breaks, source.name) == (2, 4, "camera inivation_davis346")
    assert all(settings["iterator_timeout"] > 0 for settings in opened)


# --- from events to images ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Any:
    return naturaliser()


def test_images_are_those_of_the_events(model: Any) -> None:
    """All that came until a look, and what was outside left out and counted."""
    made, queue = moving(30), EventQueue(10_000)
    some = Engine(model, queue, 1e-9, SIZE)
    seen: list[Look] = []
    outside = Events(*(np.array([-1, 99], np.int16) for _ in "xy"), np.ones(2, bool), None, 0.0)
    for piece in make.pieces(made, [100, 250]):
        queue.put(recorded.events_of(piece, engine.now()))
    queue.end()
    some.run(seen.append)
    feed = EventFeed(model)
    feed.feed(made)
    assert np.array_equal(seen[-1].window, feed.look(int(made.t[-1]) + 1))
    assert (some.used, some.looks, some.latencies.counts.sum()) == (len(made), len(seen), len(made))
    assert sum(int(look.events.sum()) for look in seen) == 2 * int(made.p.sum()) - len(made)
    some._take(outside)
    assert (some.outside, some.used) == (2, len(made))


def test_a_source_that_was_started_again_is_followed_from_its_beginning(model: Any) -> None:
    made, queue = moving(30), EventQueue(10_000)
    some, seen = Engine(model, queue, 1e-9, SIZE), list[Look]()
    far = make.of(made.x, made.y, made.t + 10**9, made.p, SIZE)
    for recording in (far, made):
        queue.put(recorded.events_of(recording, engine.now()))
    queue.end()
    some.run(seen.append)
    feed = EventFeed(model)
    feed.feed(made)
    assert np.array_equal(seen[-1].window, feed.look(int(made.t[-1]) + 1))
    assert some.clock.restarts == 1


def test_an_engine_with_nothing_to_see_ends(model: Any) -> None:
    queue = EventQueue(1)
    queue.end()
    Engine(model, queue, 0.02, SIZE).run(lambda look: pytest.fail("a look at nothing"))


class Silent(Source):
    name = "silence"

    def run(self, queue: EventQueue) -> None: ...


def test_what_is_said_of_it(model: Any) -> None:
    queue, source = EventQueue(50), Silent()
    some = Engine(model, queue, 1e-9, SIZE)
    queue.put(recorded.events_of(moving(5), engine.now()))
    queue.end()
    some.run(lambda look: None)
    source.lost, source.bad = None, 3
    found = Status(source, some).read()
    assert (found["events"], found["used"], found["dropped"]) == (100, 50, 50)
    assert (found["lost"], found["bad"], found["looks"]) == (None, 3, 1)
    lines = "\n".join(Status(source, some).lines())
    assert "dropped 50 events, oldest first; lost on the way: unknown" in lines


def test_a_page_for_this_machine_alone(model: Any) -> None:
    status = Status(Silent(), Engine(model, EventQueue(1), 1, SIZE))
    window = np.eye(STEPS, 6, dtype=np.float32)
    look = Look(window, np.full((4, 5), 0.5, np.float32), None, np.array([[2, 0], [-2, 0]]))
    loopback().close()
    web = Web(status, 0)
    try:
        web.show(look)
        with urllib.request.urlopen(web.address, timeout=20) as page:
            assert b"EventSource" in page.read()
        with urllib.request.urlopen(f"{web.address}stream", timeout=20) as page:
            told = json.loads(page.readline().removeprefix(b"data: "))
        assert told["status"]["source"] == "silence"
        assert {"image", "raster", "events"} < told.keys()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{web.address}else", timeout=20)
        other = urllib.request.Request(web.address, headers={"Host": "evil.example:80"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(other, timeout=20)
    finally:
        web.close()


def test_pictures_are_of_what_they_say(model: Any) -> None:
    import base64
    import io

    from PIL import Image

    status = Status(Silent(), Engine(model, EventQueue(1), 1, SIZE))
    look = Look(
        np.array([[1, 0], [0, 0], [0, 1]], np.float32),
        np.array([[0, 1]], np.float32), None, np.array([[2, 0], [-2, 1]]),
    )  # fmt: skip
    told = message(look, status)
    shown = {
        name: np.asarray(Image.open(io.BytesIO(base64.b64decode(told[name])))).tolist()
        for name in ("image", "raster", "events")
    }
    assert shown["image"] == [[0, 255]]
    assert shown["raster"] == [[0, 255, 255], [255, 255, 0]]  # neurons by steps, spikes black
    assert shown["events"] == [[255, 128], [0, 191]]
    assert (
        message(Look(look.window, None, ("cat", 0.5), look.events), status)["label"] == "cat (0.50)"
    )
    (line,) = blocks(np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert line == "\x1b[38;5;232;48;5;255m▀\x1b[38;5;255;48;5;232m▀\x1b[0m"


# --- the commands ------------------------------------------------------------------------------


def test_a_recording_replayed_as_packets() -> None:
    made = moving(10)
    plain = [
        next_ for next_, _ in zip(replay.scheduled(made, 1_000.0, 1.0), range(4), strict=False)
    ]
    assert [number for _, _, number, _ in plain] == [128, 72, 128, 72]
    assert [turn for *_, turn in plain] == [0, 0, 1, 1]
    assert [due for due, *_ in plain] == [0, 0.128, 0.2, 0.328]
    timed_ = list(itertools.islice(replay.scheduled(made, None, 2.0), 8))
    data = b"".join(packet for _, packet, _, _ in timed_)
    found, _ = decoded(data, True, 0.0)
    assert found.t is not None
    length = int(made.t[-1] - made.t[0]) + 1
    assert np.array_equal(found.t[:200], made.t - made.t[0])
    assert np.array_equal(found.t[200:], made.t - made.t[0] + length)
    assert timed_[1][0] == (made.t[64] - made.t[0]) / 2e6


def test_the_command_follows_a_file(
    model: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    path = make.write_npz(tmp_path / "a.npz", moving(20))
    monkeypatch.setattr("vdib.naturalise.naturaliser.naturaliser_of", lambda run: model)
    words = ["--run", "x", "--source", f"{path}@1x", "--json", "--look-ms", "1"]
    assert live.main(words) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["events"], found["used"], found["dropped"]) == (400, 400, 0)
    assert found["looks"] >= 1
    assert f"following {path}@1x" in said.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--source", "nothing"], "expected udp://HOST:PORT, FILE@1x, stdin or camera"),
        (["--source", "none.aedat@1x"], "none.aedat: No such file"),
        (["--source", "udp://:99999"], "a port below 65536"),
        (["--source", "stdin", "--look-ms", "0"], "--look-ms: got 0.0"),
        (["--source", "stdin", "--queue", "0"], "--queue: got 0"),
        (["--source", "stdin", "--sensor", "big"], "--sensor: got 'big'"),
        (["--source", "stdin", "--sensor", "640,480"], "the run was trained on (30, 20): --zoom"),
    ],
)
def test_mistakes_are_one_line(
    model: Any, monkeypatch: Any, capsys: Any, words: list[str], why: str
) -> None:
    monkeypatch.setattr("vdib.naturalise.naturaliser.naturaliser_of", lambda run: model)
    assert live.main(["--run", "x", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line


def test_a_run_that_looks_ahead_is_refused(model: Any, monkeypatch: Any, capsys: Any) -> None:
    from dataclasses import replace

    other = replace(model, anytime=False)
    monkeypatch.setattr("vdib.naturalise.naturaliser.naturaliser_of", lambda run: other)
    assert live.main(["--run", "x", "--source", "stdin"]) == 2
    assert "--config mnist_dvs_anytime" in capsys.readouterr().err


def test_without_the_drivers_one_line_says_what_to_install(monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "neuromorphic_drivers", None)
    with pytest.raises(UserError, match=r'pip install "vdib\[camera\]"'):
        live.source_of("camera", None)
