"""Limits of training that would end in a run without figures: said before it begins."""

from typing import Any

from vdib.runs.command import UserError


def check_limits(trainer: Any) -> None:
    """Raise a `UserError` for settings of a trainer under which there is nothing to evaluate."""
    why = {
        "train": "weights are to be trained",
        "val": "the best epoch is chosen on validation data",
        "test": "the summary is of test data",
    }
    for part, reason in why.items():
        name = f"limit_{part}_batches"
        if trainer[name] is not None and not trainer[name] > 0:
            raise UserError(f"--trainer.{name}: got {trainer[name]}, expected some: {reason}")
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if every is not None and epochs is not None and 0 < epochs < every:
        raise UserError(
            f"--trainer.check_val_every_n_epoch: got {every} of {epochs} epochs, expected "
            f"{epochs} at most: {why['val']}"
        )
