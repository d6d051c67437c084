"""The runs that ship are made by one command, and go by their names."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_benchmarks import script as script
from tiny_runs import TINY

import vdib
from vdib.datasets.camera.presets import mnist_dvs_recording, nmnist_recording
from vdib.datasets.digits import Digits
from vdib.lenet5 import load_judge
from vdib.naturalise.__main__ import main as naturalise
from vdib.runs import exported
from vdib.runs.folder import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def dtypes(folder):
    content = exported.ExportedRun(folder).content()
    return {tensor["dtype"] for tensor in content["tensors"].values()}


def test_one_command_makes_them(script, tmp_path, monkeypatch, capsys):
    pretrained = script("pretrained")
    monkeypatch.setattr(exported, "SHIPPED", tmp_path / "shipped")
    words = ["--config", "digits", *TINY, "--trainer.max_epochs", "1"]
    monkeypatch.setattr(pretrained, "RUNS", {"tiny": words})
    told = iter([0.9, 0.9, 0.9, 0.898])
    monkeypatch.setattr(pretrained, "accuracy", lambda run: next(told))
    args = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "shipped")]
    assert pretrained.main(args) == 0
    assert "tiny: judge accuracy 0.9000, in half precision 0.9000" in capsys.readouterr().out
    assert dtypes(tmp_path / "shipped" / "tiny") == {"torch.float16"}
    loaded = vdib.load("tiny").state_dict()
    trained = Path("runs", "pretrained", "tiny")
    before = Run(trained).best_weights()["state_dict"]
    for name, weight in loaded.items():
        assert torch.equal(weight, before[f"vdib.{name}"].half().float()), name
    # Again: it is not trained twice, and single where a right answer would be lost.
    assert pretrained.main([*args, "tiny"]) == 0
    assert dtypes(tmp_path / "shipped" / "tiny") == {"torch.float32"}
    with pytest.raises(SystemExit):
        pretrained.main(["other"])


def test_what_ships_can_be_loaded():
    assert "digits-dvs128" in exported.shipped()  # which commands take where no run is named
    for name in exported.shipped():
        assert vdib.load(name).encoder.num_readout > 0


def test_a_misspelt_name_is_told_which_ship(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert naturalise(["--run", "nmnst", "--out", "out", "x.bin"]) == 2
    told = capsys.readouterr().err
    assert "nmnst: no such folder, nor a run that ships: those are " in told
    assert "digits-dvs128, nmnist" in told
    (tmp_path / "nmnist").mkdir()  # a folder of the user's goes first
    assert naturalise(["--run", "nmnist", "--out", "out", "x.bin"]) == 2
    assert "ships" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ([], lambda image, i: mnist_dvs_recording(image, (0, i), any_phase=True)),
        (["--run", "nmnist"], lambda image, i: nmnist_recording(image, (0, i))),
    ],
)
def test_they_give_back_the_digits_that_were_seen(words, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = Digits("test").all()
    for i in range(10):
        events = made(digits.image[i].numpy(), i)
        np.savez(f"{i}.npz", **{name: getattr(events, name) for name in "xytp"})
    assert naturalise(["10.npz", "--out", "images", *words]) == 1  # there is none
    names = [f"{i}.npz" for i in range(10)]
    assert naturalise([*names, "--out", "images", *words]) == 0
    images = torch.stack([pixels(Path("images", f"{i}.png")) for i in range(10)])
    assert int((load_judge()(images).argmax(1) == digits.label[:10]).sum()) >= 9


def pixels(path):
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert("L"), np.float32)) / 255
