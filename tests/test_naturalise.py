"""`vdib.naturalise` end to end, with a tiny run trained on a folder of synthetic recordings."""

import gc
import io
import itertools
import tracemalloc
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings as make
import torch
from PIL import Image

from vdib import fit
from vdib.datasets.formats.aedat2_writer import write_aedat2
from vdib.datasets.recording import Recording
from vdib.naturalise import __main__ as naturalise
from vdib.naturalise import looks, naturaliser
from vdib.naturalise.__main__ import names_of, recordings_in
from vdib.noise import EVALUATION, Noise

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SIZE = (24, 20)
IMAGE = (12, 14)  # height, width
PAST = 80_000  # us: 8 steps of 10 ms
TINY = [
    *("--model.hidden", "[16]", "--model.num_readout", "8", "--trainer.max_epochs", "1"),
    *("--trainer.enable_progress_bar", "false", "--figures_every", "-1", "--data.cache", "false"),
    *("--data.num_steps", "8", "--data.step_ms", "10", "--data.sensor_size", "[24,20]"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run `events`, and what looks like one of image data, `images`."""
    root = tmp_path_factory.mktemp("runs")
    for split in ("train", "validation", "test"):
        for name in ("a", "b"):
            make.write_npz(root / "data" / split / f"{name}.npz", make.scattered(400, SIZE))
            level = np.tile(np.arange(IMAGE[1]) * 18, (IMAGE[0], 1))
            make.write_image(root / "data" / split / f"{name}.png", level)
    place = ["--runs", str(root), "--experiment", "x"]
    mine = ["--config", "recordings", "--data.root", str(root / "data")]
    assert fit.main([*mine, *TINY, *place, "--name", "events"]) == 0
    named = ["--config", "recordings", "--data.root", str(root / "named"), "--data.target", "label"]
    for split, name in itertools.product(("train", "validation", "test"), ("cat", "dog")):
        made = make.scattered(400 if name == "cat" else 100, SIZE)
        make.write_npz(root / "named" / split / name / "a.npz", made)
    by_hand = ["--model.num_readout", "2", "--model.decoder", "first_spike"]
    assert fit.main([*named, *TINY, *place, *by_hand, "--name", "labels"]) == 0
    (root / "x" / "images" / "checkpoints").mkdir(parents=True)
    config = files("vdib.configs").joinpath("digits.yaml").read_text()
    (root / "x" / "images" / "config.yaml").write_text(config)
    (root / "x" / "images" / "checkpoints" / "best.ckpt").touch()
    return root / "x"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command with the run, loaded once."""
    loaded = _loaded(runs / "events")
    monkeypatch.setattr(naturaliser, "naturaliser_of", lambda run: loaded)

    def call(*words: str | Path) -> int:
        return naturalise.main([*map(str, words), "--run", "run", "--out", "out"])

    return call


_CACHE: dict[Path, naturaliser.Naturaliser] = {}


def _loaded(run: Path) -> naturaliser.Naturaliser:
    if run not in _CACHE:
        _CACHE[run] = naturaliser.naturaliser_of(run)
    return _CACHE[run]


@pytest.fixture
def taken_for(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command with the run that tells labels: its status, and the rows of its table."""
    loaded = _loaded(runs / "labels")
    monkeypatch.setattr(naturaliser, "naturaliser_of", lambda run: loaded)

    def call(*words: str) -> tuple[int, list[list[str]]]:
        status = naturalise.main([*words, "--run", "run", "--out", "out"])
        rows = [line.split(",") for line in Path("out/labels.csv").read_text().splitlines()]
        assert rows[0] == ["recording", "end_s", "label", "probability", "decision_ms"]
        return status, rows[1:]

    return call


def recording(seed: int = 0, us: int = 100_000, count: int = 500) -> Recording:
    return make.scattered(count, SIZE, us, seed)


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def written() -> set[str]:
    return set(make.same_files(Path("out")))


# --- one image a recording --------------------------------------------------------------------


def test_one_image_a_recording(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate("ab"):
        make.write_npz(Path(f"{name}.npz"), recording(seed))
    words = ["a.npz", "b.npz", "--run", str(runs / "events"), "--out", "out"]
    assert naturalise.main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 2 recordings naturalised in out"
    assert written() == {"a.png", "b.png"}
    model = _loaded(runs / "events")
    for seed, name in enumerate("ab"):
        (expected,) = model.images([model.prepare(recording(seed))])
        assert expected.shape == IMAGE
        np.testing.assert_array_equal(pixels(f"out/{name}.png"), np.rint(expected * 255))
    assert (pixels("out/a.png") != pixels("out/b.png")).any()


def test_an_image_depends_on_its_first_steps_alone(command: Any) -> None:
    made = recording()
    make.write_npz(Path("whole.npz"), made)
    make.write_npz(Path("cut.npz"), made.between(0, int(made.t[0]) + PAST))
    assert command("whole.npz", "cut.npz") == 0
    assert np.array_equal(pixels("out/whole.png"), pixels("out/cut.png"))


def test_no_more_is_read_than_needed(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdib.datasets.formats.text.BLOCK_BYTES", 4096)
    lines = [f"{t},1,1,1\n" for t in range(0, 2 * PAST, 10)]
    Path("long.csv").write_text("t,x,y,p\n" + "".join(lines) * 20)  # times fall, but later
    assert command("long.csv") == 0


def test_folders_lists_and_names(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, name in enumerate(["f/a.npz", "f/g/a.npz", "f/g/b.npz", "c.npz", "a-2.npz"]):
        make.write_npz(Path(name), recording(seed))
    Path("f/notes.md").write_text("words")
    monkeypatch.setattr("sys.stdin", io.StringIO("c.npz\n\n  a-2.npz\n-\n"))
    assert command("f", "-") == 0
    assert written() == {"a.png", "a-3.png", "b.png", "c.png", "a-2.png"}
    lines = iter(["f\n"])
    assert recordings_in(["-"], lines) == [Path("f/a.npz"), Path("f/g/a.npz"), Path("f/g/b.npz")]


def test_names_never_clash() -> None:
    files = [Path(name) for name in ("a.raw", "b/a.raw", "a.dat", "a-2.raw", "c/a-2.raw", "d.raw")]
    names = names_of(files)
    assert names == ["a", "a-3", "a-4", "a-2", "a-2-2", "d"]
    many = names_of([Path("x.raw")] * 3000)
    assert len(set(many)) == 3000


def test_other_sensors_need_a_flag(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    write_aedat2("dvs.aedat", make.scattered(500, (128, 128)))
    assert command("dvs.aedat") == 1
    (line,) = capsys.readouterr().err.splitlines()
    make.one_line(line, "dvs.aedat: a sensor of 128 x 128", "24 x 20", "--crop or --zoom")
    assert command("dvs.aedat", "--crop", "8,4,24,20") == 0
    cropped = pixels("out/dvs.png")
    assert command("dvs.aedat", "--zoom", "fit") == 0
    fitted = pixels("out/dvs.png")
    assert (cropped != fitted).any()
    assert command("dvs.aedat", "--zoom", str(20 / 128)) == 0
    assert np.array_equal(pixels("out/dvs.png"), fitted)
    assert command("dvs.aedat", "--crop", "8,4,48x40", "--zoom", "0.5") == 0
    capsys.readouterr()
    for words in (["--crop", "120,0,24,20"], ["--crop", "0,0,30,20"]):
        assert command("dvs.aedat", *words) == 1
        make.one_line(*capsys.readouterr().err.splitlines(), "dvs.aedat")


def test_a_sensor_that_the_file_does_not_say(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the model's, unless something is to be done to it: then it must be said."""
    make.write_npz(Path("a.npz"), make.of([30], [5], [0], [1], (31, 20)))
    assert command("a.npz") == 1
    make.one_line(*capsys.readouterr().err.splitlines(), "x = 30", "24 x 20 sensor")
    assert command("a.npz", "--zoom", "fit") == 1
    make.one_line(*capsys.readouterr().err.splitlines(), "no sensor size", "--sensor-size W,H")
    assert command("a.npz", "--zoom", "fit", "--sensor-size", "31,20") == 0


# --- running ----------------------------------------------------------------------------------


def times() -> list[float]:
    return [float(line) for line in Path("out/a/timestamps.txt").read_text().split()]


def test_running_by_time(command: Any, runs: Path) -> None:
    made = recording(us=300_000, count=1500)
    make.write_npz(Path("a.npz"), made)
    assert command("a.npz", "--window-ms", "25") == 0
    assert times() == [round(0.025 * k, 6) for k in range(1, len(times()) + 1)]
    assert times()[-2] <= (made.t[-1] - made.t[0]) / 1e6 < times()[-1]
    frames = {f"a/frame_{k:06}.png" for k in range(len(times()))}
    assert written() == {"a.gif", "a/timestamps.txt", *frames}
    model = _loaded(runs / "events")
    for k, second in enumerate(times()):
        end = int(made.t[0]) + round(second * 1e6)
        (expected,) = model.images([model.prepare(made.between(end - PAST, end), end - PAST)])
        np.testing.assert_allclose(pixels(f"out/a/frame_{k:06}.png"), expected * 255, atol=1)
    with Image.open("out/a.gif") as animation:
        assert animation.n_frames == len(times())
        # 168 pixels or so high, 8 between: events 8 x (20, 24), image 14 x (12, 14)
        assert animation.size == (24 * 8 + 8 + 14 * 14 + 8, 168 + 16)
        shown = []
        for k in range(animation.n_frames):
            animation.seek(k)
            shown.append(animation.info["duration"])
        assert abs(sum(shown) - 25 * len(shown)) <= 5
        middle = np.asarray(animation.convert("L"))[8 + 7 : -8 : 14, 24 * 8 + 12 + 7 : -4 : 14]
    np.testing.assert_allclose(middle, pixels(f"out/a/frame_{len(times()) - 1:06}.png"), atol=2)


def test_running_by_events(command: Any) -> None:
    made = recording(count=110)
    make.write_npz(Path("a.npz"), made)
    assert command("a.npz", "--window-events", "25") == 0
    ends = made.t[24::25][:4] + 1 - made.t[0]
    assert times() == [round(end / 1e6, 6) for end in ends.tolist()]


def test_an_original_beside(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    make.write_npz(Path("a.npz"), recording())
    make.write_image(Path("originals/a.png"), np.full((21, 42), 255))
    widths = []
    for words in ([], ["--original", "originals"], ["--original", "originals/a.png"]):
        assert command("a.npz", "--window-ms", "50", *words) == 0
        with Image.open("out/a.gif") as animation:
            widths.append(animation.size[0])
    assert widths[1] == widths[2] == widths[0] + 42 * 8 + 8
    capsys.readouterr()
    assert command("a.npz", "--original", "originals") == 2
    make.one_line(*capsys.readouterr().err.splitlines(), "only with --window-ms")
    assert command("a.npz", "--window-ms", "50", "--original", "absent.png") == 2
    make.one_line(*capsys.readouterr().err.splitlines(), "absent.png: no such file")
    Path("originals/a.png").unlink()
    assert command("a.npz", "--window-ms", "50", "--original", "originals") == 1
    make.one_line(*capsys.readouterr().err.splitlines(), "a.png")


def test_a_shorter_recording_leaves_no_frames_of_a_longer_one(command: Any) -> None:
    for us in (300_000, 100_000):
        make.write_npz(Path("a.npz"), recording(us=us))
        assert command("a.npz", "--window-ms", "10") == 0
    assert len(list(Path("out/a").glob("frame_*.png"))) == len(times()) < 15


def test_whatever_was_read_before_a_fault_is_kept(
    command: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 good frames, the last 4 of them in an unfinished batch."""
    monkeypatch.setattr("vdib.datasets.formats.text.BLOCK_BYTES", 4096)
    lines = [f"{t},1,1,1\n" for t in range(0, 205_000, 50)]
    Path("a.csv").write_text("t,x,y,p\n" + "".join(lines) + "0,1,1,1\n" * 500)
    assert command("a.csv", "--window-ms", "10") == 1
    make.one_line(*capsys.readouterr().err.splitlines(), "a.csv", "0 us after")
    assert len(times()) in (19, 20)  # the block with the fault is not read
    with Image.open("out/a.gif") as animation:
        assert animation.n_frames == len(times())
    assert len(list(Path("out/a").glob("frame_*.png"))) == len(times())


# --- labels -----------------------------------------------------------------------------------


def expected_row(runs: Path, seen: Recording, start: int) -> list[str]:
    """By the model itself: the class, its share among the classes, the ms to the first spike."""
    model = _loaded(runs / "labels")
    counts, neurons = model.prepare(seen, start)
    spikes = torch.zeros(1, 8, 2 * SIZE[0] * SIZE[1])
    spikes[0, np.repeat(np.arange(8), counts), neurons] = 1
    spikes = spikes.view(1, 8, 2, SIZE[1], SIZE[0])
    with torch.no_grad():
        code = model.module.vdib.encode(spikes, Noise(0, EVALUATION, torch.tensor([0])))
        label, step = model.module.vdib.decoder.decide(code)
        shares = model.module.vdib.decode(code).scores[0, 0].exp()
    probability = float(shares[label] / shares.sum())
    return [("cat", "dog")[label], f"{probability:.4f}", f"{10 * int(step):.3f}"]


def rounded(row: list[str]) -> list[str]:
    return [row[2], f"{float(row[3]):.4f}", row[4]]


def test_one_label_a_recording(
    taken_for: Any, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate("ab"):
        make.write_npz(Path(f"{name}.npz"), recording(seed, count=400 - 300 * seed))
    Path("c.npz").write_bytes(b"\0junk")
    status, rows = taken_for("a.npz", "c.npz", "b.npz")
    assert status == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "2 of 3 recordings naturalised in out"
    make.one_line(*said.err.splitlines(), "c.npz: byte 0")
    assert [row[:2] for row in rows] == [["a.npz", "0.080000"], ["b.npz", "0.080000"]]
    for seed, row in enumerate(rows):
        made = recording(seed, count=400 - 300 * seed)
        assert rounded(row) == expected_row(runs, made, int(made.t[0]))
    assert written() == {"labels.csv"}


def test_labels_of_the_recent_past(
    taken_for: Any, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recording(us=200_000)
    make.write_npz(Path("a.npz"), made)
    status, rows = taken_for("a.npz", "--window-ms", "25")
    assert status == 0
    ends = [float(row[1]) for row in rows]
    assert ends == [round(0.025 * (k + 1), 6) for k in range(len(rows))]
    assert len(rows) == int((made.t[-1] - made.t[0]) // 25_000) + 1
    for row in rows:
        end = int(made.t[0]) + round(float(row[1]) * 1e6)
        assert rounded(row) == expected_row(runs, made.between(end - PAST, end), end - PAST)
    capsys.readouterr()
    words = ["a.npz", "--window-ms", "25", "--original", "a.npz", "--run", "run", "--out", "out"]
    assert naturalise.main(words) == 2
    make.one_line(*capsys.readouterr().err.splitlines(), "--original a.npz: only with a run that")


# --- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("window", [[], ["--window-ms", "20"]])
def test_goes_on_after_bad_files(
    command: Any, capsys: pytest.CaptureFixture[str], window: list[str]
) -> None:
    for name in ("a", "c"):
        make.write_npz(Path(f"{name}.npz"), recording())
    Path("b.npz").write_bytes(b"\0junk")
    make.write_npz(Path("d.npz"), make.of([], [], [], [], SIZE))
    assert command("a.npz", "b.npz", "absent.raw", "d.npz", "c.npz", *window) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "2 of 5 recordings naturalised in out"
    lines = said.err.splitlines()
    for line, words in zip(
        lines, ("b.npz: byte 0", "absent.raw: no such file", "d.npz: no events"), strict=True
    ):
        assert line.startswith(f"vdib: {words}")
    wanted = {"a.png", "c.png"} if not window else {"a.gif", "c.gif"}
    assert {name for name in written() if "/" not in name} == wanted
    assert not (Path("out") / "b").exists()
    assert not (Path("out") / "d").exists()


def test_bad_records_are_left_out_and_counted(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.csv").write_text("t,x,y,p\n" + "".join(f"{t},1,1,1\n" for t in [0, 5, 90, 7, 9, 500]))
    assert command("a.csv") == 1
    assert command("a.csv", "--on-error", "skip") == 0
    assert "1 bad records left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--window-ms", "0"], "--window-ms: got 0.0"),
        (["--window-ms", "inf"], "--window-ms: got inf"),
        (["--window-ms", "nan"], "--window-ms: got nan"),
        (["--window-events", "0"], "--window-events: got 0"),
        (["--zoom", "0"], "--zoom: got '0'"),
        (["--zoom", "big"], "--zoom: got 'big'"),
    ],
)
def test_words_are_checked(
    command: Any, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    make.write_npz(Path("a.npz"), recording())
    assert command("a.npz", *words) == 2
    make.one_line(*capsys.readouterr().err.splitlines(), message)


def test_nothing_to_do(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert command("empty") == 2
    make.one_line(*capsys.readouterr().err.splitlines(), "no recordings in empty")
    Path("out").write_text("in the way")
    make.write_npz(Path("a.npz"), recording())
    assert command("a.npz") == 2
    make.one_line(*capsys.readouterr().err.splitlines(), "out")


def test_not_a_run_of_recordings(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make.write_npz(Path("a.npz"), recording())
    for run, message in (
        (Path(), "is not a finished run"),
        (runs / "images", "not trained on recordings"),
    ):
        assert naturalise.main(["a.npz", "--run", str(run), "--out", "out"]) == 2
        make.one_line(*capsys.readouterr().err.splitlines(), str(run), message)
    assert not Path("out").exists()


# --- memory -----------------------------------------------------------------------------------


def lasting(seconds: float) -> Iterator[Recording]:
    """10,000 events a second, in pieces of 0.1 s."""
    rng = np.random.default_rng(0)
    for k in range(round(seconds * 10)):
        t = np.sort(rng.integers(k * 100_000, (k + 1) * 100_000, 1_000))
        x, y = rng.integers(0, 24, 1_000), rng.integers(0, 20, 1_000)
        yield make.of(x, y, t, t % 2 == 0, (128, 128))


@pytest.mark.parametrize("window", [[], ["--window-ms", "300"], ["--window-events", "3000"]])
def test_memory_does_not_grow_with_the_recording(
    command: Any, monkeypatch: pytest.MonkeyPatch, window: list[str]
) -> None:
    """Ten times the length; the peak rises by less than a tenth of it (Python's own garbage)."""
    monkeypatch.setattr("vdib.datasets.formats.source.BLOCK_BYTES", 1 << 15)
    monkeypatch.setattr(looks, "FRAMES", 2)
    peaks = []
    for seconds in (1, 2, 20):
        count = write_aedat2("a.aedat", lasting(seconds))
        gc.collect()
        tracemalloc.start()
        assert command("a.aedat", "--crop", "0,0,24,20", *window) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 0.1 * count * 13, peaks  # an event is 13 bytes
