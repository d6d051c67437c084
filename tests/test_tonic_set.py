"""tonic's data sets by name: classes that are made here, and tonic's own over made files."""

import importlib
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import recordings as make
from recording_files import nmnist_bin, some_events

from vdib import evaluate, fit
from vdib.datasets.tonic_classes import as_recording, tonic_class
from vdib.datasets.tonic_set import TonicSplits

# Lightning calls what jsonargparse has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.usefixtures("small_world"),
]

LINE = np.dtype([("t", int), ("x", int), ("p", int)])
PLANE = np.dtype([("x", "<i2"), ("y", "<i2"), ("p", "?"), ("t", "<i8")])


def line_of(index: int, units: int = 20) -> np.ndarray:
    """Events in a row; unit i fires first in example i."""
    events = np.zeros(30, LINE)
    events["t"], events["p"] = np.arange(30) * 1000, 1
    events["x"] = (index + np.arange(30)) % units
    return events


class Base:
    """What tonic's classes have in common."""

    opened: list[Any]

    def __init__(self, save_to: str, count: int = 40) -> None:
        self.location_on_system, self.count = save_to, count
        if not save_to.endswith("there"):
            self.download()

    def download(self) -> None:
        raise OSError("the server sleeps")

    def __len__(self) -> int:
        return self.count


class Parted(Base):
    """A row of 20 units, in two parts."""

    sensor_size = (20, 1, 1)
    classes = (b"zero", b"one", b"two")

    def __init__(self, save_to: str, train: bool = True, transform: Any = None) -> None:
        super().__init__(save_to, 40 if train else 10)
        self.train = train

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        return line_of(index + 100 * (not self.train)), np.int64(index % 3)


class InThree(Parted):
    def __init__(self, save_to: str, split: str = "train") -> None:
        Base.__init__(self, save_to, {"train": 12, "valid": 5, "test": 4}[split])
        self.train, self.split = split == "train", split


class Whole(Base):
    """A camera, all in one, with words for labels, and times out of order."""

    sensor_size = None
    asked: list[int] = []  # noqa: RUF012

    def __init__(self, save_to: str) -> None:
        super().__init__(save_to)
        self.targets = [("dog", "cat")[i % 2] for i in range(len(self))]

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        self.asked.append(index)
        events = np.zeros(4, PLANE)
        events["t"], events["x"], events["y"] = [0, 9000, 4000, 20], [1, 2, 3, 4], index % 5
        events["p"] = [1, 0, 1, 0]
        return events, self.targets[index]


class Frames(Base):
    sensor_size = (4, 4, 2)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        return np.zeros((3, 2, 4, 4)), index % 2


class Boxes(Frames):
    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        return line_of(index), (1, 2)


class Leaving(Parted):
    """Ends the process where its files are missing, as DVSLip does."""

    def download(self) -> None:
        raise SystemExit


class Scenes(Frames):
    def __init__(self, save_to: str, scene: str) -> None:
        super().__init__(save_to)


