"""A trained run, built again from its folder."""

import os
from pathlib import Path
from typing import Any

import torch

from vdib.model import VDIB
from vdib.runs.checkpoint import take_weights
from vdib.runs.cli import VDIBCLI, parse
from vdib.runs.command import UserError
from vdib.runs.exported import run_at
from vdib.runs.folder import Run


def load(run: str | os.PathLike[str]) -> VDIB:
    """The model of a run, with its best weights, for evaluation; plain PyTorch.

        model = vdib.load("runs/naturalise_digits/mine")
        stream = model.stream(seed=0)

    Args:
        run: the folder that `python -m vdib.fit` left, or `vdib.export --to safetensors`; or the
            name of a run that ships with the package.

    Raises:
        ValueError: no finished run, a damaged file, or one of another version (one line, which
            names the file).
    """
    found = run_at(Path(run))
    cli = rebuild(found)
    take_best(cli, found)
    model: VDIB = cli.model.vdib
    return model


def rebuild(run: Run) -> VDIBCLI:
    """Model and data of a finished run, whatever machine trained it; its weights are yet to come.

    Raises:
        UserError: it is not finished, damaged, or of another version (one line).
    """
    run.check_finished()
    settings = run.config()
    settings["trainer"] = _measuring(settings.get("trainer") or {})
    try:
        with torch.random.fork_rng():  # weights are drawn, to be replaced: that is not the caller's
            return parse(settings, run.folder)
    except UserError as error:
        words = f"{run.config_file}: {error}{run.of_another_version()}"
        raise UserError(words) from error


def take_best(cli: VDIBCLI, run: Run) -> None:
    """Give the model of a run the weights that were best on validation data, for evaluation."""
    state = run.best_weights()
    take_weights(cli.model, state, run.best)
    of_data = state.get(type(cli.datamodule).__qualname__)
    if of_data is not None:  # what the data learned, as the vectors of words
        cli.datamodule.load_state_dict(of_data)
    cli.model.eval()


def _measuring(trainer: dict[str, Any]) -> dict[str, Any]:
    """What of a trainer's settings decides the figures that a run is summed up by."""
    names = ("limit_val_batches", "limit_test_batches", "precision", "enable_progress_bar")
    kept = {name: trainer[name] for name in names if name in trainer}
    if str(kept.get("precision")) in ("16", "16-mixed") and not torch.cuda.is_available():
        del kept["precision"]  # float16 is for GPUs
    return {**kept, "logger": False}
