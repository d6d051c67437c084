"""The shipped judge, on digits that it never saw, and its training on a few."""

import os
from importlib.resources import files
from pathlib import Path

import pytest
import safetensors.torch
import torch

from vdib.datasets.digits import Digits
from vdib.datasets.mnist import MNIST
from vdib.judge import main
from vdib.lenet5 import LeNet5, load_judge
from vdib.metrics import judge_accuracy
from vdib.runs.judge_training import jitter, save_judge, train_judge

DATA = os.environ.get("VDIB_DATA")
real = pytest.mark.skipif(
    not DATA or not Path(DATA, "mnist", "MNIST", "raw", "t10k-images-idx3-ubyte").is_file(),
    reason="MNIST is not shipped: set VDIB_DATA to a folder that has mnist/MNIST/raw",
)


@pytest.fixture(scope="module")
def digits():
    return Digits("test").all()


def test_shipped_weights_are_small_and_float32():
    packed = (files("vdib") / "judge.safetensors").read_bytes()
    assert len(packed) <= 300_000
    weights = safetensors.torch.load(packed)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert sum(weight.numel() for weight in weights.values()) == 61_706


def test_load_judge_is_frozen_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    judge = load_judge()
    assert torch.equal(torch.get_rng_state(), before)
    assert not judge.training
    assert not any(weight.requires_grad for weight in judge.parameters())


def test_judge_knows_the_shipped_digits(digits):
    assert judge_accuracy(load_judge(), digits.image, digits.label) >= 0.97


@real
def test_judge_knows_mnist():
    test = MNIST("test", download=False).all()
    assert judge_accuracy(load_judge(), test.image, test.label) >= 0.989


def test_logits_do_not_depend_on_the_batch(digits):
    judge = load_judge()
    together = judge(digits.image[:20])
    alone = torch.cat([judge(image[None]) for image in digits.image[:20]])
    torch.testing.assert_close(alone, together)
    with pytest.raises(ValueError, match=r"got \(28, 28\), expected \(B, 28, 28\)"):
        judge(digits.image[0])


def test_gradients_reach_the_image():
    # a decoder may be trained through the judge: frozen weights must not cut the graph. Noise,
    # because a digit's black ground puts every maximum pool on a tie, where there is no gradient
    noise = torch.rand(1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    judge = load_judge().double()
    assert torch.autograd.gradcheck(judge, noise.requires_grad_(), fast_mode=True)


def test_jitter_moves_little_and_keeps_the_range(digits):
    moved = jitter(digits.image, torch.Generator().manual_seed(0))
    assert moved.shape == digits.image.shape
    assert moved.amin() >= 0
    assert moved.amax() <= 1 + 1e-6

    def centre(image):
        column = torch.arange(28.0)
        return (image.sum(1) * column).sum(1) / image.sum((1, 2))

    # pull-back of scale >= 0.88 and shift <= 2.8 pixels, about the middle; half a pixel of slack
    assert (centre(moved) - centre(digits.image)).abs().amax() < 2.8 / 0.88 + 1.5
    assert not torch.equal(moved[0], digits.image[0])


def test_training_is_a_function_of_the_seed(digits):
    def train(seed):
        return train_judge(digits.image[:40], digits.label[:40], seed=seed, epochs=1, batch_size=16)

    before = torch.get_rng_state()
    first, again, other = train(3).state_dict(), train(3).state_dict(), train(4).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_training_learns(digits):
    judge = train_judge(digits.image, digits.label, seed=0, epochs=30, batch_size=50)
    assert judge_accuracy(judge, digits.image, digits.label) > 0.95
    with pytest.raises(ValueError, match="expected 1 or more"):
        train_judge(digits.image, digits.label, epochs=0)


def test_saving_replaces_the_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "judge.safetensors"
    judge = LeNet5()
    save_judge(judge, path)
    kept = path.read_bytes()
    assert torch.equal(safetensors.torch.load(kept)["conv1.weight"], judge.conv1.weight)

    def full(source, target):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        save_judge(LeNet5(), path)
    assert path.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [path]


def test_missing_data_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    from torchvision.datasets import MNIST as Files

    for name in ("VDIB_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(Files, "mirrors", [(tmp_path / "no-mirror").as_uri() + "/"])
    assert main([]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("vdib: downloading MNIST")
    assert lines[1].startswith("vdib: MNIST not found: put train-images-idx3-ubyte, ")


def test_wrong_options_are_refused_before_training(tmp_path, capsys):
    for options in (["--epochs", "0"], ["--train", "--out", str(tmp_path / "absent" / "judge")]):
        assert main(options) == 2
    assert "no folder" in capsys.readouterr().err


@real
def test_the_command_prints_accuracies_with_intervals(capsys):
    assert main([]) == 0
    rows = capsys.readouterr().out.splitlines()
    sizes = [["test", "10000"], ["validation", "5000"], ["digits", "500"]]
    assert [row.split()[:2] for row in rows[1:]] == sizes
    assert "98.80%" in rows[3]
    for row in rows[1:3]:
        accuracy, low, high = (float(word.rstrip("%")) for word in row.split() if "%" in word)
        assert 98 < low < accuracy < high < 100
