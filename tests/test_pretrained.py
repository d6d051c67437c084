"""The runs that ship are made by one command, and go by their names."""

from pathlib import Path

import pytest
import torch
from test_benchmarks import script as script
from tiny_runs import TINY

import vdib
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
