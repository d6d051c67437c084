"""What the experiments share: training, checking and optimising a `VDIB` model.

Legend: B batch, T steps, N_y readout neurons.
"""

import math
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from vdib.credit import BPTT, DirectFeedback, EProp
from vdib.decoder import CNNDecoder, LogisticDecoder, MLPDecoder
from vdib.dynamics import surrogate as surrogates
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.estimator import Estimator, LeaveOneOut, RelaxedBernoulli, ScoreFunction, StraightThrough
from vdib.model import VDIB, Bottleneck
from vdib.noise import Noise
from vdib.prior import AutoregressivePrior, BernoulliPrior, MarginalPrior
from vdib.runs.folder import checkpoint_of, read_checkpoint, take_weights
from vdib.spikes import Spikes
from vdib.window import BasisWindow, FullWindow, RateWindow

# What the words of the command line stand for.
DECODERS = {"logistic": LogisticDecoder, "mlp": MLPDecoder, "cnn": CNNDecoder}
WINDOWS = {"full": FullWindow, "basis": BasisWindow, "rate": RateWindow}
PRIORS = {"bernoulli": BernoulliPrior, "marginal": MarginalPrior, "past": AutoregressivePrior}
ESTIMATORS: dict[str, Callable[[int], Estimator]] = {
    "straight_through": lambda num_steps: StraightThrough(),
    "relaxed": lambda num_steps: RelaxedBernoulli(),
    "leave_one_out": lambda num_steps: LeaveOneOut(),
    "score": ScoreFunction,
}


class SpikeBatch(NamedTuple):
    """Spikes and what they are to be turned into.

    Attributes:
        spikes: `(B, T, *N)`, dense or as lists.
        target: `(B, ...)`, the natural signal r.
        label: `(B,)` class.
        id: `(B,)` stable id of the example.
    """

    spikes: Spikes
    target: Tensor
    label: Tensor
    id: Tensor

    def to(self, device: torch.device | str) -> "SpikeBatch":
        """The same batch on another device."""
        target, label, id = (field.to(device) for field in self[1:])
        return SpikeBatch(self.spikes.to(device), target, label, id)


class SpikeData(Protocol):
    """What a module asks of its data module."""

    def examples(self, split: Any, count: int) -> SpikeBatch:
        """The first examples of a split (all where there are fewer), as evaluation codes them."""

    def mean_target(self) -> Tensor:
        """The mean of the training targets."""

    def split(self, name: Any) -> Any:
        """The examples of a split; it has a length."""


def chosen_encoder(
    input_shape: Sequence[int],
    num_readout: int,
    hidden: Sequence[int],
    conv: Sequence[int],
    surrogate: str,
    credit: str,
    seed: int,
    num_kernels: int = 8,
) -> SpikingEncoder:
    """An encoder of the reference neurons, with surrogate and credit rule by their names."""
    sizes = {"hidden": hidden, "conv": conv, "num_readout": [num_readout]}
    for name, values in sizes.items():
        if any(value < 1 for value in values):
            raise ValueError(f"{name}: got {min(values)}, expected at least 1")
    encoder = build_encoder(tuple(input_shape), num_readout, hidden, conv, num_kernels)
    encoder.threshold = surrogates.Threshold(getattr(surrogates, surrogate))
    widths = [math.prod(layer.shape) for layer in encoder.layers]
    rules: dict[str, Callable[[], BPTT]] = {
        "bptt": BPTT,
        "eprop": EProp,
        "dfa": partial(DirectFeedback, widths, num_readout, seed),
    }
    encoder.credit = rules[credit]()
    return encoder


def chosen_window(window: str, steps: int, num_basis: int) -> FullWindow:
    """A window over the last `steps` steps by its name."""
    return WINDOWS[window](steps, **({"num_features": num_basis} if window == "basis" else {}))


def chosen_prior(prior: str, num_readout: int, rho: float) -> nn.Module:
    """A prior by its name, starting from `rho` spikes per step."""
    return BernoulliPrior(rho) if prior == "bernoulli" else PRIORS[prior](num_readout, rho)


