"""Spikes to images: the Lightning side of `vdib.model.VDIB`.

Legend: B batch, T steps, N_y readout neurons, H W pixels of an image.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vdib.decoder import Decoder
from vdib.encoder import SpikeCode
from vdib.estimator import Estimator
from vdib.figures.codes import tsne
from vdib.figures.images import reconstructions
from vdib.figures.spikes import raster
from vdib.lenet5 import LeNet5, load_judge
from vdib.lightning_modules.vdib_module import (
    DECODERS,
    ESTIMATORS,
    SpikeBatch,
    SpikeData,
    VDIBModule,
    chosen_encoder,
    chosen_prior,
    chosen_window,
)
from vdib.metrics import SSIM_SIDE, ssim
from vdib.model import VDIB, Bottleneck
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT, rate
from vdib.precision import single
from vdib.spikes import SparseSpikes, Spikes
from vdib.window import FullWindow


class NaturalisationModule(VDIBModule):
    """Turns spike trains into images.

    Args:
        num_steps: T, steps of a recording (taken from the data).
        input_shape: of one step's spikes (taken from the data).
        image_shape: H and W of the images (taken from the data).
        judged: whether they are digits, which the judge knows (taken from the data).
        hidden: sizes of the dense hidden layers.
        conv: channels of convolutional layers before them.
        num_readout: N_y, stochastic readout neurons.
        num_kernels: K, synaptic filters of the readout.
        decoder: `logistic`, `mlp`, `cnn`, or a decoder class.
        window: what the decoder sees of the spikes: `full`, a temporal `basis`, or their `rate`.
        window_steps: tau_d; all T by default.
        num_basis: elements of the temporal basis.
        estimator: gradient through the readout: `straight_through`, `relaxed`, `leave_one_out`,
            `score`, or an estimator class.
        credit: gradient to the hidden layers: `bptt`, `eprop` or `dfa`.
        surrogate: derivative of the hidden spikes, a function of `vdib.dynamics.surrogate`.
        prior: `bernoulli` (rho), learned `marginal`, or autoregressive in `past` spikes.
        beta: nats of distortion that a nat of rate is worth.
        rho: prior firing probability per step; the readout also starts from it.
        lr: peak learning rate of Adam, which falls to zero along a cosine.
        encoder_lr: the encoder's, where it is to differ.
        frozen_encoder: leave the encoder as it was drawn: the baseline.
        init_from: a run, or a checkpoint, whose weights to start from.
        seed: of the noise.
    """

    TABLE: ClassVar = {
        "judge_accuracy": "judge accuracy on naturalised test images",
        "distortion_nats": "distortion (nats/sample)",
        "rate_bits": "rate under the training prior (bits/sample)",
        "rate_bits_marginal": "rate under a fitted marginal (bits/sample)",
        "spikes_per_sample": "readout spikes per sample",
        "hidden_rate": "hidden spikes per neuron and step",
        "readout_rate": "readout spikes per neuron and step",
        "ssim": "SSIM",
        "train_seconds": "training (s)",
    }

    def __init__(
        self,
        num_steps: int,
        input_shape: Sequence[int],
        image_shape: Sequence[int] = (28, 28),
        judged: bool = True,
        hidden: Sequence[int] = (600,),
        conv: Sequence[int] = (),
        num_readout: int = 256,
        num_kernels: int = 8,
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
        init_from: str | None = None,
        seed: int = 0,
    ) -> None:
        steps = num_steps if window_steps is None else window_steps
        if not 1 <= steps <= num_steps:
            raise ValueError(
                f"window_steps: got {steps}, expected 1 to {num_steps}, the steps of the data"
            )
        encoder = chosen_encoder(
            input_shape, num_readout, hidden, conv, surrogate, credit, seed, num_kernels
        )
        encoder.requires_grad_(not frozen_encoder)
        build = DECODERS[decoder] if isinstance(decoder, str) else decoder
        vdib = VDIB(
            encoder,
            build(chosen_window(window, steps, num_basis), num_readout, math.prod(image_shape)),
            chosen_prior(prior, num_readout, rho),
            ESTIMATORS[estimator](num_steps) if isinstance(estimator, str) else estimator,
            beta,
        )
        super().__init__(vdib, num_steps, rho, lr, encoder_lr, seed, init_from)
        self.window_steps = steps
        self.image_shape = tuple(image_shape)
        # In a list: no part of the model, nor of its checkpoints.
        self._judge = [load_judge()] if judged else []

    def judge(self, images: Tensor) -> Tensor | None:
        """The class of each image, `(B, H, W)` to `(B,)`; None where they are no digits."""
        if not self._judge:
            return None
        judge: LeNet5 = self._judge[0].to(self.device)
        with torch.autocast(images.device.type, enabled=False):  # one judge for every precision
            judged: Tensor = judge(images).argmax(1)
        return judged

    def start(self, data: SpikeData) -> None:
        super().start(data)
        mean = data.mean_target().clamp(1e-4, 1 - 1e-4)
        self.vdib.decoder.start_from(torch.logit(mean))

    def forward(self, spikes: Spikes, ids: Tensor) -> Tensor:
        """Naturalise: spikes `(B, T, *N)` and stable ids `(B,)` to images `(B, H, W)`."""
        noise = Noise(self.seed, EVALUATION, ids)
        code = self.vdib.encode(spikes, noise)
        return self.vdib.decode(code.spikes).mean.view(-1, *self.image_shape)

    def evaluate(self, stage: str, batch: SpikeBatch) -> Tensor:
        out: Bottleneck = self.vdib(
            batch.spikes, batch.target, Noise(self.seed, EVALUATION, batch.id)
        )
        images = out.decoded.mean.view(-1, *self.image_shape)
        beside = rate(out.code.logits, torch.logit(self.marginal)).sum(1).mean()
        hidden = [single(spikes).mean() for spikes in out.code.hidden]
        figures = {
            "loss": out.loss(self.vdib.beta),
            "distortion_nats": out.distortion.mean(),
            "rate_bits": out.rate.sum(1).mean() * BITS_PER_NAT,
            "spikes_per_sample": out.code.spikes.sum((1, 2)).mean(),
            "readout_rate": out.code.spikes.mean(),
            "hidden_rate": sum(hidden) / max(1, len(hidden)),
        }
        if min(self.image_shape) >= SSIM_SIDE:
            figures["ssim"] = ssim(images, batch.target.view_as(images)).mean()
        if stage != "val":  # the marginal is being fitted on the validation data
            figures["rate_bits_marginal"] = beside * BITS_PER_NAT
        judged = self.judge(images)
        if judged is not None:
            figures["judge_accuracy"] = (judged == batch.label).float().mean()
        self.log_figures(stage, figures, len(batch.id))
        return out.code.logits

    def constant(self, data: Any) -> tuple[str, float]:
        """The best constant image: its pixels are the images' mean."""
        mean = data.examples("validation", len(data.split("validation"))).target.mean(0)
        nats = torch.special.entr(mean) + torch.special.entr(1 - mean)
        return "best constant image", float(nats.sum())

    def _code(self, batch: SpikeBatch, part: slice) -> SpikeCode:
        return self.vdib.encode(batch.spikes[part], Noise(self.seed, EVALUATION, batch.id[part]))

    def figures(self, batch: SpikeBatch) -> dict[str, Figure]:
        """Originals over images, one example's spikes, the codes' t-SNE."""
        # A few at a time: what layers keep of all of them, on a large sensor, fits no memory.
        starts = range(0, len(batch.id), 50)
        spikes = torch.cat([self._code(batch, slice(i, i + 50)).spikes for i in starts])
        features = self.vdib.decoder.window(spikes[:, None, -self.window_steps :])
        shown = slice(0, 20)
        images = self.vdib.decode(spikes[shown]).mean.view(-1, *self.image_shape)
        judged = self.judge(images)
        x, code = batch.spikes[:1], self._code(batch, slice(1))
        dense = x.dense() if isinstance(x, SparseSpikes) else x
        hidden = code.hidden[-1][0].flatten(1).cpu() if code.hidden else None
        return {
            "naturalised": reconstructions(
                batch.target[shown].view(-1, *self.image_shape).cpu(),
                images.cpu(),
                batch.label[shown].cpu(),
                None if judged is None else judged.cpu(),
                max_images=20,
            ),
            "raster": raster(dense[0].flatten(1).cpu(), code.spikes[0].cpu(), hidden),
            "code_tsne": tsne(features.flatten(1).cpu(), batch.label.cpu()),
        }
