"""Spikes to images: the Lightning side of `vdib.model.VDIB`."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from vdib import surrogate as surrogates
from vdib.credit import BPTT, DirectFeedback, EProp
from vdib.decoder import CNNDecoder, Decoder, LogisticDecoder, MLPDecoder
from vdib.encoder import build_encoder
from vdib.estimator import Estimator, LeaveOneOut, RelaxedBernoulli, ScoreFunction, StraightThrough
from vdib.judge import LeNet5, load_judge
from vdib.lightning_modules.image_data import ImageData, SpikeBatch
from vdib.metrics import ssim
from vdib.model import VDIB, Bottleneck
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT, rate
from vdib.prior import AutoregressivePrior, BernoulliPrior, MarginalPrior
from vdib.window import BasisWindow, FullWindow, RateWindow

DECODERS = {"logistic": LogisticDecoder, "mlp": MLPDecoder, "cnn": CNNDecoder}
WINDOWS = {"full": FullWindow, "basis": BasisWindow, "rate": RateWindow}
PRIORS = {"bernoulli": BernoulliPrior, "marginal": MarginalPrior, "past": AutoregressivePrior}
ESTIMATORS: dict[str, Callable[[int], Estimator]] = {
    "straight_through": lambda num_steps: StraightThrough(),
    "relaxed": lambda num_steps: RelaxedBernoulli(),
    "leave_one_out": lambda num_steps: LeaveOneOut(),
    "score": ScoreFunction,
}


class NaturalisationModule(LightningModule):
    """Turns spike trains into images.

    Args:
        num_steps: T, steps of a recording (taken from the data).
        input_shape: of one step's spikes (taken from the data).
        hidden: sizes of the dense hidden layers.
        conv: channels of convolutional layers before them.
        num_readout: N_y, stochastic readout neurons.
        decoder: `logistic`, `mlp`, `cnn`, or a decoder class.
        window: what the decoder sees of the spikes: `full`, a temporal `basis`, or their `rate`.
        window_steps: tau_d; all T by default.
        num_basis: elements of the temporal basis.
        estimator: gradient through the readout: `straight_through`, `relaxed`, `leave_one_out`,
            `score`, or an estimator class.
        credit: gradient to the hidden layers: `bptt`, `eprop` or `dfa`.
        surrogate: derivative of the hidden spikes, a function of `vdib.surrogate`.
        prior: `bernoulli` (rho), learned `marginal`, or autoregressive in `past` spikes.
        beta: nats of distortion that a nat of rate is worth.
        rho: prior firing probability per step; the readout also starts from it.
        lr: peak learning rate of Adam, which falls to zero along a cosine.
        encoder_lr: the encoder's, where it is to differ.
        frozen_encoder: leave the encoder as it was drawn: the baseline.
        seed: of the noise.
    """

    marginal: Tensor

    def __init__(
        self,
        num_steps: int,
        input_shape: Sequence[int],
        hidden: Sequence[int] = (600,),
        conv: Sequence[int] = (),
        num_readout: int = 256,
        decoder: Literal["logistic", "mlp", "cnn"]
        | Callable[[FullWindow, int, int], Decoder] = "mlp",
        window: Literal["full", "basis", "rate"] = "full",
        window_steps: int | None = None,
        num_basis: int = 6,
        estimator: Literal["straight_through", "relaxed", "leave_one_out", "score"]
        | Estimator = "straight_through",
        credit: Literal["bptt", "eprop", "dfa"] = "bptt",
        surrogate: Literal[
            "fast_sigmoid", "arctan", "sigmoid", "boxcar", "gaussian", "exponential"
        ] = "fast_sigmoid",
        prior: Literal["bernoulli", "marginal", "past"] = "bernoulli",
        beta: float = 0.01,
        rho: float = 0.1,
        lr: float = 2e-3,
        encoder_lr: float | None = None,
        frozen_encoder: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"hidden": hidden, "conv": conv, "num_readout": [num_readout]}
        for name, values in sizes.items():
            if any(value < 1 for value in values):
                raise ValueError(f"{name}: got {min(values)}, expected at least 1")
        if not lr > 0 or not (encoder_lr is None or encoder_lr >= 0):
            raise ValueError(f"lr and encoder_lr: got {lr} and {encoder_lr}, expected above 0")
        steps = num_steps if window_steps is None else window_steps
        if not 1 <= steps <= num_steps:
            raise ValueError(
                f"window_steps: got {steps}, expected 1 to {num_steps}, the steps of the data"
            )
        encoder = build_encoder(tuple(input_shape), num_readout, hidden, conv)
        encoder.threshold = surrogates.Threshold(getattr(surrogates, surrogate))
        widths = [math.prod(layer.shape) for layer in encoder.layers]
        rules: dict[str, Callable[[], BPTT]] = {
            "bptt": BPTT,
            "eprop": EProp,
            "dfa": partial(DirectFeedback, widths, num_readout, seed),
        }
        encoder.credit = rules[credit]()
        encoder.requires_grad_(not frozen_encoder)
        view = WINDOWS[window](steps, **({"num_features": num_basis} if window == "basis" else {}))
        build = DECODERS[decoder] if isinstance(decoder, str) else decoder
        self.vdib = VDIB(
            encoder,
            build(view, num_readout, 784),
            BernoulliPrior(rho) if prior == "bernoulli" else PRIORS[prior](num_readout, rho),
            ESTIMATORS[estimator](num_steps) if isinstance(estimator, str) else estimator,
            beta,
        )
        self.window_steps = steps
        self.rho = rho
        self.lr = lr
        self.encoder_lr = lr if encoder_lr is None else encoder_lr
        self.seed = seed
        self._judge = [load_judge()]  # in a list: no part of the model, nor of its checkpoints
        # Firing probabilities of the code averaged over the validation set, per step and neuron.
        self.register_buffer("marginal", torch.full((num_steps, num_readout), rho))

    @property
    def judge(self) -> LeNet5:
        return self._judge[0].to(self.device)

    def setup(self, stage: str) -> None:
        if stage == "fit":  # before a checkpoint is restored
            data: ImageData = self.trainer.datamodule  # type: ignore[attr-defined]
            images = data.split("train").all()
            first = type(images)(*(field[:256] for field in images))
            batch = data.code(first, EVALUATION)
            self.vdib.encoder.calibrate(batch.spikes, self.rho)
            mean = images.image.flatten(1).mean(0).clamp(1e-4, 1 - 1e-4)
            self.vdib.decoder.start_from(torch.logit(mean))

    def forward(self, spikes: Tensor, ids: Tensor) -> Tensor:
        """Naturalise: spikes `(B, T, *N)` and stable ids `(B,)` to images `(B, 28, 28)`."""
        noise = Noise(self.seed, EVALUATION, ids)
        code = self.vdib.encode(spikes, noise)
        return self.vdib.decode(code.spikes).mean.view(-1, 28, 28)

    def training_step(self, batch: SpikeBatch, batch_idx: int) -> Tensor:
        noise = Noise(self.seed, self.global_step, batch.id)
        surrogate_loss, out = self.vdib.training_loss(batch.spikes, batch.target, noise)
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
        out = self._evaluate("val", batch)
        self._probabilities += torch.sigmoid(out.code.logits).sum(0)
        self._count += len(batch.id)

    def on_validation_epoch_end(self) -> None:
        reduce = self.trainer.strategy.reduce
        total = reduce(self._probabilities, reduce_op="sum")
        self.marginal = (total / reduce(self._count, reduce_op="sum")).clamp(1e-6, 1 - 1e-6)

    def test_step(self, batch: SpikeBatch, batch_idx: int) -> None:
        self._evaluate("test", batch)

    def _evaluate(self, stage: str, batch: SpikeBatch) -> Bottleneck:
        out: Bottleneck = self.vdib(
            batch.spikes, batch.target, Noise(self.seed, EVALUATION, batch.id)
        )
        images = out.decoded.mean.view(-1, 28, 28)
        beside = rate(out.code.logits, torch.logit(self.marginal)).sum(1).mean()
        correct = self.judge(images).argmax(1) == batch.label
        figures = {
            "loss": out.loss(self.vdib.beta),
            "distortion_nats": out.distortion.mean(),
            "rate_bits": out.rate.sum(1).mean() * BITS_PER_NAT,
            "rate_bits_marginal": beside * BITS_PER_NAT,
            "judge_accuracy": correct.float().mean(),
            "spikes_per_sample": out.code.spikes.sum((1, 2)).mean(),
            "readout_rate": out.code.spikes.mean(),
            "hidden_rate": sum(h.mean() for h in out.code.hidden) / max(1, len(out.code.hidden)),
            "ssim": ssim(images, batch.target.view(-1, 28, 28)).mean(),
        }
        if stage == "val":  # the marginal is being fitted on these very data
            del figures["rate_bits_marginal"]
        self.log_dict(
            {f"{stage}/{name}": value for name, value in figures.items()},
            batch_size=len(batch.id),
            on_epoch=True,
            sync_dist=True,
        )
        return out

    def configure_optimizers(self) -> Any:
        encoder = [p for p in self.vdib.encoder.parameters() if p.requires_grad]
        rest = [*self.vdib.decoder.parameters(), *self.vdib.prior.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": rest},
            {"params": encoder, "lr": self.encoder_lr},
        ]
        optimizer = torch.optim.Adam([g for g in groups if g["params"]], lr=self.lr, fused=True)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step, total) / total))
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