class VDIBModule(LightningModule):
    """Trains a `VDIB` model; what is measured and drawn is the business of the experiment.

    Args:
        vdib: the model.
        num_steps: T.
        rho: firing probability per step that the readout starts from.
        lr: peak learning rate of Adam, which falls to zero along a cosine.
        encoder_lr: the encoder's, where it is to differ.
        seed: of the noise.
        init_from: a run, or a checkpoint, whose weights to start from.

    Attributes:
        TABLE: what a run is summed up by: keys of its summary, and their words.
        PLANE: what of the validation figures are rate (bits) and distortion (nats), and per what.
        updates_per_batch: of the weights.
    """

    TABLE: ClassVar[Mapping[str, str]]
    PLANE: ClassVar[tuple[str, str, str]] = ("rate_bits", "distortion_nats", "sample")
    updates_per_batch: int = 1
    marginal: Tensor

    def __init__(
        self,
        vdib: VDIB,
        num_steps: int,
        rho: float,
        lr: float,
        encoder_lr: float | None,
        seed: int,
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        if not lr > 0 or not (encoder_lr is None or encoder_lr >= 0):
            raise ValueError(f"lr and encoder_lr: got {lr} and {encoder_lr}, expected above 0")
        self.vdib = vdib
        self.rho = rho
        self.lr = lr
        self.encoder_lr = lr if encoder_lr is None else encoder_lr
        self.seed = seed
        self.init_from = None if init_from is None else os.path.abspath(init_from)
        # Firing probabilities of the code averaged over the validation set, per step and neuron.
        readout = vdib.encoder.num_readout
        self.register_buffer("marginal", torch.full((num_steps, readout), rho))

    @abstractmethod
    def evaluate(self, stage: str, batch: SpikeBatch) -> Tensor:
        """Measure a batch, log `{stage}/...` and return the code's logits `(B, T, N_y)`."""

    @abstractmethod
    def figures(self, batch: SpikeBatch) -> dict[str, Figure]:
        """What a run shows of some examples, by file name without `.png`."""

    @abstractmethod
    def constant(self, data: Any) -> tuple[str, float]:
        """What the best constant answer on the validation data is called, and costs in nats."""

    def settings(self) -> dict[str, float | str]:
        """What the summary says beside what was measured."""
        return {}

    def training_loss(self, batch: SpikeBatch, noise: Noise) -> tuple[Tensor, Bottleneck]:
        """A scalar to differentiate, and what it was made from."""
        return self.vdib.training_loss(batch.spikes, batch.target, noise)

    @property
    def data(self) -> SpikeData:
        data: SpikeData = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        # Before a checkpoint is restored.
        if self.init_from is None:
            self.start(self.data)
        else:
            self._take_weights(Path(self.init_from))

    def start(self, data: SpikeData) -> None:
        """Bring freshly drawn weights to where training had better start."""
        self.vdib.encoder.calibrate(data.examples("train", 256).spikes, self.rho)

    def _take_weights(self, path: Path) -> None:
        path = checkpoint_of(path)
        take_weights(self, read_checkpoint(path), path)

    def on_train_start(self) -> None:
        # A checkpoint restores the learning rates that it was trained with over those of now.
        for schedule in (config.scheduler for config in self.trainer.lr_scheduler_configs):
            assert isinstance(schedule, LambdaLR)
            if schedule.base_lrs != self._peaks:
                schedule.base_lrs = self._peaks
                groups = schedule.optimizer.param_groups
                for group, peak, part in zip(groups, self._peaks, schedule.lr_lambdas, strict=True):
                    group["lr"] = peak * part(schedule.last_epoch)

    def training_step(self, batch: SpikeBatch, batch_idx: int) -> Tensor | None:
        noise = Noise(self.seed, self.global_step, batch.id)
        surrogate_loss, out = self.training_loss(batch, noise)
        loss = out.loss(self.vdib.beta).detach()
        if not torch.isfinite(surrogate_loss):
            raise FloatingPointError(f"the loss is {float(loss)} at step {self.global_step}")
        self.log("train/loss", loss, prog_bar=True)
        return surrogate_loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        grads = [p.grad for p in self.vdib.parameters() if p.grad is not None]
        if not torch.isfinite(nn.utils.get_total_norm(grads)):
            raise FloatingPointError(f"a gradient is not finite at step {self.global_step}")

    def on_validation_epoch_start(self) -> None:
        self._probabilities = torch.zeros_like(self.marginal)
        self._count = self.marginal.new_zeros(())

    def validation_step(self, batch: SpikeBatch, batch_idx: int) -> None:
        logits = self.evaluate("val", batch)
        self._probabilities += torch.sigmoid(logits).sum(0)
        self._count += len(batch.id)

    def on_validation_epoch_end(self) -> None:
        reduce = self.trainer.strategy.reduce
        total = reduce(self._probabilities, reduce_op="sum")
        self.marginal = (total / reduce(self._count, reduce_op="sum")).clamp(1e-6, 1 - 1e-6)

    def test_step(self, batch: SpikeBatch, batch_idx: int) -> None:
        self.evaluate("test", batch)

    def log_figures(self, stage: str, figures: Mapping[str, Tensor | float], count: int) -> None:
        """Means over the epoch of what a batch of `count` examples measured."""
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
        trainer = self.trainer  # in mixed precision Lightning clips for no fused optimiser
        fused = not (trainer.gradient_clip_val and "mixed" in str(trainer.precision))
        optimizer = torch.optim.Adam([g for g in groups if g["params"]], lr=self.lr, fused=fused)
        # Where nothing says when training ends, the rate stays at its peak: cos(0).
        total = max(1, self.trainer.estimated_stepping_batches) * self.updates_per_batch
        schedule = LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step, total) / total))
        )
        self._peaks = list(schedule.base_lrs)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
