"""MNIST on disk: which images are in which split, and one line for everything that is wrong."""

import os
import pickle
import struct
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torchvision.datasets import MNIST as Files

from vdib.datasets.digits import Digits
from vdib.datasets.mnist import MNIST, training_images

GOLDEN_TRAINING = "741c988805d008ac"
DATA = os.environ.get("VDIB_DATA")
RAW = Path("mnist", "MNIST", "raw")
real = pytest.mark.skipif(
    not DATA or not (Path(DATA) / RAW / "train-images-idx3-ubyte").is_file(),
    reason="MNIST is not shipped: set VDIB_DATA to a folder that has mnist/MNIST/raw",
)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty VDIB_DATA, an empty cache, and mirrors that cannot be reached."""
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("VDIB_DATA", str(data))
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    monkeypatch.setattr(Files, "mirrors", [(tmp_path / "no-mirror").as_uri() + "/"])
    return data


def blank_files(raw: Path) -> None:
    """MNIST's four files, right in shape, with nothing but zeros in them."""
    raw.mkdir(parents=True)
    for name, count in (("train", 60_000), ("t10k", 10_000)):
        images = struct.pack(">4I", 0x803, count, 28, 28) + bytes(count * 784)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(images)
        labels = struct.pack(">2I", 0x801, count) + bytes(count)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(labels)


@real
def test_splits_are_the_documented_ranges():
    train, validation, test = (MNIST(name, False) for name in ("train", "validation", "test"))
    assert torch.equal(train.ids, torch.arange(5_000, 60_000))
    assert torch.equal(validation.ids, torch.arange(5_000))
    assert torch.equal(test.ids, torch.arange(60_000, 70_000))
    # the first labels of MNIST's training and test files, known to everyone who opened them
    assert validation.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    whole = torch.cat([validation.images, train.images])
    assert abs(whole.double().mean() / 255 - 0.1307) < 5e-5
    assert sha256(whole.numpy().tobytes()).hexdigest().startswith(GOLDEN_TRAINING)
    assert torch.equal(training_images(12_000, 60_000, False).images, train.images[7_000:])
    assert len(pickle.dumps(validation)) < 1.03 * 5_000 * (784 + 16)


@real
def test_the_judge_saw_none_of_the_shipped_digits():
    first = {image.tobytes() for image in training_images(0, 12_000, False).images.numpy()}
    for split in ("train", "validation", "test"):
        assert all(image.tobytes() in first for image in Digits(split).images.numpy())


def test_files_in_vdib_data_are_read_in_place(nowhere):
    blank_files(nowhere / RAW)
    assert len(MNIST("test", download=False)) == 10_000


def test_cache_is_used_where_vdib_data_has_no_mnist(nowhere):
    blank_files(nowhere.parent / "cache" / "vdib" / RAW)
    assert len(training_images(10, 30)) == 20


def test_absent_says_which_files_to_put_where(nowhere):
    with pytest.raises(FileNotFoundError) as caught:
        MNIST("test", download=False)
    line = str(caught.value)
    assert "\n" not in line
    assert str(nowhere / RAW) in line
    for part in ("train", "t10k"):
        assert f"{part}-images-idx3-ubyte, {part}-labels-idx1-ubyte" in line


def test_failed_download_is_one_line_and_leaves_vdib_data_alone(nowhere, capsys):
    with pytest.raises(FileNotFoundError, match=r"^[^\n]*put train-images[^\n]*$") as caught:
        MNIST("test")
    assert caught.value.__suppress_context__
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize("damage", ["short", "magic", "count"])
def test_damaged_file_is_named(nowhere, damage):
    blank_files(nowhere / RAW)
    path = nowhere / RAW / "t10k-images-idx3-ubyte"
    whole = path.read_bytes()
    header = {"magic": struct.pack(">4I", 0x802, 10_000, 28, 28), "count": whole[:4] + bytes(12)}
    path.write_bytes(whole[:-1] if damage == "short" else header[damage] + whole[16:])
    with pytest.raises(OSError, match=r"^[^\n]*t10k-images-idx3-ubyte is damaged[^\n]*$"):
        MNIST("test", download=False)


def test_refuses_unknown_splits_and_ranges():
    with pytest.raises(ValueError, match="got 'val', expected"):
        MNIST("val")
    with pytest.raises(ValueError, match=r"got 5\.\.60001"):
        training_images(5, 60_001)
