"""Settings of a Trainer under which a run comes to nothing: said before it begins."""

from typing import Any

from vdib.runs.command import UserError


def check_trainer(trainer: Any) -> None:
    """Raise a `UserError` where nothing would be evaluated, or potentials be rounded."""
    if trainer.precision in ("bf16-true", "16-true"):
        mixed = trainer.precision.replace("true", "mixed")
        raise UserError(
            f"--trainer.precision {trainer.precision}: potentials and weights need single "
            f"precision; {mixed} rounds products only"
        )
    given = trainer.callbacks or []
    for callback in given if isinstance(given, list) else [given]:
        if str(getattr(callback, "class_path", "")).endswith(".LambdaCallback"):
            raise UserError(
                "--trainer.callbacks: LambdaCallback calls any function that a file names: write a "
                "callback of your own"
            )
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
