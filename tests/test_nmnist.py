"""N-MNIST: layout, splits and folds, and whether labels are MNIST's."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import recordings as make
from recording_files import nmnist_bin, some_events

from vdib.datasets import nmnist
from vdib.datasets.mnist import training_images
from vdib.datasets.nmnist import NMNIST


@pytest.fixture(autouse=True)
def nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for name in ("VDIB_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    if "real" not in request.node.name:
        monkeypatch.setattr(nmnist, "training_images", make.numbered_digits)
        monkeypatch.setattr(nmnist, "MNIST", lambda split: make.numbered_digits(0, 10_000))
        only_mnist = {"mnist": make.numbered_digits(0, 10).images.numpy()}
        monkeypatch.setattr(nmnist, "class_images", only_mnist.__getitem__)


def write(root: Path, part: str, numbers: Any) -> Path:
    """Recording n shows image n - 1 of the digits i mod 10."""
    for n in numbers:
        path = root / part / str((n - 1) % 10) / f"{n:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(nmnist_bin(some_events(20, seed=n)))
    return root


def ids(data: NMNIST) -> list[int]:
    return [shown.id for shown in data.shown]


def test_official_splits(tmp_path: Path) -> None:
    root = write(tmp_path / "data", "Train", [1, 2, 5_000, 5_001, 60_000])
    write(root, "Test", [1, 10_000])
    assert ids(NMNIST("train", root)) == [5_000, 59_999]
    assert ids(NMNIST("validation", root)) == [0, 1, 4_999]
    assert ids(NMNIST("test", root)) == [60_000, 69_999]
    assert ids(NMNIST(root=root)) == [0, 1, 4_999, 5_000, 59_999]
    for split in ("train", "validation", "test"):
        data = NMNIST(split, root)  # type: ignore[arg-type]
        for shown in data.shown:
            assert make.number_of(data.images[shown.image]) == shown.id % 60_000
            assert shown.label == shown.id % 10


def test_recordings_are_what_was_written(tmp_path: Path) -> None:
    recording, shown = NMNIST(root=write(tmp_path / "data", "Train", [7]))[0]
    x, y, t, p = some_events(20, seed=7)
    assert make.fields(recording) == [x.tolist(), y.tolist(), t.tolist(), p.tolist()]
    assert (recording.sensor_size, shown.label, shown.id) == ((34, 34), 6, 6)


def test_one_image_a_class(tmp_path: Path) -> None:
    root = write(tmp_path / "data", "Train", [3, 13, 4])
    data = NMNIST(root=root, target="class")
    assert [make.number_of(data.images[shown.image]) for shown in data.shown] == [2, 3, 2]


@pytest.mark.parametrize("num_folds", [2, 5, 7])
def test_folds_part_the_files(tmp_path: Path, num_folds: int) -> None:
    root = write(tmp_path / "data", "Train", range(11, 180, 2))
    every = ids(NMNIST(root=root))
    tested = []
    for fold in range(num_folds):
        parts = [
            ids(NMNIST(split, root, fold, num_folds))  # type: ignore[arg-type]
            for split in ("train", "validation", "test")
        ]
        assert sorted(chain(*parts)) == every
        assert abs(len(parts[2]) - len(every) / num_folds) < 1
        others = len(parts[0]) + len(parts[1])
        assert abs(len(parts[1]) - others / 10) < num_folds
        tested += parts[2]
    assert sorted(tested) == every


def test_tonics_folder_and_the_cache_are_found(tmp_path: Path) -> None:
    write(tmp_path / "XDG_CACHE_HOME" / "vdib" / "nmnist" / "NMNIST", "Train", [4])
    assert ids(NMNIST()) == [3]
    write(tmp_path / "VDIB_DATA" / "nmnist", "Train", [5])
    assert ids(NMNIST()) == [4]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    root = write(tmp_path / "data", "Train", [1])
    for name in ("00000.bin", "60001.bin", "a.bin", "²2.bin", "00002.txt"):
        (root / "Train" / "0" / name).write_bytes(b"")
    (root / "Train" / "x").mkdir()
    (root / "Train" / "x" / "00003.bin").write_bytes(b"")
    assert ids(NMNIST(root=root)) == [0]


def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    root = write(tmp_path / "data", "Train", [1, 2])
    for split, words in (("test", "Test/<class>"), ("train", "Train/<class>")):
        with pytest.raises(FileNotFoundError) as caught:
            NMNIST(split, root)  # type: ignore[arg-type]
        make.one_line(
            caught.value, split, words, str(root), "--data.download true", "--data.fold 0"
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "val"}, "got split 'val'"),
        ({"target": "digit"}, "target 'digit'"),
        ({"fold": 5}, "fold: got 5, expected 0 to 4"),
        ({"fold": -1}, "fold: got -1"),
    ],
)
def test_words_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NMNIST(**settings)


@make.real("nmnist/Train", "mnist/MNIST/raw/train-images-idx3-ubyte")
def test_real_labels_are_those_of_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDIB_DATA", make.DATA or "")
    data = NMNIST()
    assert len(data) == 1_000
    labels = training_images(0, 1_000).labels
    assert all(shown.label == labels[shown.id] for shown in data.shown)


class FakeTonic:
    """In tonic's place: writes what it would unpack, and may break off in the middle."""

    def __init__(self, count: int, stop: int | None = None) -> None:
        self.count, self.stop, self.asked = count, stop, []
        self.datasets = self

    def NMNIST(self, folder: str, train: bool) -> None:
        self.asked.append(train)
        write(Path(folder, "NMNIST"), "Train" if train else "Test",
              range(1, (self.stop or self.count) + 1))  # fmt: skip
        if self.stop:
            raise KeyboardInterrupt


def test_downloads_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nmnist, "_COUNTS", {"Train": 12, "Test": 5})
    broken, whole = FakeTonic(12, stop=7), FakeTonic(12)
    monkeypatch.setattr("vdib.datasets.extras.import_extra", lambda *names: broken)
    with pytest.raises(KeyboardInterrupt):
        nmnist.download_nmnist(tmp_path / "root")
    assert make.same_files(tmp_path / "root") == {}
    (tmp_path / "root" / ".nmnist-abc").mkdir()
    write(tmp_path / "root" / "NMNIST", "Train", [3])  # as an older version left it
    monkeypatch.setattr("vdib.datasets.extras.import_extra", lambda *names: whole)
    for _ in range(2):
        assert nmnist.download_nmnist(tmp_path / "root") == tmp_path / "root"
        assert whole.asked == [True, False]
        assert len(make.same_files(tmp_path / "root")) == 12 + 12  # a test part with some beside
    assert len(NMNIST(None, tmp_path / "root")) == 12


def test_a_server_that_does_not_answer_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Down:
        datasets = property(lambda self: self)

        def NMNIST(self, folder: str, train: bool) -> None:
            raise RuntimeError("File not found or corrupted.\nmore")

    monkeypatch.setattr("vdib.datasets.extras.import_extra", lambda *names: Down())
    with pytest.raises(OSError, match="N-MNIST could not be fetched: File not found") as caught:
        nmnist.download_nmnist(tmp_path / "root")
    make.one_line(caught.value)
