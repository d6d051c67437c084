"""Recalling the past and predicting the future of an input from few spikes, step by step.

At every step t the decoder sees the last tau_d steps of the code and says which inputs are active
at t + lag. Losses are means over the scored steps, in nats per step:

    L = mean_t [ -log q(r[t + lag] | y[t - tau_d + 1 .. t]) + beta KL_t ]

Legend: B batch, T steps, N_x inputs, N_y readout neurons, D blobs.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from vdib import online
from vdib.datasets.drifting_blobs import spikes
from vdib.decoder import Decoder
from vdib.estimator import Estimator
from vdib.lightning_modules.predictive_coding import blob_figures
from vdib.lightning_modules.predictive_coding.blob_data import BlobData, Split
from vdib.lightning_modules.predictive_coding.blob_reference import reference_nats, remembered
from vdib.lightning_modules.predictive_coding.blob_targets import (
    BlobTarget,
    InputTarget,
    PatternTarget,
    scored_steps,
)
from vdib.lightning_modules.vdib_module import (
    DECODERS,
    ESTIMATORS,
    SpikeBatch,
    VDIBModule,
    chosen_encoder,
    chosen_prior,
    chosen_window,
)
from vdib.model import VDIB, Bottleneck
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT, rate
from vdib.precision import single
from vdib.spikes import Spikes
from vdib.stream import BLOCK, Stream
from vdib.window import FullWindow

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
LR = {"sequences": 0.03, "online": 0.01}
ENCODER_LR = {"sequences": 0.1, "online": 0.03}
TARGETS: dict[str, Callable[[int, int], BlobTarget]] = {
    "patterns": PatternTarget,
    "inputs": InputTarget,
}


class PredictiveCodingModule(VDIBModule):
    """Recalls or predicts an input from the last spikes of its code.

    Args:
        num_steps: T, steps of a sequence (taken from the data).
        input_shape: of one step's spikes (taken from the data).
        num_blobs: D, inputs that may be active at once (taken from the data).
        lag: delta (taken from the data).
        unscored: steps at the beginning that do not count (taken from the data).
        mode: learn from whole `sequences`, or `online`: an update at every step of a batch of
            parallel streams, with credit for the last tau_d steps (`vdib.online`).
        target: the set of active inputs (`patterns`, a softmax over all sets), or `inputs`, each
            by itself.
        hidden: sizes of the dense hidden layers.
        num_readout: N_y, stochastic readout neurons.
        decoder: `logistic`, `mlp`, `cnn`, or a decoder class.
        window: what the decoder sees of the spikes: `full`, a temporal `basis`, or their `rate`.
        window_steps: tau_d.
        num_basis: elements of the temporal basis.
        estimator: gradient through the readout: `straight_through`, `relaxed`, `leave_one_out`,
            `score`, or an estimator class.
        credit: gradient to the hidden layers: `bptt`, `eprop` or `dfa`.
        surrogate: derivative of the hidden spikes, a function of `vdib.dynamics.surrogate`.
        prior: `bernoulli` (rho), learned `marginal`, or autoregressive in `past` spikes.
        beta: nats of distortion that a nat of rate is worth.
        rho: prior firing probability per step; the readout also starts from it.
        lr: peak learning rate of Adam, which falls to zero along a cosine (default: 0.03 for
            `sequences`, 0.01 `online`, where the gradient of every single step is followed).
        encoder_lr: the encoder's (default: 0.1 and 0.03, whatever `lr`).
        frozen_encoder: leave the encoder as it was drawn: the baseline.
        reference: measure beside it what a network without a bottleneck reaches
            (`vdib.lightning_modules.predictive_coding.blob_reference`); computed once for all runs.
        seed: of the noise.
    """

    TABLE: ClassVar = {
        "nats_per_step": "distortion (nats/step)",
        "mse": "MSE of the likeliest inputs",
        "rate_bits_per_step": "rate (bits/step)",
        "rate_bits_marginal_per_step": "rate under a fitted marginal (bits/step)",
        "marginal_nats_per_step": "distortion without spikes (nats/step)",
        "reference_nats_per_step": "distortion without a bottleneck (nats/step)",
        "long_nats_per_step": "distortion over one long sequence (nats/step)",
        "spikes_per_step": "readout spikes per step",
        "hidden_rate": "hidden spikes per neuron and step",
        "train_seconds": "training (s)",
    }
    PLANE: ClassVar = ("rate_bits_per_step", "nats_per_step", "step")

    def __init__(
        self,
        num_steps: int,
        input_shape: Sequence[int],
        num_blobs: int,
        lag: int,
        unscored: int,
        mode: Literal["sequences", "online"] = "sequences",
        target: Literal["patterns", "inputs"] = "patterns",
        hidden: Sequence[int] = (),
        num_readout: int = 10,
        decoder: Literal["logistic", "mlp", "cnn"]
        | Callable[[FullWindow, int, int], Decoder] = "logistic",
        window: Literal["full", "basis", "rate"] = "full",
        window_steps: int = 5,
        num_basis: int = 3,
        estimator: Literal["straight_through", "relaxed", "leave_one_out", "score"]
        | Estimator = "straight_through",
        credit: Literal["bptt", "eprop", "dfa"] = "bptt",
        surrogate: Literal[
            "fast_sigmoid", "arctan", "sigmoid", "boxcar", "gaussian", "exponential"
        ] = "fast_sigmoid",
        prior: Literal["bernoulli", "marginal", "past"] = "bernoulli",
        beta: float = 0.01,
        rho: float = 0.2,
        lr: float | None = None,
        encoder_lr: float | None = None,
        frozen_encoder: bool = False,
        reference: bool = True,
        seed: int = 0,
    ) -> None:
        encoder = chosen_encoder(input_shape, num_readout, hidden, (), surrogate, credit, seed)
        encoder.requires_grad_(not frozen_encoder)
        chosen = TARGETS[target](input_shape[0], num_blobs)
        build = DECODERS[decoder] if isinstance(decoder, str) else decoder
        built = build(
            chosen_window(window, window_steps, num_basis), num_readout, chosen.num_outputs
        )
        built.likelihood = chosen.likelihood
        vdib = VDIB(
            encoder,
            built,
            chosen_prior(prior, num_readout, rho),
            ESTIMATORS[estimator](num_steps) if isinstance(estimator, str) else estimator,
            beta,
            every_step=True,
        )
        if mode == "online":
            _check_online(vdib, credit)
        # One marginal for all steps: it has to fit sequences of any length.
        super().__init__(
            vdib,
            1,
            rho,
            LR[mode] if lr is None else lr,
            ENCODER_LR[mode] if encoder_lr is None else encoder_lr,
            seed,
        )
        self.automatic_optimization = mode == "sequences"
        if mode == "online":
            self.updates_per_batch = int(scored_steps(num_steps, lag, unscored).sum())
        self.reference = reference
        self.target = chosen
        self.num_inputs = input_shape[0]
        self.lag = lag
        self.unscored = unscored
        self.window = window

    def settings(self) -> dict[str, float | str]:
        scored = scored_steps(self.data.num_steps, self.lag, self.unscored)
        count = int(scored.sum()) * len(self.data.split("test"))
        return {"scored_steps": count, "lag": self.lag, "window": self.window}

    @property
    def data(self) -> BlobData:
        data: BlobData = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def stream(self, seed: int, id: int = 0) -> Stream:
        """A live input under the weights of now; see `vdib.stream`."""
        return self.vdib.stream(seed, id)

    def weights(self, num_steps: int) -> Tensor:
        """What each step counts, `(T,)`: all scored ones alike, 1 together."""
        scored = scored_steps(num_steps, self.lag, self.unscored).to(self.device)
        return scored / scored.sum()

    def constant_outputs(self, bins: Tensor) -> Tensor:
        """The decoder's outputs `(O)` that suit all scored steps of `(B, T, D)` best."""
        scored = scored_steps(bins.shape[1], self.lag, self.unscored)
        return self.target.constant(bins[:, scored].flatten(0, 1))

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            self.vdib.decoder.start_from(self.constant_outputs(self.data.targets("train")))

    def training_loss(self, batch: SpikeBatch, noise: Noise) -> tuple[Tensor, Bottleneck]:
        target = self.target.of(batch.target)
        return self.vdib.training_loss(batch.spikes, target, noise, self.weights(target.shape[1]))

    def training_step(self, batch: SpikeBatch, batch_idx: int) -> Tensor | None:
        if self.automatic_optimization:
            return super().training_step(batch, batch_idx)
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(schedule, LRScheduler)
        x, num_steps = _dense(batch.spikes), batch.target.shape[1]
        noise = Noise(self.seed, self.global_step, batch.id)
        memory = online.begin(self.vdib, x[:, 0])
        total = 0.0
        for t, counts in enumerate(scored_steps(num_steps, self.lag, self.unscored).tolist()):
            if t % BLOCK == 0:
                u = noise.uniform(len(memory.layers) - 1, BLOCK, self.vdib.encoder.readout.shape, t)
            memory = online.advance(self.vdib, x[:, t], u[:, t % BLOCK], memory)
            if counts:
                target = self.target.of(batch.target[:, t])
                costs, kl = online.step_loss(self.vdib, memory, target)
                loss = (costs + self.vdib.beta * kl).mean()
                if not torch.isfinite(loss):
                    raise FloatingPointError(f"the loss is {loss} at step {self.global_step}")
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
                schedule.step()
                total += float(loss.detach())
        self.log("train/loss", total / self.updates_per_batch, prog_bar=True)
        return None

    def evaluate(self, stage: str, batch: SpikeBatch) -> Tensor:
        weights = self.weights(batch.target.shape[1])
        noise = Noise(self.seed, EVALUATION, batch.id)
        out: Bottleneck = self.vdib(batch.spikes, self.target.of(batch.target), noise, weights)
        beside = weights * rate(out.code.logits, torch.logit(self.marginal))
        wrong = self.target.guess(out.decoded) - spikes(batch.target, self.num_inputs)
        # B, N_y: mean over the scored steps; a sum, as mixed precision would round a product.
        per_step = (weights[:, None] * out.code.logits.sigmoid()).sum(1)
        hidden = [single(h).mean() for h in out.code.hidden]
        figures = {
            "loss": out.loss(self.vdib.beta),
            "nats_per_step": out.distortion.sum(1).mean(),
            "mse": (weights * wrong.square().mean(-1)).sum(1).mean(),
            "rate_bits_per_step": out.rate.sum(1).mean() * BITS_PER_NAT,
            "spikes_per_step": out.code.spikes.sum(2).mean(),
            "hidden_rate": sum(hidden) / max(1, len(hidden)),
        }
        if stage != "val":  # the marginal is being fitted on the validation data
            figures["rate_bits_marginal_per_step"] = beside.sum(1).mean() * BITS_PER_NAT
        self.log_figures(stage, figures, len(batch.id))
        return torch.logit(per_step, 1e-6)[:, None]

    def on_test_epoch_end(self) -> None:
        data = self.data
        figures = {"marginal_nats_per_step": self._constant_nats(data, "test")}
        if self.reference:
            figures["reference_nats_per_step"] = self._reference_nats()
        if data.sizes["long"][0]:
            figures["long_nats_per_step"] = self._long_nats(data.examples("long", 1))
        self.log_figures("test", figures, 1)

    def _reference_nats(self) -> float:
        """Test loss without a bottleneck, in nats per step."""
        data, scored = self.data, scored_steps(self.data.num_steps, self.lag, self.unscored)
        kind = type(self.target).__name__
        sizes = [data.sizes[name] for name in SPLITS]
        settings = repr([data.process, sizes, data.lag, data.unscored, kind])

        def compute() -> float:
            with torch.inference_mode(False), torch.enable_grad():  # it is trained during the test
                splits = {name: data.common(name) for name in SPLITS}
                return reference_nats(splits, scored, self.target, self.num_inputs)

        return remembered(settings, compute)

    def _long_nats(self, batch: SpikeBatch) -> float:
        """Mean over the scored steps of one long sequence, decoded as a stream, in nats."""
        stream = self.stream(self.seed)
        outputs = torch.stack([stream.push(x).outputs for x in _dense(batch.spikes)[0].cpu()])
        target = self.target.of(batch.target[0])
        log_prob = self.target.likelihood(outputs).log_prob(target)
        return -float(log_prob[scored_steps(len(target), self.lag, self.unscored)].mean())

    def _constant_nats(self, data: BlobData, split: Split) -> float:
        """What training frequencies cost on a split, in nats per step."""
        outputs, bins = self.constant_outputs(data.targets("train")), data.targets(split)
        scored = scored_steps(bins.shape[1], self.lag, self.unscored)
        target = self.target.of(bins[:, scored].flatten(0, 1))
        return -float(self.target.likelihood(outputs).log_prob(target).mean())

    def constant(self, data: Any) -> tuple[str, float]:
        """The best answer that ignores the spikes: how often training sequences hold what."""
        return "best constant answer", self._constant_nats(data, "validation")

    def figures(self, batch: SpikeBatch) -> dict[str, Figure]:
        """One sequence, its code and its prediction; what spikes listen to, what they mean."""
        first = SpikeBatch(_dense(batch.spikes)[:1], *(field[:1] for field in batch[1:]))
        noise = Noise(self.seed, EVALUATION, first.id)
        scored = scored_steps(first.target.shape[1], self.lag, self.unscored)
        return blob_figures.draw(self.vdib, self.target, first, noise, scored, self.lag)


def _dense(x: Spikes) -> Tensor:
    assert isinstance(x, Tensor)  # what `BlobData` hands over
    return x


def _check_online(vdib: VDIB, credit: str) -> None:
    """Online learning is local in time, and passes gradients through spikes."""
    zero = torch.zeros(1)
    if vdib.estimator.fire.slope(zero, zero) is None:
        raise ValueError("mode online needs the estimator straight_through or relaxed")
    if vdib.encoder.layers and credit != "eprop":
        raise ValueError(f"mode online with hidden layers: got credit {credit}, expected eprop")
