"""Spikes of many recordings: as binning gives them, and as the cache keeps them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings as make
import torch

from vdib.datasets.preparation import Preparation
from vdib.datasets.recording import Recording, read_recording
from vdib.datasets.recording_set import RecordingSet, Shown, file_identity
from vdib.datasets.spike_set import SpikeSet
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.datasets.transforms.follow import Follow
from vdib.datasets.transforms.place import Crop

BINNING = SpikeBinning(dt=9_000, num_steps=7)
PREPARE = Preparation((), BINNING, (34, 34))


class InMemory(RecordingSet):
    """Recordings that count how often they are asked for."""

    def __init__(self, recordings: Sequence[Recording], name: str = "these") -> None:
        self.recordings, self.name, self.asked = recordings, name, 0
        self.images = np.arange(len(recordings) * 4, dtype=np.uint8).reshape(-1, 2, 2)
        self.shown = [Shown(i % 10, i, 100 + i) for i in range(len(recordings))]

    def recording(self, index: int) -> Recording:
        self.asked += 1
        return self.recordings[index]

    def identity(self) -> Any:
        return self.name


class OnDisk(InMemory):
    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__([read_recording(path, sensor_size=(34, 34)) for path in paths])
        self.paths = paths

    def identity(self) -> Any:
        return [file_identity(path) for path in self.paths]


def some(count: int = 5) -> InMemory:
    return InMemory([make.scattered(seed=i) for i in range(count)])


def same(first: SpikeSet, second: SpikeSet) -> bool:
    names = ("count", "neuron", "images", "image", "label", "id")
    return all(np.array_equal(getattr(first, n), getattr(second, n)) for n in names)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("transforms", "binning"),
    [
        ((), BINNING),
        ((), SpikeBinning(dt=9_000, num_steps=7, start=0, polarity="merged", downsample=2)),
        ((Follow((20, 12)),), BINNING),
        ((Crop(2, 3, 20, 10),), BINNING),
    ],
)
def test_a_batch_is_what_binning_gives(
    transforms: Any, binning: SpikeBinning, workers: int
) -> None:
    data = some()
    made = SpikeSet.of(data, Preparation(transforms, binning, (34, 34)), workers=workers)
    batch = made.__getitems__([3, 0, 3])
    for spikes, index in zip(batch.spikes.dense(), [3, 0, 3], strict=True):
        whole = data.recordings[index]
        start = int(whole.t[0]) if binning.start is None else binning.start
        seen = whole.between(start, start + 63_000)
        for transform in transforms:
            seen = transform(seen)
        from dataclasses import replace

        assert torch.equal(spikes, replace(binning, start=start)(seen))
    assert batch.spikes.shape[2:] == made.shape
    assert torch.equal(batch.image, torch.from_numpy(data.images[[3, 0, 3]]) / 255)
    assert batch.image.dtype == torch.float32
    assert batch.label.tolist() == [3, 0, 3]
    assert batch.id.tolist() == [103, 100, 103]


def test_what_comes_after_the_steps_has_no_say() -> None:
    """A digit that leaves after the last step leaves the spikes as they are."""
    prepare = Preparation((Follow((12, 12)),), BINNING, (34, 34))
    before = make.scattered(us=63_000)
    after = make.of([33] * 900, [33] * 900, [70_000 + before.t[0]] * 900, [1] * 900)
    longer = make.of(*(np.concatenate([getattr(r, f) for r in (before, after)]) for f in "xytp"))
    for got, expected in zip(prepare(longer), prepare(before), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_recordings_without_events_in_the_steps() -> None:
    late = make.of([1], [1], [10**9], [1])
    binning = SpikeBinning(dt=9_000, num_steps=7, start=0)
    data = InMemory([make.of([], [], [], []), late, make.scattered()])
    made = SpikeSet.of(data, Preparation((), binning, (34, 34)))
    assert [made[i].spikes.dense().sum() for i in range(2)] == [0, 0]
    assert made[2].spikes.dense().sum() > 0
    assert made.__getitems__([]).spikes.shape == (0, 7, 2, 34, 34)


def test_take_and_cat() -> None:
    first, second = (SpikeSet.of(some(n), PREPARE) for n in (3, 2))
    both = SpikeSet.cat([first, second])
    assert len(both) == 5
    for i, (part, at) in enumerate([(first, 0), (first, 1), (first, 2), (second, 0), (second, 1)]):
        assert torch.equal(both[i].spikes.dense(), part[at].spikes.dense())
        assert torch.equal(both[i].image, part[at].image)
    chosen = both.take(np.array([4, 4, 0]))
    assert torch.equal(chosen.__getitems__([0, 1, 2]).spikes.dense(),
                       both.__getitems__([4, 4, 0]).spikes.dense())  # fmt: skip
    assert same(both.take(both.label == 1), both.take(np.array([1, 4])))
    assert same(SpikeSet.cat([first]), first)
    other = SpikeSet.of(some(1), Preparation((), SpikeBinning(dt=1, num_steps=2), (34, 34)))
    with pytest.raises(ValueError, match="alike in steps, neurons and images"):
        SpikeSet.cat([first, other])


def test_another_sensor_is_one_line() -> None:
    data = InMemory([make.scattered(), make.scattered(size=(30, 20))])
    with pytest.raises(ValueError, match="here: a sensor of 30 x 20 pixels") as caught:
        SpikeSet.of(data, PREPARE)
    make.one_line(caught.value, "expected 34 x 34 pixels")
    any_size = Preparation((), BINNING)  # of the first recording
    with pytest.raises(ValueError, match="expected 34 x 34 pixels"):
        SpikeSet.of(data, any_size)


def test_the_cache_saves_work_until_a_setting_changes(tmp_path: Path) -> None:
    data = some()
    made = SpikeSet.of(data, PREPARE, tmp_path)
    assert data.asked == 5
    assert same(SpikeSet.of(data, PREPARE, tmp_path), made)
    assert data.asked == 5
    others = [
        Preparation((), SpikeBinning(dt=9_000, num_steps=8), (34, 34)),
        Preparation((), SpikeBinning(dt=9_001, num_steps=7), (34, 34)),
        Preparation((Follow((34, 34)),), BINNING, (34, 34)),
        Preparation((Follow((34, 34), span=50_000),), BINNING, (34, 34)),
        Preparation((Crop(0, 0, 34, 34),), BINNING, (34, 34)),
    ]
    for number, other in enumerate(others, 2):
        SpikeSet.of(data, other, tmp_path)
        assert data.asked == 5 * number
    assert len(list(tmp_path.iterdir())) == 1 + len(others)  # and no scratch file


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    path = make.write_npz(tmp_path / "a.npz", make.scattered())
    for change in (None, "content", "time"):
        if change == "content":
            make.write_npz(path, make.scattered(seed=1, count=301))
        if change == "time":
            os.utime(path, ns=(1, 1))
        data = OnDisk([path])
        expected = SpikeSet.of(data, PREPARE)
        assert same(SpikeSet.of(data, PREPARE, tmp_path / "cache"), expected)
        assert data.asked == 2
        SpikeSet.of(data, PREPARE, tmp_path / "cache")
        assert data.asked == 2


def test_a_damaged_file_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = some(2)
    made = SpikeSet.of(data, PREPARE, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damages = [b"", b"junk", whole[:-30], whole[: len(whole) // 2], b"\x93NUMPY" + whole[6:]]
    for _ in range(40):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        damages.append(bytes(changed))
    for damage in damages:
        path.write_bytes(damage)
        assert same(SpikeSet.of(data, PREPARE, tmp_path), made)
        for line in capsys.readouterr().err.splitlines():
            assert line == f"vdib: {path} is damaged: making it again"
    path.write_bytes(b"junk")
    SpikeSet.of(data, PREPARE, tmp_path)
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = some(2)
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert same(SpikeSet.of(data, PREPARE, folder), SpikeSet.of(data, PREPARE))
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("vdib: not kept for the next run: ")


def test_a_write_that_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Any, **arrays: Any) -> None:
        file.write(b"some")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    SpikeSet.of(some(1), PREPARE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_several_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    """Processes wait for each other; other settings do not wait, a read-only folder neither."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from vdib.datasets.cache import cached

    made: list[int] = []
    together = Barrier(4)

    def make(number: int) -> dict[str, np.ndarray]:
        made.append(number)
        return {"number": np.array([number])}

    def one(number: int) -> int:
        together.wait()
        return int(cached({"number": number}, lambda: make(number), tmp_path / "kept")["number"][0])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, [1, 1, 1, 2])) == [1, 1, 1, 2]
    assert sorted(made) == [1, 2]
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".npz", ".npz"]
    (tmp_path / "file").write_text("in the way")
    assert cached({}, lambda: make(3), tmp_path / "file" / "kept")["number"] == [3]
