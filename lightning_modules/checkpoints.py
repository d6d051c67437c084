"""Checkpoints: when they are written, and that they are whole."""

import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins import TorchCheckpointIO
from pytorch_lightning.trainer.states import TrainerFn

from vdib.files import replacing
from vdib.runs.checkpoint import VERSION
from vdib.version import __version__


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint in the place of the old one only once it has reached the disk.

    Lightning's own goes through the folder for temporary files: from another file system it is
    copied, and a disk that fills up meanwhile takes the old checkpoint along.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        # In memory first: to a full disk PyTorch's writer answers with an error of its own.
        content = io.BytesIO()
        torch.save({**checkpoint, VERSION: __version__}, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(content.getbuffer())


class Checkpoint(ModelCheckpoint):
    """The best epoch by a monitored value, in a folder that may be moved.

    Args:
        path: of the checkpoint.
        monitor: what is to be lowest; none for the latest epoch.
    """

    def __init__(self, path: Path, monitor: str | None = None, **settings: Any) -> None:
        super().__init__(path.parent, path.stem, monitor, enable_version_counter=False, **settings)

    def _save_topk_checkpoint(self, trainer: Trainer, monitor_candidates: Any) -> None:
        # An encoder that is yet to lose weights is not the one that was asked for.
        if self.monitor is None or getattr(trainer.lightning_module, "may_be_best", True):
            super()._save_topk_checkpoint(trainer, monitor_candidates)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = Path(self.dirpath or "", f"{self.filename}.ckpt")
        if not here.is_file():  # begun from another run's checkpoint
            return
        score = state_dict["best_model_score"]
        best = {} if score is None else {str(here): score}
        paths = {"best_model_path": str(here), "dirpath": self.dirpath, "best_k_models": best}
        kth = {"kth_best_model_path": str(here) if best else ""}
        super().load_state_dict({**state_dict, **paths, **kth})

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        for name, weight in trainer.lightning_module.named_parameters():
            if not torch.isfinite(weight).all():
                raise FloatingPointError(
                    f"{name} is not finite at step {trainer.global_step}: not saved"
                )
        for logger in trainer.loggers:  # or a run that is killed goes on without its last rows
            logger.save()
        super()._save_checkpoint(trainer, filepath)


class Latest(Checkpoint):
    """Where training is: saved at the end of each epoch, and between batches every few minutes.

    Whatever it was saved at, a run that goes on from it makes the same steps as one that was never
    stopped. Between batches is before the first hook of the next one: the step before has been
    logged. It is left out where Lightning could not go on alike: before the first batch of an
    epoch and just after a validation, which both have been saved, and within the accumulation of
    gradients.

    Args:
        path: of the checkpoint.
        minutes: between two, at least; None for the ends of epochs only.
        clock: seconds.

    Attributes:
        stopped_by: what is to end the training once it has been saved, if anything.
        stepping: whether steps are being made.
    """

    def __init__(
        self, path: Path, minutes: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(path, save_on_train_epoch_end=True)
        self.seconds = math.inf if minutes is None else 60 * minutes
        self.clock = clock
        self.stopped_by: BaseException | None = None
        self.stepping = False

    def stop(self, reason: BaseException) -> bool:
        """Have this raised once the step that is being made has been saved.

        Returns:
            False where it is not to be waited for: outside of training steps, or asked before.
        """
        if self.stopped_by is not None or not self.stepping:
            return False
        self.stopped_by = reason
        return True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.saved, self.stepping = self.clock(), True
        loop = trainer.fit_loop.epoch_loop
        if loop.batch_progress.current.completed == 0:
            # Under `max_steps`, Lightning would go on within the epoch that had come to its end.
            loop.restarting = False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        here = _between_steps(trainer)
        due = self.stopped_by is not None or self.clock() - self.saved >= self.seconds
        if trainer.strategy.reduce_boolean_decision(due, all=False) and here:
            self._save_topk_checkpoint(trainer, {})
            self.saved = self.clock()
        if here or batch_idx == 0:
            self._stop()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stepping = False  # of a validation nothing is kept before it ends

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        self.stepping = trainer.state.fn == TrainerFn.FITTING

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stepping = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self.saved = self.clock()
        self._stop()

    def _stop(self) -> None:
        if self.stopped_by is not None:
            raise self.stopped_by

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Count what is complete: within its hooks Lightning has counted half of a step."""
        loops = checkpoint["loops"]["fit_loop"]
        epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
        if epochs["current"]["completed"] < epochs["current"]["processed"]:  # at an epoch's end
            for counted in (epochs["current"], epochs["total"]):
                counted["completed"] = counted["processed"]
            batches["current"] = dict.fromkeys(batches["current"], 0)
            batches["is_last_batch"] = False
        elif batches["current"]["started"] < batches["current"]["ready"]:  # before a batch
            for counted in (batches["current"], batches["total"]):
                counted["ready"] = counted["started"]
            batches["is_last_batch"] = False


def _between_steps(trainer: Trainer) -> bool:
    """Whether Lightning, at the start of a batch, would go on from here as if not stopped."""
    progress, every = trainer.fit_loop.epoch_loop.batch_progress, trainer.val_check_batch
    batch = progress.current.completed
    counted = progress.total.completed if trainer.check_val_every_n_epoch is None else batch
    validated = every is not None and math.isfinite(every) and counted % every == 0
    accumulating = batch % trainer.accumulate_grad_batches > 0
    return batch > 0 and not (validated or accumulating)
