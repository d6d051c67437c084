"""Event data for Lightning: shapes, splits, real beside simulated, settings that files decide."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings as make
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_files import nmnist_bin, some_events

from vdib import fit
from vdib.datasets import nmnist, simulated
from vdib.datasets.formats.aedat2_writer import write_aedat2
from vdib.lightning_modules.naturalisation.event_data import (
    EventFolderData,
    MNISTDVSData,
    NMNISTData,
)
from vdib.runs.folder import Run
from vdib.runs.loading import rebuild
from vdib.signal import Image
from vdib.sparse import SparseSpikes

# Lightning calls what jsonargparse has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.usefixtures("small_world"),
]

SIZES: Any = {"num_train": 6, "num_validation": 3, "num_test": 4, "cache": False}
TINY = [
    *("--model.hidden", "[12]", "--model.num_readout", "6", "--trainer.max_epochs", "1"),
    *("--trainer.enable_progress_bar", "false", "--figures_every", "-1"),
]


def official_mnist_dvs(root: Path, numbers: Any = (1, 2, 801, 901, 902)) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for n in numbers:
        write_aedat2(root / f"mnist_3_scale04_{n:04}.aedat", make.scattered(50, (128, 128), seed=n))
    return root


def official_nmnist(root: Path, count: int = 20) -> Path:
    for n in range(1, count + 1):
        path = root / "Train" / str((n - 1) % 10) / f"{n:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(nmnist_bin(some_events(20, seed=n)))
    return root


def folder_of_recordings(root: Path, shape: tuple[int, int] = (5, 4)) -> Path:
    """Three recordings a split, each with an event in the last corner; the first's image is own."""
    for split in ("train", "validation", "test"):
        for i in range(3):
            made = make.scattered(60, seed=i)
            last = make.of([33], [33], [100_000], [1])
            columns = (np.append(getattr(made, f), getattr(last, f)) for f in "xytp")
            make.write_npz(root / split / f"{i}.npz", make.of(*columns))
        make.write_image(root / split / "0.png", np.full(shape, 200))
        make.write_image(root / f"{split}.png", np.full(shape, 100))
    return root


def ids(data: Any, split: str) -> list[int]:
    return data.split(split).id.tolist()


def test_simulated_mnist_dvs() -> None:
    data = MNISTDVSData(num_steps=10, step_ms=20, **SIZES)
    assert data.input_shape == (2, 26, 26)
    assert [len(data.split(split)) for split in ("train", "validation", "test")] == [6, 3, 4]
    batch = data.examples("test", 9)
    assert isinstance(batch.spikes, SparseSpikes)
    assert batch.spikes.shape == (4, 10, 2, 26, 26)
    assert batch.target.shape == (4, 784)
    assert [make.number_of(t.view(28, 28) * 255) - 30 for t in batch.target] == batch.label.tolist()


def test_real_and_simulated_recordings_side_by_side(tmp_path: Path) -> None:
    """Train on both; validate and test on real ones."""
    root = str(official_mnist_dvs(tmp_path / "dvs"))
    both = MNISTDVSData(recordings="both", root=root, num_steps=4, **SIZES)
    assert ids(both, "train")[:2] == [3000, 3001]
    assert len(ids(both, "train")) == 2 + 6
    assert min(ids(both, "train")[2:]) >= 100_000
    assert (ids(both, "validation"), ids(both, "test")) == ([3800], [3900, 3901])
    real = MNISTDVSData(recordings="real", root=root, num_steps=4, target="source", **SIZES)
    assert ids(real, "train") == [3000, 3001]
    image = real.examples("train", 2).target[1].view(28, 28) * 255
    assert make.number_of(image) == 13  # the second 3 of the digits i mod 10


@pytest.mark.parametrize("weight", [1, 3])
def test_real_recordings_may_weigh_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: int
) -> None:
    root = str(official_nmnist(tmp_path / "nmnist"))
    read: list[int] = []
    once = nmnist.NMNIST.recording
    monkeypatch.setattr(nmnist.NMNIST, "recording", lambda s, i: read.append(i) or once(s, i))
    data = NMNISTData(root=root, fold=0, real_weight=weight, num_steps=5, **SIZES)
    train = ids(data, "train")
    real = [id for id in train if id < 100_000]
    assert len(read) == len(set(read))  # binned once each
    assert len(train) == len(real) + 6
    assert sorted(real) == sorted(weight * list(set(real)))
    assert sorted({*real, *ids(data, "validation"), *ids(data, "test")}) == list(range(20))
    assert max(ids(data, "validation") + ids(data, "test")) < 100_000
    assert data.input_shape == (2, 34, 34)


