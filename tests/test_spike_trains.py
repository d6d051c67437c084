"""One's own spike trains: files, targets, splits, and runs over them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import recordings as make
import torch

import vdib
from vdib import evaluate, fit
from vdib.datasets.spike_train_files import trains_below
from vdib.datasets.spike_trains import SpikeTrainSplits
from vdib.generate import __main__ as generate
from vdib.lightning_modules.naturalisation.event_data import EVENT_DATA
from vdib.live import __main__ as live
from vdib.naturalise import __main__ as naturalise
from vdib.noise import EVALUATION, Noise
from vdib.signal import Curve, Image, Label

# Lightning calls what jsonargparse has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.usefixtures("small_world"),
]

TINY = [
    *("--config", "spike_trains", "--model.hidden", "[12]", "--model.num_readout", "6"),
    *("--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"),
]


def save(path: str, **arrays: Any) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
    return file


def some(seed: int, units: int = 5, count: int = 12) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"times": np.sort(rng.random(count)) / 10, "units": rng.integers(0, units, count)}


def spikes_of(splits: SpikeTrainSplits, split: Any = "train") -> list[np.ndarray]:
    """Dense, `(T, N)` each, in order of the examples."""
    (recordings,) = splits.recordings(split)
    every = []
    for recording, _ in recordings:
        count, neuron = splits.prepare(recording)
        dense = np.zeros((len(count), splits.num_units))
        dense[np.repeat(np.arange(len(count)), count), neuron] = 1
        every.append(dense)
    return every


def labels_of(splits: SpikeTrainSplits, split: Any = "train") -> list[int]:
    return [shown.label for shown in splits.recordings(split)[0].shown]


# --- files ------------------------------------------------------------------------------------


def test_times_and_units_become_steps() -> None:
    """From the example's beginning, an event on an edge in the later step."""
    save("d/train/a.npz", times=[0.0, 0.004, 0.3, 0.3, 0.41], units=[2, 0, 1, 2, 0], label="x")
    save("d/train/b.npz", times=np.zeros(0), units=np.zeros(0, int), label="y")
    splits = SpikeTrainSplits("d", step_ms=100)
    expected = np.zeros((5, 3))
    expected[[0, 0, 3, 3, 4], [2, 0, 1, 2, 0]] = 1
    first, silent = spikes_of(splits)
    np.testing.assert_array_equal(first, expected)
    assert not silent.any()
    assert splits.found == {"num_units": 3, "num_steps": 5, "class_names": ["x", "y"]}
    slow = SpikeTrainSplits("d", step_ms=100, time_scale=1e9, num_steps=4)  # the rest is cut
    assert spikes_of(slow)[0].sum() == 1
    (one,), (other,) = splits.recordings("train"), slow.recordings("train")
    assert one.identity() != other.identity()  # or spikes in the cache would be taken for theirs


