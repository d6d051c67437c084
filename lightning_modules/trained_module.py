"""How a `VDIB` model is optimised: Adam, its learning rates over a training, what stops it."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from vdib.lightning_modules.schedule import cosine, follow_peaks
from vdib.model import VDIB


class TrainedModule(LightningModule):
    """A module that holds a model and optimises it.

    Attributes:
        vdib: the model.
        lr: peak learning rate of Adam.
        encoder_lr: the encoder's.
        updates_per_batch: of the weights.
    """

    vdib: VDIB
    lr: float
    encoder_lr: float
    updates_per_batch: int = 1

    def on_train_start(self) -> None:
        for config in self.trainer.lr_scheduler_configs:
            follow_peaks(config.scheduler, self._peaks)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        grads = [p.grad for p in self.vdib.parameters() if p.grad is not None]
        if not torch.isfinite(nn.utils.get_total_norm(grads)):
            raise FloatingPointError(f"a gradient is not finite at step {self.global_step}")

    def log_figures(self, stage: str, figures: Mapping[str, Tensor | float], count: int) -> None:
        """Means over the epoch of what `count` examples of a batch measured."""
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
        steps = self.trainer.estimated_stepping_batches * self.updates_per_batch
        schedule = cosine(optimizer, steps)
        self._peaks = list(schedule.base_lrs)
        each_step = {"scheduler": schedule, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": each_step}
