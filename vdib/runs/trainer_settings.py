"""A run's Trainer: settings under which it comes to nothing, and what it keeps of a training."""

from dataclasses import dataclass, field
from typing import Any

from pytorch_lightning.callbacks import Timer
from pytorch_lightning.plugins import CheckpointIO

from vdib.lightning_modules.activity import Activity
from vdib.lightning_modules.callbacks import Metrics
from vdib.lightning_modules.checkpoints import Checkpoint, Latest, WholeCheckpoints
from vdib.runs.command import UserError
from vdib.runs.folder import Run
from vdib.runs.stopping import SavedFirst


def check_trainer(trainer: Any, minutes: float) -> None:
    """Raise a `UserError` where nothing would be evaluated, or potentials be rounded.

    Args:
        trainer: its settings.
        minutes: between checkpoints.
    """
    if not minutes >= 0:
        raise UserError(f"--checkpoint_every_minutes: got {minutes}, expected 0 or more")
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


@dataclass(frozen=True)
class Kept:
    """What a training leaves in its run's folder, and who sees to it.

    Attributes:
        metrics: writes `metrics.csv`.
        best: the checkpoint of the best epoch; None in a rehearsal.
        callbacks: of the trainer.
    """

    metrics: Metrics
    best: Checkpoint | None = None
    callbacks: list[Any] = field(default_factory=list)


def set_up(trainer: dict[str, Any], run: Run, minutes: float) -> Kept:
    """What is kept of a training; what else it needs goes into the trainer's settings.

    Args:
        trainer: its settings, which are changed.
        run: the run's folder.
        minutes: between checkpoints; 0 for those of epochs only.
    """
    metrics = Metrics(run.folder, name="", version="")
    trainer["logger"] = [metrics, *_listed(trainer["logger"])]
    plugins = _listed(trainer["plugins"])
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        trainer["plugins"] = [*plugins, WholeCheckpoints()]
    if trainer["fast_dev_run"]:  # Lightning keeps nothing, and times nothing
        return Kept(metrics)
    best = Checkpoint(run.best, monitor="val/loss")
    # Apart, because Lightning's `save_last` only saves when `best` does.
    latest = Latest(run.last, minutes or None)
    made: list[Any] = [best, latest, SavedFirst(latest), Activity()]
    if not any(isinstance(callback, Timer) for callback in _listed(trainer["callbacks"])):
        # Lightning adds none for `max_time` where there is one: this one has to keep it.
        made.insert(0, Timer(trainer["max_time"]))
    return Kept(metrics, best, made)


def _listed(given: Any) -> list[Any]:
    if isinstance(given, bool):  # Lightning's own
        return []
    return given if isinstance(given, list) else [] if given is None else [given]
