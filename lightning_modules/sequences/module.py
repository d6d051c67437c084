"""Something said at every step of a sequence: the value of a curve, the next symbol of a text.

    L = mean_t [ -log q(r[t] | y[t - tau_d + 1 .. t]) + beta KL_t ]     in nats per step

Legend: B batch, T steps, N_y readout neurons, D values of a curve, M moments.
"""

import math
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from vdib.bottleneck import Bottleneck
from vdib.figures.decoded_curve import curve_over_training, decoded_curve
from vdib.figures.spikes import raster
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.vdib_module import VDIBModule
from vdib.lightning_modules.verdicts import Verdicts
from vdib.neurons.layer import spiking
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT, distortion
from vdib.precision import single
from vdib.signal import Curve, Label
from vdib.sparse import SparseSpikes

MOMENTS = 10
"""A curve is kept as it is decoded after 1, 2, 4, ... epochs, so many times at most."""


class SequenceModule(VDIBModule):
    """Decodes every step of a sequence.

    Args:
        unscored: steps at the beginning that do not count in evaluation (taken from the data).
    """

    TAKES: ClassVar = (*VDIBModule.TAKES, "unscored")
    MEASURES: ClassVar = (Curve, Label)
    EVERY_STEP: ClassVar = True
    TABLE: ClassVar = {
        "mse": "mean squared error",
        "perplexity": "perplexity on test symbols",
        "bits_per_step": "distortion (bits/symbol)",
        "symbol_accuracy": "share of test symbols foretold",
        "calibration_error": "expected calibration error of what is foretold",
        "nats_per_step": "distortion (nats/step)",
        "constant_nats_per_step": "distortion without spikes (nats/step)",
        "rate_bits_per_step": "rate (bits/step)",
        "code_length_bits_per_step": "code length (bits/step)",
        "rate_bits_best_per_step": "rate under the best prior fitted to the code (bits/step)",
        "code_length_bits_best_per_step": "code length under the best prior (bits/step)",
        "rate_bits_marginal_per_step": "rate under the marginal of validation codes (bits/step)",
        "rate_bits_bernoulli_per_step": "rate under independent spikes of rho (bits/step)",
        "code_length_bits_bernoulli_per_step": "code length under spikes of rho (bits/step)",
        "spikes_per_step": "readout spikes per step",
        "dead_neurons": "readout neurons that never fire, or always",
        "hidden_rate": "hidden spikes per neuron and step",
        "synops": "synaptic operations per sequence",
        "unpruned_synops": "the same, had nothing been pruned",
        "train_seconds": "training (s)",
    }
    PLANE: ClassVar = ("rate_bits_per_step", "nats_per_step", "step")
    epochs: Tensor
    curves: Tensor

    def __init__(self, unscored: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.unscored = unscored
        if isinstance(self.signal, Curve):
            # The first validation example as it was decoded, (M, T, D), and after which epoch.
            shape = (MOMENTS, settings["num_steps"], self.signal.size)
            self.register_buffer("curves", torch.zeros(shape))
            self.register_buffer("epochs", torch.zeros(MOMENTS, dtype=torch.int64))

    def settings(self) -> dict[str, float | str]:
        return {**super().settings(), **getattr(self.data, "facts", {})}

    def weights(self, num_steps: int, unscored: int) -> Tensor:
        """What each step counts, `(T,)`: all that do alike, 1 together."""
        scored = (torch.arange(num_steps, device=self.device) >= unscored).float()
        return scored / scored.sum()

    def step_weights(self, num_steps: int) -> Tensor:
        return self.weights(num_steps, self.unscored)

    def training_weights(self, num_steps: int) -> Tensor:
        return self.weights(num_steps, 0)

    def evaluate(self, stage: str, batch: SpikeBatch) -> Tensor | None:
        weights = self.weights(batch.target.shape[1], self.unscored)
        noise = Noise(self.seed, EVALUATION, batch.id)
        out: Bottleneck = self.vdib(batch.spikes, batch.target, noise, weights)
        hidden = [single(h).mean() for h in out.code.hidden]
        figures = {
            "loss": out.loss(self.vdib.beta),
            "nats_per_step": out.distortion.sum(1).mean(),
            self.cost_name("rate_bits_per_step"): out.rate.sum(1).mean() * BITS_PER_NAT,
            "spikes_per_step": out.code.spikes.sum(2).mean(),
            "hidden_rate": sum(hidden) / max(1, len(hidden)),
            **self.synops(batch.spikes, out.code),
            **out.penalty_nats(),
            **self.costs_beside(stage, out.code),
        }
        decoded: Any = out.decoded
        if isinstance(self.signal, Label):
            label = decoded.logits.argmax(-1)
            right = (label == batch.target).float()
            if stage == "test" and self._verdicts is not None:
                probability = decoded.probs.gather(-1, label[..., None])[..., 0]
                scored = (
                    x[:, self.unscored :].flatten() for x in (label, probability, batch.target)
                )
                self._verdicts.add(*scored)
            figures["symbol_accuracy"] = (weights * right).sum(1).mean()
            figures["bits_per_step"] = figures["nats_per_step"] * BITS_PER_NAT
        else:
            wrong = (decoded.mean - batch.target).square().mean(-1)
            figures["mse"] = (weights * wrong).sum(1).mean()
            self._seen = decoded.mean[0] if stage == "val" and self._seen is None else self._seen
        logits = out.code.logits if out.code.stochastic else None
        self.log_figures(stage, figures, len(batch.id))
        if logits is None:
            return None
        # B, N_y: mean over the scored steps; a sum, as mixed precision would round a product.
        per_step = (weights[:, None] * logits.sigmoid()).sum(1)
        return torch.logit(per_step, 1e-6)[:, None]

    _seen: Tensor | None = None
    _verdicts: Verdicts | None = None  # on the test symbols so far

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self._seen = None

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        epoch = self.current_epoch + 1
        moment = epoch.bit_length() - 1
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        if fitting and self._seen is not None and epoch == 2**moment and moment < MOMENTS:
            self.curves[moment], self.epochs[moment] = self._seen, epoch

    def on_test_epoch_start(self) -> None:
        self._verdicts = Verdicts(self.signal) if isinstance(self.signal, Label) else None

    def tables(self) -> dict[str, str]:
        return {} if self._verdicts is None else self._verdicts.tables()

    def on_test_epoch_end(self) -> None:
        figures = {"constant_nats_per_step": self._constant_nats(self.data, "test")}
        if self._verdicts is not None:
            self._verdicts.reduce(self.trainer.strategy, self.device)
            figures["calibration_error"] = self._verdicts.error
        if isinstance(self.signal, Label):
            nats = self.trainer.callback_metrics["test/nats_per_step"]
            figures["perplexity"] = math.exp(float(nats))
        self.log_figures("test", figures, 1)

    def _constant_nats(self, data: Any, split: str) -> float:
        """What the best answer that ignores the spikes costs, in nats per step."""
        r = data.targets(split)[:, self.unscored :]
        answer = self.signal.likelihood(data.constant())
        return float(distortion(answer.expand(r.shape[:2]), r).mean())

    def constant(self, data: Any) -> tuple[str, float]:
        return "best constant answer", self._constant_nats(data, "validation")

    def figures(self, batch: SpikeBatch) -> dict[str, Figure]:
        """One sequence and its code; of a curve, how it is decoded, now and in training."""
        one = SpikeBatch(batch.spikes[:1], *(field[:1] for field in batch[1:4]))
        code = self.vdib.encode(one.spikes, Noise(self.seed, EVALUATION, one.id))
        figures: dict[str, Figure] = {}
        if spiking(self.vdib.encoder.readout):
            x = one.spikes.dense() if isinstance(one.spikes, SparseSpikes) else one.spikes
            hidden = code.hidden[-1][0].flatten(1).cpu() if code.hidden else None
            figures["raster"] = raster(x[0].flatten(1).cpu(), code.spikes[0].cpu(), hidden)
        if isinstance(self.signal, Curve):
            decoded: Any = self.vdib.decode(code)
            now = (one.target[0].cpu(), decoded.mean[0].cpu(), decoded.stddev[0].cpu())
            first = self.data.targets("validation")[0]
            kept = self.epochs > 0
            then = (first, self.curves[kept].cpu(), self.epochs[kept].tolist())
            figures["curve"] = decoded_curve(*now)
            if kept.any():
                figures["curve_over_training"] = curve_over_training(*then)
        if self._verdicts is not None and self._verdicts.bins.any():
            figures |= self._verdicts.figures()
        return figures