def test_dense_spikes_keep_their_steps() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((6, 9, 4)) < 0.3).astype(np.uint8)
    save("d/train/many.npz", spikes=dense, labels=np.arange(6) % 3)
    save("d/train/one.npz", spikes=dense[0] > 0, label=2)
    splits = SpikeTrainSplits("d")
    for found, expected in zip(spikes_of(splits), [*dense, dense[0]], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert labels_of(splits) == [0, 1, 2, 0, 1, 2, 2]
    assert (splits.num_units, splits.prepare.binning.num_steps) == (4, 9)


def test_many_examples_of_times_in_a_file() -> None:
    parts = [some(seed) for seed in range(4)]
    trial = np.repeat(np.arange(4), 12)
    order = np.random.default_rng(1).permutation(48)
    order = order[np.argsort(np.concatenate([p["times"] for p in parts])[order], kind="stable")]
    joined = {key: np.concatenate([part[key] for part in parts])[order] for key in parts[0]}
    save("all/train/all.npz", **joined, trial=trial[order], labels=["b", "a", "b", "a"])
    for i, part in enumerate(parts):
        save(f"each/train/{i}.npz", **part, label="ba"[i % 2])
    together, apart = SpikeTrainSplits("all"), SpikeTrainSplits("each")
    for one, other in zip(spikes_of(together), spikes_of(apart), strict=True):
        np.testing.assert_array_equal(one, other)
    assert labels_of(together) == labels_of(apart) == [1, 0, 1, 0]


def test_labels_of_folders_and_of_a_table() -> None:
    for name in ("cat/a", "cat/b", "dog/a"):
        save(f"d/{name}.npz", **some(0))
    named = trains_below(Path("d"), "label", "label", 1e6, 10_000)
    assert [train.target for train in named] == ["cat", "cat", "dog"]
    Path("d/labels.csv").write_text("file,label\ncat/b.npz,7\n")
    named = trains_below(Path("d"), "label", "label", 1e6, 10_000)
    assert [train.target for train in named] == ["cat", "7", "dog"]
    save("d/cat/b.npz", **some(0), label=b"own")
    assert trains_below(Path("d"), "label", "label", 1e6, 10_000)[1].target == "own"


def test_numbers_are_in_order_of_size() -> None:
    save("d/train/a.npz", spikes=np.ones((3, 3, 2)), labels=[10, 9, 2])
    splits = SpikeTrainSplits("d")
    assert splits.signal == Label(3, ("2", "9", "10"))
    assert labels_of(splits) == [2, 1, 0]


def test_images_and_values_are_targets() -> None:
    rng = np.random.default_rng(0)
    images, curves = rng.random((4, 3, 5)), rng.normal(size=(4, 2)) * 30
    given = {"spikes": np.ones((4, 3, 2)), "images": images, "curves": curves}
    for split in ("train", "val", "test"):
        save(f"d/{split}/a.npz", **given)
    data = EVENT_DATA["SpikeTrainData"](path="d", target="image", cache=False)
    assert data.signal == Image((3, 5))
    batch = data.examples("validation", 4)
    np.testing.assert_allclose(batch.target, images.reshape(4, 15), atol=0.5 / 255 + 1e-6)
    data = EVENT_DATA["SpikeTrainData"](path="d", target="curve", cache=False)
    assert data.signal == Curve(2)
    np.testing.assert_allclose(data.examples("test", 4).target, curves, rtol=1e-6)
    constant = data.constant()
    expected = [*curves.mean(0), *np.log(curves.std(0))]
    np.testing.assert_allclose(constant, expected, rtol=1e-5)


# --- splits -----------------------------------------------------------------------------------


def test_splits_are_drawn_by_a_seed() -> None:
    save("d/all.npz", spikes=np.ones((40, 3, 2)), labels=np.arange(40) % 2)

    def ids(**settings: Any) -> list[list[int]]:
        splits = SpikeTrainSplits("d", **settings)
        return [[shown.id for shown in splits.recordings(split)[0].shown]  # type: ignore[arg-type]
                for split in ("train", "validation", "test")]  # fmt: skip

    parts = ids()
    assert [len(part) for part in parts] == [32, 4, 4]
    assert sorted(id for part in parts for id in part) == list(range(40))
    assert ids(split_seed=1) != parts
    assert ids() == parts
    assert [len(part) for part in ids(validation=0.5, test=0.25)] == [15, 15, 10]
    one = SpikeTrainSplits("d/all.npz").recordings("test")[0]
    assert [shown.id for shown in one.shown] == parts[2]


def test_files_outside_of_split_folders_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train/a", "train/b", "more/c"):
        save(f"d/{name}.npz", **some(0), label=len(name) + ord(name[-1]) % 2)
    assert len(SpikeTrainSplits("d").recordings("train")[0]) == 2
    said = capsys.readouterr().err.strip()
    assert said == "vdib: passed over, not in train, validation, test: c.npz"
    save("d/train/b.npz", **some(0))
    refused(["b.npz: no label"])  # whose folder names a split, and no class


def test_folders_are_splits_and_their_classes_below() -> None:
    for split in ("train", "validation", "test"):
        save(f"d/{split}/cat/a.npz", **some(0))
        save(f"d/{split}/dog/a.npz", **some(1))
    splits = SpikeTrainSplits("d")
    assert [labels_of(splits, split) for split in ("train", "validation", "test")] == [[0, 1]] * 3
    Path("d/test/cat/a.npz").unlink()
    Path("d/test/dog/a.npz").unlink()
    with pytest.raises(FileNotFoundError, match="no test spike trains below") as told:
        SpikeTrainSplits("d").recordings("test")
    make.one_line(told.value, "test")


# --- what does not fit ------------------------------------------------------------------------

GOOD = {"times": [0.1, 0.2], "units": [0, 1], "label": 1}
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unsorted": ({"times": [0.2, 0.1]}, ["times fall after spike 0: sort them with their units"]),
    "negative": ({"times": [-0.1, 0.2]}, ["time -0.1, expected times from", "beginning"]),
    "NaN": ({"times": [0.1, np.nan]}, ["times that are no numbers"]),
    "lengths": ({"units": [0]}, ["times (2,) and units (1,), expected one length"]),
    "units": ({"units": [0, -1]}, ["units, expected whole numbers from 0"]),
    "halves": ({"units": [0, 0.5]}, ["units, expected whole numbers"]),
    "no units": ({"units": [0, np.nan]}, ["units, expected whole numbers"]),
    "label": ({"label": 0.5}, ["label '0.5', expected a whole number or word"]),
    "late": ({"times": [0.1, 1e300]}, ["a time of 1e+300: --data.time_scale"]),
    "no times": ({"times": None}, ["has units, label, expected times and units, or spikes"]),
    "no length": ({"times": 0.1, "units": 0}, ["times () and units (), expected one length"]),
    "words": ({"spikes": np.full((3, 2), "x")}, ["spikes of shape (3, 2), expected 0 or 1"]),
    "counts": ({"spikes": np.full((3, 2), 2)}, ["expected 0 or 1"]),
    "trial": ({"trial": [0, 2], "labels": [0, 1], "label": None}, ["trials 0 to 2, expected 0 to"]),
    "planes": ({"times": np.zeros((2, 3))}, ["times (2, 3) and units (2,), expected one length"]),
    "no examples": (
        {"spikes": np.ones((0, 3, 2)), "labels": [], "label": None},
        ["no examples, expected 1 or more"],
    ),
    "late trial": ({"trial": [0, 1 << 60]}, ["expected 0 to 999999"]),
    "one target": ({"trial": [0, 1]}, ["1 targets for 2 examples, expected as many"]),
    "targets": (
        {"spikes": np.ones((3, 3, 2)), "labels": [1, 2], "label": None},
        ["2 targets for 3 examples, expected as many"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_one_line(case: str) -> None:
    changes, words = WRONG[case]
    arrays = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    save("d/a.npz", **arrays)
    with pytest.raises(ValueError, match=r"a\.npz") as told:
        SpikeTrainSplits("d")
    make.one_line(told.value, *words)


def refused(words: list[str], kind: Any = ValueError, **settings: Any) -> None:
    with pytest.raises(kind) as told:
        SpikeTrainSplits("d", **settings)
    make.one_line(told.value, *words)


def test_other_arrays_in_a_file_are_passed_over() -> None:
    Path("d").mkdir()
    for seed in range(4):
        notes = np.array([{"rat": 7}], object)  # pickled: not read, whatever it is
        save(f"d/{seed}.npz", **some(seed), label=seed % 2, notes=notes)
    assert len(labels_of(SpikeTrainSplits("d"))) > 0


def test_files_that_do_not_go_together_are_one_line() -> None:
    Path("d").mkdir()
    refused(["no spike trains (.npz, .nwb) below"], FileNotFoundError)
    save("d/a.npz", **some(0))
    refused(["a.npz: no label: expected an array label, a folder for each class, or labels.csv"])
    refused(["a.npz: no image: expected an array image"], target="image")
    save("d/a.npz", **some(0), label=0, image=np.zeros((2, 3)), curve=[1.0, 2.0])
    save("d/b.npz", **some(0), label=1, image=np.zeros((3, 3)), curve=[1.0, np.inf])
    refused(["images of one shape expected: ", "a.npz has (2, 3)", "b.npz (3, 3)"], target="image")
    refused(["b.npz: curve with values that are no numbers"], target="curve")
    save("d/b.npz", **some(0), curve=[1.0, -1e300])
    refused(["b.npz: curve with values beyond float32"], target="curve")
    save("d/b.npz", spikes=np.ones((3, 2)), label=1)
    save("d/c.npz", spikes=np.ones((3, 4)), label=1)
    refused(["as many units everywhere expected: ", "b.npz has 2, ", "c.npz 4"])
    Path("d/c.npz").write_bytes(b"junk")
    refused(["c.npz is damaged, or no .npz of plain arrays"])
    np.savez_compressed("d/c.npz", **some(0))
    whole = Path("d/c.npz").read_bytes()
    Path("d/c.npz").write_bytes(whole[:60] + b"junk" + whole[64:])
    refused(["c.npz is damaged, or no .npz of plain arrays"])
    with Path("d/c.npz").open("wb") as file:
        np.save(file, np.ones((3, 2)))
    refused(["c.npz is damaged, or no .npz of plain arrays"])
    Path("d/c.npz").unlink()
    Path("d/labels.csv").write_text("name,class\n")
    refused(["labels.csv: expected columns file and label"])
    Path("d/labels.csv").write_bytes(b"file,label\na.npz,\xff\n")
    refused(["labels.csv is no text in UTF-8: "])
    Path("d/labels.csv").unlink()
    refused(["target: got 'lable'"], target="lable")
    refused(["validation and test: got 0.1 and 0.0"], test=0.0)
    refused(["step_ms and time_scale"], step_ms=0.0)
    refused(["num_steps and num_units: got 1 and"], num_steps=1)
    refused(["num_steps and num_units: got 0 and"], num_steps=0)
    refused(["num_steps and num_units: got", " and 0, expected"], num_units=0)
    splits = SpikeTrainSplits("d", num_units=2, num_steps=4, class_names=["0", "1"])
    with pytest.raises(ValueError, match="2 examples are too few for splits of their own"):
        splits.recordings("train")
    for i in range(6):
        save(f"d/{i}.npz", **some(i), label=i % 3)
    splits = SpikeTrainSplits("d", num_units=2, num_steps=4, class_names=["0", "1"])
    with pytest.raises(ValueError, match=r"label '2', expected one of 0, 1"):
        splits.recordings("train")
    splits = SpikeTrainSplits("d", num_units=2, num_steps=4)
    with pytest.raises(ValueError, match=r"unit \d, expected 0 to 1: --data.num_units of the run"):
        spikes_of(splits)


# --- NWB --------------------------------------------------------------------------------------


@pytest.fixture
def session() -> Callable[..., None]:
    """Writes a session: spike times of each unit, and trials."""
    pynwb = pytest.importorskip("pynwb", reason="no pynwb: pip install vdib[nwb]")
    from datetime import UTC, datetime

    def write(path: str, units: Any, trials: Any, **columns: Any) -> None:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        file = pynwb.NWBFile(session_description="made", identifier=path, session_start_time=start)
        for times in units:
            file.add_unit(spike_times=times)
        for name in columns:
            file.add_trial_column(name=name, description="made")
        for i, (begin, end) in enumerate(trials):
            file.add_trial(
                start_time=begin, stop_time=end, **{name: columns[name][i] for name in columns}
            )
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with pynwb.NWBHDF5IO(path, "w") as out:
            out.write(file)

    return write


UNITS = [[0.05, 1.0, 2.25], [1.39, 2.2], [9.0]]
TRIALS = [(0.0, 0.4), (1.0, 1.4), (2.0, 2.4)]


@pytest.mark.filterwarnings("ignore")  # of pynwb's and HDMF's own
def test_trials_of_a_session(session: Callable[..., None]) -> None:
    curves = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    for split in ("train", "val", "test"):
        session(f"d/{split}/a.nwb", UNITS, TRIALS, side=["left", "right", "left"], hand=curves)
    splits = SpikeTrainSplits("d", trial_column="side", step_ms=100)
    assert splits.signal == Label(2, ("left", "right"))
    assert splits.found["num_units"] == 3
    found = spikes_of(splits)
    expected = np.zeros((3, 4, 3))
    expected[0, 0, 0] = expected[1, 0, 0] = expected[1, 3, 1] = expected[2, 2, [0, 1]] = 1
    np.testing.assert_array_equal(found, expected)
    assert labels_of(splits, "validation") == [0, 1, 0]
    by_hand = SpikeTrainSplits("d", "curve", trial_column="hand", step_ms=100)
    (recordings,) = by_hand.recordings("test")
    np.testing.assert_array_equal(recordings.images[:, 0], curves)


@pytest.mark.filterwarnings("ignore")
def test_trials_need_no_column_to_be_classified(session: Callable[..., None]) -> None:
    session("d/a.nwb", UNITS, TRIALS, side=["left", "right", "left"])
    session("b.nwb", UNITS, TRIALS)
    splits = SpikeTrainSplits("d", trial_column="side", step_ms=100)
    found = splits.untold(Path("b.nwb"))
    trained = [splits.prepare(train) for train in splits.untold(Path("d/a.nwb"))]
    for one, other in zip(map(splits.prepare, found), trained, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    assert [len(train) for train in found] == [1, 2, 2]


@pytest.mark.filterwarnings("ignore")
def test_sessions_that_do_not_fit_are_one_line(session: Callable[..., None]) -> None:
    session("d/a.nwb", UNITS, TRIALS, side=["left", "right", "left"])
    refused(["a.nwb: no column 'label' of trials, which have side: --data.trial_column"])
    session("d/a.nwb", [], TRIALS)
    refused(["a.nwb: no units with spike_times"])
    session("d/a.nwb", UNITS, [])
    refused(["a.nwb: no trials"])
    session("d/a.nwb", UNITS, [(1.0, 0.5)], label=["x"])
    refused(["a.nwb, trial 0: from 1.0 to 0.5, expected a later stop"])
    session("d/a.nwb", [[0.1], [0.2, np.nan]], TRIALS, label=["x", "y", "x"])
    refused(["a.nwb, unit 1: times that are no numbers, expected finite ones"])
    Path("d/a.nwb").write_bytes(b"junk")
    refused(["a.nwb is damaged, or no NWB file"])


def test_nwb_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pynwb", None)
    Path("d").mkdir()
    Path("d/a.nwb").touch()
    refused(["pynwb", "pip install vdib[nwb]"], ImportError)


# --- runs -------------------------------------------------------------------------------------


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def test_a_run_over_labels_and_its_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    """Units tell the class; measured again, and without the folder still of use."""
    for i in range(60):
        rng, low = np.random.default_rng(i), 4 * (i % 2)
        units = low + rng.integers(0, 4, 30)
        save(f"d/{('cat', 'dog')[i % 2]}/{i}.npz", times=np.sort(rng.random(30)), units=units)
    more = ["--data.step_ms", "100", "--trainer.max_epochs", "15", "--data.path", "d"]
    assert fit.main([*TINY, *more, "--model.lr", "0.02", "--name", "a"]) == 0
    run = Path("runs", "spike_trains", "a")
    first = summary(run)
    assert first["test_samples"] == 6
    assert first["class_accuracy"] == 1.0
    assert 0 <= first["calibration_error"] < 0.5
    for name in ("confusion", "calibration", "raster"):
        assert (run / "figures" / f"{name}.png").is_file()
    table = (run / "figures" / "confusion.csv").read_text().splitlines()
    assert table[0] == "class,cat,dog"
    assert sum(int(n) for row in table[1:] for n in row.split(",")[1:]) == 6
    assert evaluate.main([str(run)]) == 0
    assert summary(run) == first
    Path("d").rename("gone")
    assert vdib.load(run).decoder.signal == Label(2, ("cat", "dog"))
    capsys.readouterr()
    assert evaluate.main([str(run)]) == 2
    make.one_line(capsys.readouterr().err.strip(), "vdib: no spike trains")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of runs over labels, images and curves, whose examples are no longer there."""
    root = tmp_path_factory.mktemp("trained")
    for i in range(30):
        told = {"label": ("cat", "dog")[i % 2], "image": np.eye(4) * (i % 2), "curve": [1.0, i % 2]}
        save(str(root / "d" / f"{i}.npz"), **some(i), **told)
    place = ["--runs", str(root), "--experiment", "x", "--data.path", str(root / "d")]
    more = ["--data.cache", "false", "--figures_every", "-1", "--fit_priors", "[]"]
    for target in ("label", "image", "curve"):
        words = [*TINY, *place, *more, "--data.target", target, "--name", target]
        assert fit.main(words) == 0
    (root / "d").rename(root / "gone")
    return root / "x"


def naturalised(run: Path, *words: str) -> int:
    return naturalise.main([*words, "--run", str(run), "--out", "out"])


def rows() -> list[list[str]]:
    with Path("out/labels.csv").open(newline="") as file:
        first, *others = csv.reader(file)
    assert first == ["recording", "end_s", "label", "probability", "decision_ms"]
    return others


def modules_own(run: Path, target: str, path: str) -> tuple[Any, SpikeTrainSplits, Any]:
    """A run's module and splits, and the spikes of a folder's test examples by its data module."""
    from vdib.naturalise.naturaliser import naturaliser_of

    model = naturaliser_of(run)
    assert model.trains is not None
    settings = {**model.trains.found, "path": path, "target": target, "cache": False}
    data = EVENT_DATA["SpikeTrainData"](**settings)
    return model.module, model.trains, data.examples("test", 99).spikes


def test_new_trials_are_classified(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As by the model and its data module, for which alone the files of `told` have labels."""
    rng = np.random.default_rng(0)
    dense = (rng.random((35, 9, 5)) < 0.3).astype(np.uint8)
    parts = [some(100 + i) for i in range(3)]
    times, units = (np.concatenate([part[key] for part in parts]) for key in ("times", "units"))
    trial = np.repeat([0, 1, 3], 12)  # none fires in the third
    new = {
        "a.npz": {"spikes": dense},
        "b.npz": {"times": times, "units": units, "trial": trial},
        "c/d.npz": some(7),
        "c/e,f.npz": {"times": np.zeros(0), "units": np.zeros(0, int)},
    }
    counts = (35, 4, 1, 1)
    for (name, arrays), count in zip(new.items(), counts, strict=True):
        save(name, **arrays)
        labels: Any = "dog" if count == 1 else ["dog"] * count
        save(f"told/test/{name}", **arrays, label=labels)
    assert naturalised(trained / "label", "a.npz", "b.npz", "c") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "4 of 4 recordings naturalised in out"
    module, splits, spikes = modules_own(trained / "label", "label", "told")
    assert len(spikes) == sum(counts)
    with torch.no_grad():
        # Of the same noise for all: what a trial is taken for depends on it alone.
        code = module.vdib.encode(spikes, Noise(0, EVALUATION, torch.zeros(41, dtype=torch.int64)))
        shares = module.vdib.decode(code).probs[:, 0]
        label, step = module.vdib.decoder.decide(code)
    names = [f"a.npz[{i}]" for i in range(35)] + [f"b.npz[{i}]" for i in range(4)]
    found = rows()
    assert [row[0] for row in found] == [*names, "c/d.npz", "c/e,f.npz"]
    steps = splits.prepare.binning.num_steps
    assert {row[1] for row in found} == {f"{steps * 0.01:.6f}"}
    assert [row[2] for row in found] == [("cat", "dog")[each] for each in label.tolist()]
    expected = shares.gather(1, label[:, None])[:, 0]
    np.testing.assert_allclose([float(row[3]) for row in found], expected, atol=2e-6)
    assert [float(row[4]) for row in found] == [10.0 * each for each in step.tolist()]


def test_silent_trials_at_the_end_are_seen_by_their_targets(trained: Path) -> None:
    save("a.npz", **some(0), trial=np.arange(12) // 6, labels=["cat", "no class", "dog"])
    assert naturalised(trained / "label", "a.npz") == 0
    assert [row[0] for row in rows()] == [f"a.npz[{i}]" for i in range(3)]


def test_bad_files_of_spike_trains_are_told_and_passed_over(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("f/a.npz", "f/g/h.npz", "f/.hidden.npz", "f/x.npz"):
        save(name, **some(0))
    save("f/b.npz", times=[0.2, 0.1], units=[0, 1])
    save("f/c.npz", spikes=np.ones((2, 3, 7)))
    Path("f/d.npz").write_bytes(b"junk")
    save("f/e.npz", times=np.zeros(0), units=np.zeros(0, int), trial=np.zeros(0, int))
    save("f/f.npz", x=[1], y=[1], t=[0], p=[1])
    assert naturalised(trained / "label", "f", "absent.npz", "--exclude", "x.*") == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "2 of 8 recordings naturalised in out"
    for line, words in zip(
        said.err.splitlines(),
        (
            "f/b.npz: times fall after spike 0",
            "f/c.npz, example 0: unit 5, expected 0 to 4",
            "f/d.npz is damaged",
            "f/e.npz: no examples",
            "f/f.npz: has x, y, t, p, expected times and units",
            "absent.npz: no such file",
        ),
        strict=True,
    ):
        make.one_line(line, f"vdib: {words}")
    assert [row[0] for row in rows()] == ["f/a.npz", "f/g/h.npz"]


def test_new_trials_become_images(trained: Path) -> None:
    arrays = {"spikes": np.random.default_rng(0).integers(0, 2, (3, 9, 5))}
    save("many.npz", **arrays)
    save("one.npz", spikes=arrays["spikes"][1])
    save("told/test/many.npz", **arrays, images=np.zeros((3, 4, 4)))
    Path("out/many").mkdir(parents=True)
    Path("out/many/trial_000009.png").touch()  # of an earlier call
    assert naturalised(trained / "image", "many.npz", "one.npz") == 0
    files = [f"many/trial_{i:06}.png" for i in range(3)]
    assert set(make.same_files(Path("out"))) == {*files, "one.png"}
    module, _, spikes = modules_own(trained / "image", "image", "told")
    with torch.no_grad():
        expected = 255 * module(spikes, torch.zeros(3, dtype=torch.int64)).numpy()
    for name, image in zip([*files, "one.png"], [*expected, expected[1]], strict=True):
        with PIL.Image.open(Path("out", name)) as found:
            np.testing.assert_array_equal(np.asarray(found), np.rint(image))


def test_what_spike_trains_cannot_become_is_one_line(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save("a.npz", **some(0))
    Path("empty").mkdir()
    cases = [
        ("curve", ["a.npz"], ["curve tells curves, and neither images nor labels"]),
        ("label", ["empty"], ["no spike trains (.npz, .nwb) in empty"]),
        *(
            ("label", ["a.npz", *words], [f"{words[0]}: not with", "was trained on spike trains"])
            for words in (["--window-ms", "5"], ["--crop", "0,0,1,1"], ["--time-scale", "1000"])
        ),
    ]
    for run, words, message in cases:
        assert naturalised(trained / run, *words) == 2
        make.one_line(*capsys.readouterr().err.splitlines(), *message)
    assert not Path("out").exists()
    for main, words in (
        (live.main, ["--run", str(trained / "image"), "--source", "stdin"]),
        (generate.main, [str(trained / "image"), "--out", "out", "--between", "a.npz", "a.npz"]),
    ):
        assert main(words) == 2
        make.one_line(capsys.readouterr().err.splitlines()[-1], "trained on spike trains, and not")


def test_silence_is_one_line_that_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is a run to be gone on with that has no checkpoint."""
    for i in range(20):
        save(f"d/{i}.npz", spikes=np.zeros((9, 2)), label=i % 2)
    assert fit.main([*TINY, "--data.path", "d", "--name", "a"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    words = ["have spikes (--data)", str(Path("runs", "spike_trains", "a")), "has no checkpoint"]
    make.one_line(line, "vdib: cannot calibrate", *words)
    assert "--ckpt_path" not in line


def test_a_run_over_values() -> None:
    """The squared error is that of the means that are decoded, over all test examples."""
    for i in range(30):
        save(f"d/{i}.npz", **some(i), curve=np.random.default_rng(i).normal(size=2))
    words = ["--data.path", "d", "--data.target", "curve", "--trainer.precision", "32-true"]
    assert fit.main([*TINY, *words, "--name", "a"]) == 0
    run = Path("runs", "spike_trains", "a")
    data = EVENT_DATA["SpikeTrainData"](path="d", target="curve", cache=False)
    batch, model = data.examples("test", 9), vdib.load(run)
    with torch.no_grad():
        code = model.encode(batch.spikes, Noise(0, EVALUATION, batch.id))
        error = (model.decode(code).mean[:, 0] - batch.target).square().mean()
    assert summary(run)["squared_error"] == pytest.approx(float(error), rel=1e-4)
    assert (run / "figures" / "decoded.png").is_file()
    with (run / "metrics.csv").open(newline="") as file:
        assert any(row.get("val/squared_error") for row in csv.DictReader(file))