@pytest.fixture
def tonic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of that name, whether the real one is installed or not."""
    package, module = ModuleType("tonic"), ModuleType("tonic.datasets")
    for kind in (Parted, InThree, Whole, Frames, Boxes, Leaving, Scenes):
        setattr(module, kind.__name__, kind)
    package.datasets = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tonic", package)


def made(name: str, **settings: Any) -> TonicSplits:
    return TonicSplits(name, root="there", **{"num_steps": 10, "step_ms": 1.0, **settings})


def ids(splits: TonicSplits) -> dict[str, list[int]]:
    out = {}
    for split in ("train", "validation", "test"):
        (some,) = splits.recordings(split)  # type: ignore[arg-type]
        out[split] = [shown.id for shown in some.shown]
    return out


@pytest.mark.usefixtures("tonic")
def test_a_row_of_units_in_two_parts() -> None:
    splits = made("Parted")
    assert splits.signal.names == ("zero", "one", "two")  # type: ignore[attr-defined]
    assert splits.found == {
        "sensor_size": (20, 1), "class_names": ["zero", "one", "two"], "polarity": "merged"
    }  # fmt: skip
    assert splits.prepare.shape((20, 1)) == (1, 1, 20)
    parts = ids(splits)
    assert [len(part) for part in parts.values()] == [36, 4, 10]
    assert sorted(parts["train"] + parts["validation"]) == list(range(40))
    assert min(parts["test"]) == 1 << 32
    assert ids(made("Parted", split_seed=1))["validation"] != parts["validation"]
    assert ids(made("Parted", validation=0.5))["test"] == parts["test"]
    (train,) = splits.recordings("train")
    for recording, shown in (train[0], train[5]):
        assert recording.x.tolist() == line_of(shown.id)["x"].tolist()
        assert shown.label == shown.id % 3
        count, neuron = splits.prepare(recording)
        assert count.tolist() == [1] * 10
        assert neuron.tolist() == line_of(shown.id)["x"][:10].tolist()
    (test,) = splits.recordings("test")
    assert test[3][0].x[0] == 103 % 20
    halved = made("Parted", downsample=5)
    (other,) = halved.recordings("train")
    assert halved.prepare.shape((4, 1)) == (1, 1, 4)
    assert other[0][0].x.tolist() == (train[0][0].x // 5).tolist()
    assert other.identity() != train.identity()


@pytest.mark.usefixtures("tonic")
def test_three_parts_are_those_of_tonic() -> None:
    parts = ids(made("InThree"))
    assert [len(part) for part in parts.values()] == [12, 5, 4]
    assert len({id for part in parts.values() for id in part}) == 21


@pytest.mark.usefixtures("tonic")
def test_a_camera_without_parts_and_words_for_labels() -> None:
    with pytest.raises(ValueError, match=r"Whole: tonic says no size .* --data.sensor_size"):
        made("Whole")
    splits = made("Whole", sensor_size=(6, 5))
    assert splits.found["class_names"] == ["cat", "dog"]
    assert splits.prepare.shape((6, 5)) == (2, 5, 6)
    assert not Whole.asked  # labels are known without the events
    parts = ids(splits)
    assert [len(part) for part in parts.values()] == [32, 4, 4]
    assert sorted(id for part in parts.values() for id in part) == list(range(40))
    (test,) = splits.recordings("test")
    recording, shown = test[0]
    assert shown.label == 1 - shown.id % 2
    assert recording.t.tolist() == [0, 20, 4000, 9000]
    assert recording.x.tolist() == [1, 4, 3, 2]
    assert recording.p.tolist() == [True, False, True, False]
    small = made("Whole", sensor_size=(4, 5)).recordings("test")[0]
    with pytest.raises(ValueError, match="x goes from 1 to 4 on a sensor of 4 x 5") as told:
        small.recording(0)
    make.one_line(told.value, "Whole", "--data.sensor_size")


@pytest.mark.usefixtures("tonic")
def test_a_run_needs_neither_tonic_nor_files_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = made("Parted").found
    monkeypatch.setitem(sys.modules, "tonic", None)
    again = TonicSplits("Parted", root="gone", num_steps=10, step_ms=1.0, **found)
    assert again.prepare == made_before()
    with pytest.raises(ImportError, match=r"pip install vdib\[tonic\]"):
        again.recordings("test")


def made_before() -> Any:
    from vdib.datasets.preparation import Preparation
    from vdib.datasets.transforms.binning import SpikeBinning

    return Preparation((), SpikeBinning(dt=1000, num_steps=10, polarity="merged"), (20, 1))


@pytest.mark.usefixtures("tonic")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "parted"}, ["name: got 'parted', expected Boxes, ", "did you mean Parted?"]),
        ({"name": "Scenes"}, ["Scenes needs scene: --data.options '{scene: ...}'"]),
        ({"name": "Boxes"}, ["Boxes: got a target '(1, 2)', expected labels"]),
        ({"options": {"trian": 1}}, ["options: got 'trian', Parted has transform"]),
        ({"options": {"train": False}}, ["options: got 'train'"]),
        ({"validation": 1.0}, ["validation and test: got 1.0 and 0.1"]),
        ({"downsample": 3}, ["downsample: got 3, expected a divisor of 20 units"]),
        ({"num_steps": 1}, ["num_steps >= 2"]),
        ({"root": "nowhere"}, ["no files of tonic's Parted below ", "--data.download true"]),
        (
            {"name": "Leaving", "root": "nowhere", "download": True},
            ["below ", "put them there"],
        ),
        ({"root": "nowhere", "download": True}, ["tonic's Parted could not", "the server sleeps"]),
    ],
)
def test_what_does_not_fit_is_one_line(given: dict[str, Any], words: list[str]) -> None:
    settings = {"name": "Parted", "root": "there", "num_steps": 10, **given}
    with pytest.raises((ValueError, OSError)) as told:
        TonicSplits(**settings)
    make.one_line(told.value, *words)


def test_without_tonic_a_run_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    assert fit.main(["--config", "tonic"]) == 2
    make.one_line(capsys.readouterr().err.strip(), "vdib: ", "pip install vdib[tonic]")


@pytest.mark.usefixtures("tonic")
def test_a_run_over_a_data_set_of_tonics() -> None:
    args = ["--config", "tonic", "--data.name", "Parted", "--data.root", "there", "--name", "a"]
    args += ["--data.num_steps", "10", "--data.step_ms", "1", "--model.num_readout", "6"]
    args += ["--trainer.max_epochs", "2", "--figures_every", "-1", "--model.hidden", "[8]"]
    assert fit.main([*args, "--trainer.enable_progress_bar", "false"]) == 0
    run = Path("runs", "tonic", "a")
    first = json.loads((run / "summary.json").read_text())
    assert first["test_samples"] == 10
    assert evaluate.main([str(run)]) == 0
    assert json.loads((run / "summary.json").read_text()) == first


@pytest.mark.usefixtures("tonic")
def test_frames_are_refused() -> None:
    (frames,) = made("Frames").recordings("train")
    with pytest.raises(ValueError, match="Frames train: got an array of float64, expected events"):
        frames.recording(0)
    with pytest.raises(ValueError, match="got dict, expected events with fields t and x"):
        as_recording({"events": 1}, (4, 4), "made")


# tonic's own classes, over files as they unpack them.


@pytest.fixture
def installed() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its imports warn of
        return pytest.importorskip("tonic", reason="no tonic: pip install vdib[tonic]")


def test_tonics_own_names(installed: Any) -> None:
    assert tonic_class("SHD").sensor_size == (700, 1, 1)
    with pytest.raises(ValueError, match="did you mean DVSGesture"):
        tonic_class("DVSGestures")


def test_tonics_nmnist(installed: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # It wants 10,000 files and the archive that they came in.
    monkeypatch.setattr(installed.datasets.NMNIST, "_check_exists", lambda self: True)
    for part, count in (("Train", 12), ("Test", 3)):
        for n in range(count):
            path = tmp_path / "t" / "NMNIST" / part / str(n % 3) / f"{n:05}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(nmnist_bin(some_events(25, seed=n)))
    splits = TonicSplits("NMNIST", root=str(tmp_path / "t"), num_steps=5)
    assert splits.signal.names[2] == "2 - two"  # type: ignore[attr-defined]
    assert splits.prepare.shape((34, 34)) == (2, 34, 34)
    (test,) = splits.recordings("test")
    assert len(test) == 3
    for i in range(3):
        recording, shown = test[i]
        x, y, t, p = some_events(25, seed=shown.label)  # recording n is of class n
        assert [recording.x.tolist(), recording.y.tolist()] == [x.tolist(), y.tolist()]
        assert [recording.t.tolist(), recording.p.tolist()] == [t.tolist(), p.tolist()]


def test_tonics_shd(installed: Any, tmp_path: Any) -> None:
    """Its HDF5 files hold lists of times (s) and units, labels and their names."""
    h5py = importlib.import_module("h5py")
    folder = tmp_path / "t" / "SHD"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    spikes: dict[str, Any] = {}
    for part, count in (("train", 12), ("test", 4)):
        times = [np.sort(rng.random(9)).astype(np.float16) for _ in range(count)]
        units = [rng.integers(0, 700, 9) for _ in range(count)]
        spikes[part] = times, units
        (folder / f"shd_{part}.h5.zip").touch()
        with h5py.File(folder / f"shd_{part}.h5", "w") as file:
            for name, values, kind in (("times", times, "f2"), ("units", units, "i4")):
                made = file.create_dataset(f"spikes/{name}", count, h5py.vlen_dtype(kind))
                for i, value in enumerate(values):
                    made[i] = value
            file["labels"] = np.arange(count) % 3
            file["extra/keys"] = np.array([b"zero", b"one", b"two"])
            file["extra/speaker"] = np.zeros(count)
    splits = TonicSplits("SHD", root=str(tmp_path / "t"), downsample=5, num_steps=10, step_ms=100)
    assert splits.signal.names == ("zero", "one", "two")  # type: ignore[attr-defined]
    (test,) = splits.recordings("test")
    recording, shown = test[3]
    assert (shown.label, recording.sensor_size) == (0, (140, 1))
    assert recording.t.tolist() == (spikes["test"][0][3].astype(float) * 1e6).astype(int).tolist()
    assert recording.x.tolist() == (spikes["test"][1][3] // 5).tolist()
