"""How a `VDIB` model is started and optimised, and what stops it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vdib.bottleneck import Bottleneck
from vdib.distillation import Teacher
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.lightning_modules.guard import why_gradient, why_loss
from vdib.lightning_modules.measured_module import MeasuredModule
from vdib.lightning_modules.optimizers import Optimizing
from vdib.lightning_modules.schedule import Schedule, follow_length, follow_peaks
from vdib.noise import EVALUATION, Noise
from vdib.runs.checkpoint import read_checkpoint, take_weights
from vdib.runs.folder import checkpoint_of
from vdib.sparse import Spikes


class TrainedModule(MeasuredModule):
    """A module that holds a model and optimises it.

    Attributes:
        optimizer: Adam or a relative of it.
        lr: its peak learning rate.
        encoder_lr: the encoder's.
        schedule: of both over a training.
        updates_per_batch: of the weights.
        calibrate: scale freshly drawn weights on a batch.
        encoder_gain: of the readout's, that scale.
        rho: firing probability per step that the readout then starts from.
        init_from: a run, or a checkpoint, whose weights to start from.
        seed: of the noise.
        teacher: of soft labels, if any: trained before the model is, on the same split.
        teacher_accuracy: the share of the validation examples that it is right about.
    """

    teacher: Teacher | None = None
    teacher_accuracy: float | None = None
    optimizer: Optimizing
    lr: float
    encoder_lr: float
    schedule: Schedule
    updates_per_batch: int = 1
    calibrate: bool
    encoder_gain: float
    rho: float
    init_from: str | None
    seed: int

    @property
    def data(self) -> DataModule[Any]:
        data: DataModule[Any] = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        # Before a checkpoint is restored.
        if self.init_from is None:
            self.start(self.data)
        else:
            path = checkpoint_of(Path(self.init_from))
            take_weights(self, read_checkpoint(path), path)
        if self.teacher is not None:
            seen = self._examples("validation")
            self.teacher_accuracy = self.teacher.fit(self._examples("train"), seen, self.seed)
            self.vdib.teacher = self.teacher

    def _examples(self, split: str) -> Iterator[tuple[Spikes, Tensor]]:
        examples = self.data.split(split)
        for start in range(0, len(examples), 100):
            some = examples.__getitems__(range(start, min(start + 100, len(examples))))
            batch = self.data.code(some, EVALUATION)
            yield batch.spikes, batch.target

    def start(self, data: DataModule[Any]) -> None:
        """Bring freshly drawn weights to where training had better start."""
        if self.calibrate:
            spikes = data.examples("train", 256).spikes
            self.vdib.encoder.calibrate(spikes, self.rho, self.encoder_gain)
        self.vdib.decoder.start_from(data.constant())

    def training_loss(
        self, batch: SpikeBatch, noise: Noise, progress: float = 1.0
    ) -> tuple[Tensor, Bottleneck]:
        """A scalar to differentiate, and what it was made from."""
        weights = self.training_weights(batch.spikes.shape[1])
        return self.vdib.training_loss(
            batch.spikes, batch.target, noise, weights, progress, batch.looks
        )

    def training_weights(self, num_steps: int) -> Tensor | None:
        """What the costs of each step count in training, `(T,)`, where every step is decoded."""
        return None

    def training_step(self, batch: SpikeBatch, batch_idx: int) -> Tensor | None:
        noise = Noise(self.seed, self.global_step, batch.id)
        surrogate_loss, out = self.training_loss(batch, noise, self.progress)
        loss = out.loss(self.vdib.beta).detach()
        self.check_loss(surrogate_loss, float(loss), batch)
        weight = self.data.weight(batch_idx)
        for state in self.vdib.estimator.buffers():  # averages over earlier batches
            state.copy_(self.trainer.strategy.reduce(weight * state, reduce_op="mean"))
        self.log("train/loss", weight * loss, prog_bar=True, sync_dist=True)
        return weight * surrogate_loss

    def check_loss(self, loss: Tensor, value: float, batch: SpikeBatch) -> None:
        """Raise a `FloatingPointError` that says why, where a loss is not finite.

        Args:
            loss: what is to be differentiated.
            value: of the loss itself.
            batch: that it is of.
        """
        if not torch.isfinite(loss):
            weights, precision = self.vdib.named_parameters(), str(self.trainer.precision)
            raise FloatingPointError(why_loss(self.global_step, value, weights, batch, precision))

    def on_train_start(self) -> None:
        for config in self.trainer.lr_scheduler_configs:
            follow_length(config.scheduler, self._steps)
            follow_peaks(config.scheduler, self._peaks)
        if not math.isfinite(self.trainer.estimated_stepping_batches):
            for name, asked in self._by_progress().items():
                if asked:
                    raise ValueError(f"{name}: when does training end? set --trainer.max_epochs")
        if self.pruning is not None:
            self.pruning.begin()

    def _by_progress(self) -> dict[str, bool]:
        """Settings that follow the share of the training that is over, and which are asked for."""
        estimator = self.vdib.estimator
        return {
            "prune": self.pruning is not None,
            "warmup": self.vdib.price.warmup > 0,
            "estimator": estimator.firing(0.0) != estimator.firing(1.0),
        }

    @property
    def progress(self) -> float:
        """The share of the training that is over."""
        steps = self.trainer.estimated_stepping_batches * self.updates_per_batch
        return self.global_step / steps

    @property
    def may_be_best(self) -> bool:
        """Whether the weights of now may be chosen: not before all that are to go have gone."""
        return self.pruning is None or self.progress >= self.pruning.end

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.pruning is not None:
            self.pruning.after_update(self.progress)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            return  # which finds its scale by gradients that are not finite, and makes no such step
        if why := why_gradient(self.global_step, self.vdib.named_parameters()):
            raise FloatingPointError(why)

    def configure_optimizers(self) -> Any:
        encoder = [p for p in self.vdib.encoder.parameters() if p.requires_grad]
        parts = self.vdib.decoder, self.vdib.prior, self.vdib.estimator
        rest = [parameter for part in parts for parameter in part.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": rest},
            {"params": encoder, "lr": self.encoder_lr},
        ]
        # In mixed precision Lightning clips for no fused optimiser.
        fused = not (self.trainer.gradient_clip_val and "mixed" in str(self.trainer.precision))
        optimizer = self.optimizer([g for g in groups if g["params"]], self.lr, fused)
        self._steps = self.trainer.estimated_stepping_batches * self.updates_per_batch
        schedule = self.schedule(optimizer, self._steps)
        self._peaks = list(schedule.base_lrs)
        each_step = {"scheduler": schedule, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": each_step}

    def settings(self) -> dict[str, float | str]:
        """What the summary says beside what was measured."""
        return {} if self.teacher_accuracy is None else {"teacher_accuracy": self.teacher_accuracy}
