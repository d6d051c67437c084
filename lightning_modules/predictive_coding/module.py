"""Recalling the past and predicting the future of an input from few spikes, step by step.

At every step t the decoder sees the last tau_d steps of the code and says which inputs are active
at t + lag. Losses are means over the scored steps, in nats per step:

    L = mean_t [ -log q(r[t + lag] | y[t - tau_d + 1 .. t]) + beta KL_t ]

Legend: B batch, T steps, N_x inputs, N_y readout neurons, D blobs.
"""

from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from vdib import online
from vdib.bottleneck import Bottleneck
from vdib.credit import EProp
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.predictive_coding.data import BlobData, Split
from vdib.lightning_modules.predictive_coding.figures import draw
from vdib.lightning_modules.predictive_coding.reference import reference_nats, remembered
from vdib.lightning_modules.predictive_coding.signals import ActiveInputs, scored_steps
from vdib.lightning_modules.vdib_module import VDIBModule
from vdib.model import VDIB
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT, distortion
from vdib.precision import single
from vdib.sparse import Spikes
from vdib.stream import NOISE_STEPS, Stream

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
LR = {"sequences": 0.003, "online": 0.01}
ENCODER_LR, ENCODER_LR_HIDDEN = {"sequences": 0.03, "online": 0.01}, 0.003


