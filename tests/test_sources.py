"""Which digits simulated recordings show: apart in training, validation, test and judging."""

from typing import Any

import pytest
import recordings as make
import torch

from vdib.datasets import sources
from vdib.datasets.digits import Digits
from vdib.datasets.mnist import MNIST, training_images
from vdib.datasets.sources import class_images, source_images

real = make.real("mnist/MNIST/raw/train-images-idx3-ubyte")
SPLITS: Any = ("train", "validation", "test")


def images(found: Any) -> set[bytes]:
    return {image.tobytes() for image in found.images.numpy()}


@pytest.fixture
def without_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **settings: Any) -> Any:
        raise FileNotFoundError("MNIST not found: nowhere")

    for name in ("MNIST", "training_images"):
        monkeypatch.setattr(sources, name, missing)


@real
def test_splits_are_the_documented_ranges() -> None:
    found = {split: source_images(split, "mnist").ids for split in SPLITS}
    assert torch.equal(found["train"], torch.arange(12_000, 60_000))
    assert torch.equal(found["validation"], torch.arange(6_000, 12_000))
    assert torch.equal(found["test"], torch.arange(60_000, 70_000))


@real
def test_no_source_of_validation_or_test_was_seen_by_the_judge_or_is_trained_on() -> None:
    """The judge's are training images 12,000 to 59,999 (vdib.judge), as are training's sources."""
    judge = images(training_images(12_000, 60_000))
    assert images(source_images("train", "mnist")) <= judge
    for split in SPLITS[1:]:
        assert not judge & images(source_images(split, "mnist"))
        assert not judge & images(source_images(split, "digits"))


def test_shipped_digits_are_apart() -> None:
    train, validation, test = (images(source_images(split, "digits")) for split in SPLITS)
    assert not train & validation
    assert not (train | validation) & test


def test_falls_back_to_shipped_digits_and_says_so_once(
    without_mnist: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in SPLITS:
        assert torch.equal(source_images(split).images, Digits(split).images)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "vdib: using the 4,000 digits that come along: MNIST not found: nowhere"
    with pytest.raises(FileNotFoundError, match="MNIST not found"):
        source_images("train", "mnist")


@pytest.mark.parametrize("source", ["digits", pytest.param("mnist", marks=real)])
def test_class_images_are_training_sources_of_their_class(source: Any) -> None:
    chosen = class_images(source)
    assert chosen.shape == (10, 28, 28)
    train = source_images("train", source)
    for digit, image in enumerate(torch.from_numpy(chosen)):
        (rows,) = (train.images == image).flatten(1).all(1).nonzero(as_tuple=True)
        assert train.labels[rows].tolist() == [digit]
        these = train.images[train.labels == digit].flatten(1).double()
        distance = (these - these.mean(0)).square().sum(1)
        nearest = (image.flatten() - these.mean(0)).square().sum()
        assert nearest <= distance.min() * (1 + 1e-6)
    for split in SPLITS[1:]:
        assert not {image.tobytes() for image in chosen} & images(source_images(split, source))


@real
def test_class_images_are_no_sources_of_real_test_recordings() -> None:
    """N-MNIST's lie among MNIST's test images and below 1,000, MNIST-DVS's below 12,000."""
    chosen = {image.tobytes() for image in class_images("mnist")}
    assert not chosen & (images(training_images(0, 12_000)) | images(MNIST("test")))


@real
def test_shipped_digits_show_no_test_recording_of_mnist_dvs() -> None:
    """Recordings 801 to 1,000 of each class, for validation and testing."""
    from vdib.datasets.mnist_dvs import source_of

    late = source_of([(digit, number) for digit in range(10) for number in range(801, 1001)])
    assert not {image.tobytes() for image in late} & images(Digits("train"))


def test_words_are_checked() -> None:
    with pytest.raises(ValueError, match="split: got 'val', expected 'train'"):
        source_images("val")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="source: got 'emnist', expected 'auto'"):
        source_images("train", "emnist")  # type: ignore[arg-type]
