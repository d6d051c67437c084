"""Runs of `vdib.fit` as small as they get: 3 batches an epoch, 20-8 neurons, 6 steps."""

import csv
import json
from pathlib import Path

import torch

from vdib import fit

SIZES = [
    *("--model.hidden", "[20]", "--model.num_readout", "8", "--data.num_steps", "6"),
    *("--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1"),
    *("--trainer.limit_test_batches", "1", "--trainer.log_every_n_steps", "1"),
    *("--trainer.enable_progress_bar", "false"),
]
TINY = [*SIZES, "--figures_every", "-1"]


def run(name, *args, epochs=1, status=0):
    """`vdib.fit` under a name; its folder."""
    words = ["--name", name, "--trainer.max_epochs", str(epochs)]
    assert fit.main([*TINY, *words, *args]) == status
    return Path("runs", "naturalise_digits", name)


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def weights(folder, which="last"):
    path = folder / "checkpoints" / f"{which}.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def said(capsys):
    """The only line on stderr."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vdib: ")
    return line.removeprefix("vdib: ")