def test_beside_real_nmnist_only_digits_that_it_does_not_show(tmp_path: Path) -> None:
    """The digits that come along are among the first MNIST images, as N-MNIST's first are."""
    with pytest.raises(ValueError, match="source: got 'digits', expected 'mnist'"):
        NMNISTData(recordings="both", source="digits")
    root = str(official_nmnist(tmp_path / "nmnist"))
    NMNISTData(recordings="both", root=root, fold=0, num_steps=5, **SIZES).split("train")
    assert simulated.asked == ["mnist"]  # type: ignore[attr-defined]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(weights=st.lists(st.integers(0, 2), min_size=5, max_size=30))
def test_the_mean_target_counts_repetitions(weights: list[int]) -> None:
    from vdib.datasets.spike_set import SpikeSet

    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    many = np.array(weights)
    zeros = np.zeros(len(many), np.int64)
    events = zeros[:, None], zeros[:0].astype(np.uint16), (2, 26, 26)

    class Given(MNISTDVSData):  # type: ignore[misc, valid-type]
        def open_split(self, split: Any) -> SpikeSet:
            return SpikeSet(*events, images, many, zeros, zeros)

    data = Given(**SIZES)
    expected = images[many].mean(0).ravel() / 255
    mean = torch.sigmoid(data.constant().double()).numpy()
    torch.testing.assert_close(mean, expected.clip(1e-4, 1 - 1e-4), rtol=0, atol=1e-6)
    torch.testing.assert_close(data.signal.constant(data.targets("train")), data.constant())


def test_folders_of_ones_own(tmp_path: Path) -> None:
    root = str(folder_of_recordings(tmp_path / "mine"))
    data = EventFolderData(root=root, num_steps=4, cache=False)
    assert data.found == {"sensor_size": (34, 34), "image_shape": (5, 4), "judged": False}
    assert (data.input_shape, data.signal) == ((2, 34, 34), Image((5, 4)))
    batch = data.examples("test", 9)
    assert batch.target.shape == (3, 20)
    assert (batch.target * 255).round().unique(dim=1).flatten().tolist() == [200, 100, 100]
    followed = EventFolderData(
        root=root, follow=(12, 10), polarity="merged", num_steps=4, cache=False
    )
    assert followed.split("train").shape == followed.input_shape == (1, 10, 12)
    cropped = EventFolderData(
        root=root, crop=(2, 4, 20, 10), downsample=2, num_steps=4, cache=False
    )
    assert cropped.split("train").shape == cropped.input_shape == (2, 5, 10)


def test_what_files_decided_is_kept_with_the_run(tmp_path: Path) -> None:
    root = folder_of_recordings(tmp_path / "mine")
    args = ["--config", "recordings", "--data.root", str(root), "--data.num_steps", "8"]
    assert fit.main([*args, *TINY, "--name", "a"]) == 0
    run = Path("runs", "naturalise_recordings", "a")
    kept = yaml.safe_load((run / "config.yaml").read_text())["data"]["init_args"]
    assert (kept["sensor_size"], kept["image_shape"], kept["judged"]) == ([34, 34], [5, 4], False)
    root.rename(tmp_path / "gone")
    again = rebuild(Run(run))
    assert again.datamodule.input_shape == (2, 34, 34)
    assert again.model.signal == Image((5, 4))


@pytest.mark.parametrize("fault", ["bytes", "size", "image"])
def test_faults_of_files_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    root = folder_of_recordings(tmp_path / "mine")
    wrong = root / "validation" / "1.npz"
    if fault == "bytes":
        wrong.write_bytes(b"\0junk")
    if fault == "size":
        make.write_npz(wrong, make.of([0, 40], [0, 40], [0, 1], [1, 1], (41, 41)))
    if fault == "image":
        wrong = root / "validation" / "0.png"
        wrong.write_bytes(b"junk")
    args = ["--config", "recordings", "--data.root", str(root), "--data.num_steps", "8"]
    assert fit.main([*args, *TINY]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    make.one_line(line, "vdib: ", str(wrong))
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (MNISTDVSData, {"num_steps": 1}, "num_steps >= 2"),
        (MNISTDVSData, {"step_ms": 0.0001}, "step_ms >= 0.001"),
        (NMNISTData, {"batch_size": 0}, "batch_size >= 1"),
        (NMNISTData, {"workers": 0}, "workers: got 0"),
        (NMNISTData, {"real_weight": 0}, "real_weight: got 0"),
        (EventFolderData, {"root": "x", "crop": (0, 0, 2, 2), "follow": (2, 2)}, "one of the two"),
    ],
)
def test_settings_are_checked(kind: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**given)


def test_the_cache_is_used_between_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a cached data set only the first recording is made, to see that the camera is the same."""
    made: list[int] = []
    camera = simulated.mnist_dvs_recording
    monkeypatch.setattr(
        simulated,
        "mnist_dvs_recording",
        lambda image, seed, **more: made.append(seed) or camera(image, seed, **more),
    )
    sizes = {**SIZES, "cache": True}
    first, second = (MNISTDVSData(num_steps=4, **sizes).split("test") for _ in range(2))
    assert np.array_equal(first.neuron, second.neuron)
    assert made == [made[0], *made[1:5], made[0]]
    assert len(set(made)) == 4
