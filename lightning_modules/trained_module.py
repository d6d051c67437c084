"""How a `VDIB` model is started and optimised, and what stops it."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from vdib.distillation import Teacher
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.lightning_modules.schedule import Schedule, follow_length, follow_peaks
from vdib.model import VDIB, Bottleneck
from vdib.neurons.layer import spiking
from vdib.noise import EVALUATION, Noise
from vdib.pruning import Pruning
from vdib.runs.folder import checkpoint_of, read_checkpoint, take_weights
from vdib.sparse import Spikes


class TrainedModule(LightningModule):
    """A module that holds a model and optimises it.

    Attributes:
        vdib: the model.
        lr: peak learning rate of Adam.
        encoder_lr: the encoder's.
        schedule: of both over a training.
        updates_per_batch: of the weights.
        calibrate: scale freshly drawn weights on a batch.
        encoder_gain: of the readout's, that scale.
        rho: firing probability per step that the readout then starts from.
        init_from: a run, or a checkpoint, whose weights to start from.
        seed: of the noise.
        pruning: of the encoder's weights, if any.
        teacher: of soft labels, if any: trained before the model is, on the same split.
        teacher_accuracy: the share of the validation examples that it is right about.
    """

    vdib: VDIB
    pruning: Pruning | None = None
    teacher: Teacher | None = None
    teacher_accuracy: float | None = None
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
            splits = [self._examples(name) for name in ("train", "validation")]
            self.teacher_accuracy = self.teacher.fit(*splits, seed=self.seed)
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

    def training_loss(self, batch: SpikeBatch, noise: Noise) -> tuple[Tensor, Bottleneck]:
        """A scalar to differentiate, and what it was made from."""
        return self.vdib.training_loss(batch.spikes, batch.target, noise)

    def training_step(self, batch: SpikeBatch, batch_idx: int) -> Tensor | None:
        noise = Noise(self.seed, self.global_step, batch.id)
        surrogate_loss, out = self.training_loss(batch, noise)
        loss = out.loss(self.vdib.beta).detach()
        if not torch.isfinite(surrogate_loss):
            raise FloatingPointError(f"the loss is {float(loss)} at step {self.global_step}")
        self.log("train/loss", loss, prog_bar=True)
        return surrogate_loss

    def on_train_start(self) -> None:
        for config in self.trainer.lr_scheduler_configs:
            follow_length(config.scheduler, self._steps)
            follow_peaks(config.scheduler, self._peaks)
        if self.pruning is not None:
            if not math.isfinite(self.trainer.estimated_stepping_batches):
                raise ValueError("prune: when does training end? set --trainer.max_epochs")
            self.pruning.begin()

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
        grads = [p.grad for p in self.vdib.parameters() if p.grad is not None]
        if not torch.isfinite(nn.utils.get_total_norm(grads)):
            raise FloatingPointError(f"a gradient is not finite at step {self.global_step}")

    def log_figures(self, stage: str, figures: Mapping[str, Tensor | float], count: int) -> None:
        """Means over the epoch of what `count` examples of a batch measured.

        What counts spikes is left out where a layer has none, but real numbers.
        """
        encoder = self.vdib.encoder
        counts = [] if spiking(encoder.readout) else ["spikes_", "readout_rate", "code_length"]
        counts += [] if all(map(spiking, encoder.layers)) else ["hidden_"]
        figures = {k: v for k, v in figures.items() if not k.startswith(tuple(counts))}
        self.log_dict(
            {f"{stage}/{name}": value for name, value in figures.items()},
            batch_size=count,
            on_epoch=True,
            sync_dist=True,
        )

    def configure_optimizers(self) -> Any:
        encoder = [p for p in self.vdib.encoder.parameters() if p.requires_grad]
        rest = [*self.vdib.decoder.parameters(), *self.vdib.prior.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": rest},
            {"params": encoder, "lr": self.encoder_lr},
        ]
        # In mixed precision Lightning clips for no fused optimiser.
        fused = not (self.trainer.gradient_clip_val and "mixed" in str(self.trainer.precision))
        optimizer = torch.optim.Adam([g for g in groups if g["params"]], lr=self.lr, fused=fused)
        self._steps = self.trainer.estimated_stepping_batches * self.updates_per_batch
        schedule = self.schedule(optimizer, self._steps)
        self._peaks = list(schedule.base_lrs)
        each_step = {"scheduler": schedule, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": each_step}