class PredictiveCodingModule(VDIBModule):
    """Recalls or predicts an input from the last spikes of its code.

    Args:
        lag: delta (taken from the data).
        unscored: steps at the beginning that do not count (taken from the data).
        mode: learn from whole `sequences`, or `online`: an update at every step of a batch of
            parallel streams, with credit for the last tau_d steps (`vdib.online`).
        lr: peak learning rate of Adam (default: 0.003 for `sequences`, 0.01 `online`).
        encoder_lr: the encoder's (default: 0.03 for `sequences`, 0.01 `online`, with hidden layers
            0.003, whatever `lr`: at higher rates neurons die).
        reference: measure beside it what a network without a bottleneck reaches
            (`reference.py`); computed once for all runs.
    """

    TAKES: ClassVar = (*VDIBModule.TAKES, "lag", "unscored")
    MEASURES: ClassVar = (ActiveInputs,)
    EVERY_STEP: ClassVar = True
    signal: ActiveInputs

    TABLE: ClassVar = {
        "nats_per_step": "distortion (nats/step)",
        "mse": "MSE of the likeliest inputs",
        "rate_bits_per_step": "rate (bits/step)",
        "code_length_bits_per_step": "code length (bits/step)",
        "rate_bits_best_per_step": "rate under the best prior fitted to the code (bits/step)",
        "code_length_bits_best_per_step": "code length under the best prior (bits/step)",
        "rate_bits_marginal_per_step": "rate under the marginal of validation codes (bits/step)",
        "rate_bits_bernoulli_per_step": "rate under independent spikes of rho (bits/step)",
        "code_length_bits_bernoulli_per_step": "code length under spikes of rho (bits/step)",
        "marginal_nats_per_step": "distortion without spikes (nats/step)",
        "reference_nats_per_step": "distortion without a bottleneck (nats/step)",
        "long_nats_per_step": "distortion over one long sequence (nats/step)",
        "spikes_per_step": "readout spikes per step",
        "dead_neurons": "readout neurons that never fire, or always",
        "hidden_rate": "hidden spikes per neuron and step",
        "synops": "synaptic operations per sequence",
        "unpruned_synops": "the same, had nothing been pruned",
        "train_seconds": "training (s)",
    }
    PLANE: ClassVar = ("rate_bits_per_step", "nats_per_step", "step")

    def __init__(
        self,
        lag: int,
        unscored: int,
        mode: Literal["sequences", "online"] = "sequences",
        lr: float | None = None,
        encoder_lr: float | None = None,
        reference: bool = True,
        **settings: Any,
    ) -> None:
        layers = settings.get("hidden", True) or settings.get("conv")
        own = ENCODER_LR_HIDDEN if layers else ENCODER_LR[mode]
        super().__init__(
            lr=LR[mode] if lr is None else lr,
            encoder_lr=own if encoder_lr is None else encoder_lr,
            **settings,
        )
        if mode == "online":
            _check_online(self.vdib)
        self.automatic_optimization = mode == "sequences"
        self.reference = reference
        self.lag = lag
        self.unscored = unscored
        self.window = settings.get("window", "full")
        if mode == "online":
            self.updates_per_batch = int(scored_steps(settings["num_steps"], lag, unscored).sum())

    def settings(self) -> dict[str, float | str]:
        count = int(self.data.scored.sum()) * len(self.data.split("test"))
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

    step_weights = training_weights = weights

    def training_step(self, batch: SpikeBatch, batch_idx: int) -> Tensor | None:
        if self.automatic_optimization:
            return super().training_step(batch, batch_idx)
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(schedule, LRScheduler)
        x, num_steps = _dense(batch.spikes), batch.target.shape[1]
        noise = Noise(self.seed, self.global_step, batch.id)
        memory = online.begin(self.vdib, x[:, 0])
        total, weight, progress = 0.0, self.data.weight(batch_idx), self.progress
        beta = self.vdib.beta * self.vdib.price.share(progress)
        for t, counts in enumerate(scored_steps(num_steps, self.lag, self.unscored).tolist()):
            if t % NOISE_STEPS == 0:
                layer, shape = len(memory.layers) - 1, self.vdib.encoder.readout.shape
                u = noise.uniform(layer, NOISE_STEPS, shape, t)
            memory = online.advance(self.vdib, x[:, t], u[:, t % NOISE_STEPS], memory, progress)
            if counts:
                costs, kl = online.step_loss(self.vdib, memory, batch.target[:, t], progress)
                loss = (costs + beta * kl).mean()
                self.check_loss(loss, float(loss.detach()), batch)
                optimizer.zero_grad()
                self.manual_backward(weight * loss)
                optimizer.step()
                schedule.step()
                total += float(loss.detach())
        mean = weight * total / self.updates_per_batch
        self.log("train/loss", mean, prog_bar=True, sync_dist=True)
        return None

    def evaluate(self, stage: str, batch: SpikeBatch) -> Tensor | None:
        weights = self.weights(batch.target.shape[1])
        noise = Noise(self.seed, EVALUATION, batch.id)
        out: Bottleneck = self.vdib(batch.spikes, batch.target, noise, weights)
        wrong = self.signal.guess(out.decoded) - self.signal.active(batch.target)
        hidden = [single(h).mean() for h in out.code.hidden]
        figures = {
            "loss": out.loss(self.vdib.beta),
            "nats_per_step": out.distortion.sum(1).mean(),
            "mse": (weights * wrong.square().mean(-1)).sum(1).mean(),
            self.cost_name("rate_bits_per_step"): out.rate.sum(1).mean() * BITS_PER_NAT,
            "spikes_per_step": out.code.spikes.sum(2).mean(),
            "hidden_rate": sum(hidden) / max(1, len(hidden)),
            **self.synops(batch.spikes, out.code),
            **out.penalty_nats(),
            **self.costs_beside(stage, out.code),
        }
        logits = out.code.logits if out.code.stochastic else None
        self.log_figures(stage, figures, len(batch.id))
        if logits is None:
            return None
        # B, N_y: mean over the scored steps; a sum, as mixed precision would round a product.
        per_step = (weights[:, None] * logits.sigmoid()).sum(1)
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
        data = self.data
        kind = type(self.signal).__name__
        sizes = [data.sizes[name] for name in SPLITS]
        settings = repr([data.process, sizes, data.lag, data.unscored, kind])

        def compute() -> float:
            with torch.inference_mode(False), torch.enable_grad():  # it is trained during the test
                splits = {name: data.common(name) for name in SPLITS}
                return reference_nats(splits, data.scored, self.signal, self.signal.num_neurons)

        return remembered(settings, compute)

    def _long_nats(self, batch: SpikeBatch) -> float:
        """Mean over the scored steps of one long sequence, decoded as a stream, in nats."""
        stream = self.stream(self.seed)
        outputs = torch.stack([stream.push(x).outputs for x in _dense(batch.spikes)[0].cpu()])
        answers = self.signal.likelihood(outputs)
        scored = scored_steps(len(outputs), self.lag, self.unscored)
        return float(distortion(answers, batch.target[0].cpu())[scored].mean())

    def _constant_nats(self, data: BlobData, split: Split) -> float:
        """What training frequencies cost on a split, in nats per step."""
        r = data.targets(split)[:, data.scored].flatten(0, 1)
        answer = self.signal.likelihood(data.constant())
        return float(distortion(answer.expand(r.shape[:1]), r).mean())

    def constant(self, data: Any) -> tuple[str, float]:
        """The best answer that ignores the spikes: how often training sequences hold what."""
        return "best constant answer", self._constant_nats(data, "validation")

    def figures(self, batch: SpikeBatch) -> dict[str, Figure]:
        """One sequence, its code and its prediction; what spikes listen to, what they mean."""
        first = SpikeBatch(_dense(batch.spikes)[:1], *(field[:1] for field in batch[1:4]))
        noise = Noise(self.seed, EVALUATION, first.id)
        scored = scored_steps(first.target.shape[1], self.lag, self.unscored)
        return draw(self.vdib, self.signal, first, noise, scored, self.lag)


def _dense(x: Spikes) -> Tensor:
    assert isinstance(x, Tensor)  # what `BlobData` hands over
    return x


def _check_online(vdib: VDIB) -> None:
    """Online learning is local in time, and passes gradients through sampled spikes."""
    if not vdib.encoder.readout.stochastic:
        raise ValueError("mode online needs the readout sampled, got threshold")
    zero = torch.zeros(1)
    if vdib.estimator.firing().slope(zero, zero) is None:
        raise ValueError("mode online needs the estimator straight_through or relaxed")
    if vdib.encoder.layers and not isinstance(vdib.encoder.credit, EProp):
        got = type(vdib.encoder.credit).__name__
        raise ValueError(f"mode online with hidden layers: got credit {got}, expected eprop")
    if vdib.penalties:
        raise ValueError("mode online has no penalties: got " + ", ".join(vdib.penalties))
