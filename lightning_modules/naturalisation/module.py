"""Spikes to images, labels or real vectors: the Lightning side of `vdib.model.VDIB`.

Legend: B batch, T steps, N_y readout neurons, H W pixels of an image, D values of a vector.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution

from vdib.bottleneck import Bottleneck
from vdib.encoder import SpikeCode
from vdib.lenet5 import LeNet5, load_judge
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.naturalisation.anytime import AnyTime
from vdib.lightning_modules.naturalisation.figures import SHOWN, draw
from vdib.lightning_modules.vdib_module import VDIBModule
from vdib.lightning_modules.verdicts import Verdicts
from vdib.metrics import SSIM_SIDE, ssim
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT, distortion
from vdib.precision import single
from vdib.signal import Curve, Image, Label
from vdib.sparse import Spikes


class Decisions(NamedTuple):
    """Which labels examples are taken for.

    Attributes:
        label: `(B,)`.
        probability: of that label, given that it is one of them, `(B,)`.
        step: `(B,)`, how many steps the decision took.
    """

    label: Tensor
    probability: Tensor
    step: Tensor


class NaturalisationModule(VDIBModule):
    """Turns spike trains into natural signals: images, labels, or real vectors at the end.

    Args:
        importance_codes: of images, K codes an example by which the likelihood of the test images
            is bounded once a run ends (`vdib.importance`); 0 for none.
        drawn_images: of digits, how many are then drawn, for their Frechet distance from MNIST's
            test images (`vdib.fad`); 0 for none.
    """

    MEASURES: ClassVar = (Image, Label, Curve)
    TABLE: ClassVar = {
        "judge_accuracy": "judge accuracy on naturalised test images",
        "judge_accuracy_originals": "judge accuracy on the images themselves",
        "class_accuracy": "class accuracy on test examples",
        "decision_step": "steps until the class is decided",
        "anytime_accuracy": "accuracy, mean over looks at all lengths of time",
        "late_accuracy": "accuracy at the worst look from half of the time on",
        "calibration_error": "expected calibration error of the decisions",
        "squared_error": "mean squared error of a value",
        "distortion_nats": "distortion (nats/sample)",
        "rate_bits": "rate under the training prior (bits/sample)",
        "code_length_bits": "code length under the training prior (bits/sample)",
        "rate_bits_best": "rate under the best prior fitted to the code (bits/sample)",
        "code_length_bits_best": "code length under the best prior fitted to it (bits/sample)",
        "rate_bits_marginal": "rate under the marginal of validation codes (bits/sample)",
        "rate_bits_bernoulli": "rate under independent spikes of rho (bits/sample)",
        "code_length_bits_bernoulli": "code length under independent spikes of rho (bits/sample)",
        "negative_elbo_nats": "negative ELBO of binary images (nats/sample)",
        "fad": "FAD of drawn images",
        "fad_published": "FAD as published",
        "fad_images": "images drawn for it",
        "spikes_per_sample": "readout spikes per sample",
        "hidden_spikes_per_sample": "hidden spikes per sample",
        "hidden_rate": "hidden spikes per neuron and step",
        "readout_rate": "readout spikes per neuron and step",
        "dead_neurons": "readout neurons that never fire, or always",
        "synops": "synaptic operations per sample",
        "unpruned_synops": "the same, had nothing been pruned",
        "ssim": "SSIM",
        "train_seconds": "training (s)",
    }

    def __init__(
        self, *, importance_codes: int = 0, drawn_images: int = 0, **settings: Any
    ) -> None:
        super().__init__(**settings)
        if importance_codes < 0 or drawn_images < 0 or drawn_images == 1:
            raise ValueError(
                f"importance_codes and drawn_images: got {importance_codes} and {drawn_images}, "
                "expected 0 or more, and not one image"
            )
        self.importance_codes, self.drawn_images = importance_codes, drawn_images
        # In a list: no part of the model, nor of its checkpoints.
        judged = isinstance(self.signal, Image) and self.signal.digits
        self._judge = [load_judge()] if judged else []
        self._verdicts: Verdicts | None = None  # on the test examples so far
        self._anytime: AnyTime | None = None  # the same, of a run that looks at any time

    def judge(self, images: Tensor) -> Tensor | None:
        """The class of each image, `(B, H, W)` to `(B,)`; None where they are no digits."""
        if not self._judge:
            return None
        judge: LeNet5 = self._judge[0].to(self.device)
        with torch.autocast(images.device.type, enabled=False):  # one judge for every precision
            judged: Tensor = judge(images).argmax(1)
        return judged

    def forward(self, spikes: Spikes, ids: Tensor) -> Tensor:
        """Naturalise: spikes `(B, T, *N)` and stable ids `(B,)` to what they become.

        Images `(B, H, W)`, the probability of each class, `(B, O)`, or means of values, `(B, D)`.
        """
        code = self.vdib.encode(spikes, Noise(self.seed, EVALUATION, ids))
        return self._natural(self.vdib.decode(code))

    def decisions(self, spikes: Spikes, ids: Tensor) -> Decisions:
        """Spikes `(B, T, *N)` and stable ids `(B,)` to the labels that they are taken for."""
        code = self.vdib.encode(spikes, Noise(self.seed, EVALUATION, ids))
        return self._decided(code, self.vdib.decode(code))

    def _decided(self, code: SpikeCode, decoded: Distribution) -> Decisions:
        label, step = self.vdib.decoder.decide(code)
        probability = self._natural(decoded).gather(1, label[:, None])[:, 0]
        return Decisions(label, probability, step)

    def _natural(self, decoded: Distribution) -> Tensor:
        if isinstance(self.signal, Image):
            return decoded.mean.view(-1, *self.signal.shape)
        if isinstance(self.signal, Curve):
            return decoded.mean[:, 0]
        probabilities: Tensor = decoded.probs[:, 0]  # type: ignore[attr-defined]
        return probabilities

    def evaluate(self, stage: str, batch: SpikeBatch) -> Tensor | None:
        out: Bottleneck = self.vdib(
            batch.spikes, batch.target, Noise(self.seed, EVALUATION, batch.id)
        )
        hidden = [single(spikes) for spikes in out.code.hidden]
        figures = {
            "loss": out.loss(self.vdib.beta),
            "distortion_nats": out.distortion.mean(),
            self.cost_name("rate_bits"): out.rate.sum(1).mean() * BITS_PER_NAT,
            "spikes_per_sample": out.code.spikes.sum((1, 2)).mean(),
            "readout_rate": out.code.spikes.mean(),
            "hidden_spikes_per_sample": sum(spikes.sum() for spikes in hidden) / len(batch.id),
            "hidden_rate": sum(spikes.mean() for spikes in hidden) / max(1, len(hidden)),
            **self.synops(batch.spikes, out.code),
            **out.penalty_nats(),
            **self._quality(stage, out, batch),
            **self.costs_beside(stage, out.code),
        }
        if isinstance(self.signal, Image) and out.code.stochastic:
            # A bound whatever beta was: the grey cross-entropy is the mean over binary images.
            figures["negative_elbo_nats"] = (out.distortion.sum(1) + out.rate.sum(1)).mean()
        self.log_figures(stage, figures, len(batch.id))
        if stage == "test" and self._anytime is not None:
            self._anytime.add(self, batch, out.code)
        return out.code.logits if out.code.stochastic else None

    def _quality(self, stage: str, out: Bottleneck, batch: SpikeBatch) -> dict[str, Tensor]:
        """How good what was decoded is, beside its distortion."""
        if isinstance(self.signal, Label):
            label, probability, step = self._decided(out.code, out.decoded)
            right = (label == batch.target).float()
            if stage == "test" and self._verdicts is not None:
                self._verdicts.add(label, probability, batch.target)
            return {"class_accuracy": right.mean(), "decision_step": step.float().mean()}
        figures, natural = {}, self._natural(out.decoded)
        if isinstance(self.signal, Curve):
            return {"squared_error": (natural - batch.target).square().mean()}
        if min(natural.shape[1:]) >= SSIM_SIDE:
            figures["ssim"] = ssim(natural, batch.target.view_as(natural)).mean()
        judged = self.judge(natural)
        originals = self.judge(batch.target.view_as(natural))
        if judged is not None and originals is not None:
            figures["judge_accuracy"] = (judged == batch.label).float().mean()
            figures["judge_accuracy_originals"] = (originals == batch.label).float().mean()
        return figures

    def on_test_epoch_start(self) -> None:
        self._verdicts = Verdicts(self.signal) if isinstance(self.signal, Label) else None
        data: Any = self.data
        if getattr(data, "looks", 0):
            self._anytime = AnyTime(data.num_steps, data.prepare.binning.dt)

    def on_test_epoch_end(self) -> None:
        if self._anytime is not None:
            sums = self._anytime.sums.to(self.device)
            self._anytime.sums = self.trainer.strategy.reduce(sums, reduce_op="sum").cpu()
            if self._anytime.judged:
                self.log_dict({f"test/{k}": v for k, v in self._anytime.figures().items()})
        if self._verdicts is not None:
            self._verdicts.reduce(self.trainer.strategy, self.device)
            self.log("test/calibration_error", self._verdicts.error)

    def constant(self, data: Any) -> tuple[str, float] | None:
        """The best constant answer: mean of images or values, or the frequencies of labels."""
        if not self.vdib.decoder.PROBABILITY:
            return None
        r = data.targets("validation")
        answer = self.signal.likelihood(self.signal.constant(r))
        name = "image" if isinstance(self.signal, Image) else "answer"
        return f"best constant {name}", float(distortion(answer.expand(r.shape[:1]), r).mean())

    def tables(self) -> dict[str, str]:
        tables = {} if self._verdicts is None else self._verdicts.tables()
        return tables if self._anytime is None else {**tables, "anytime": self._anytime.table()}

    def _code(self, batch: SpikeBatch, part: slice) -> SpikeCode:
        return self.vdib.encode(batch.spikes[part], Noise(self.seed, EVALUATION, batch.id[part]))

    def figures(self, batch: SpikeBatch) -> dict[str, Figure]:
        """What was decoded beside what was meant; a code; the codes' t-SNE."""
        spikes, decoded = [], []
        # A few at a time: what layers keep of all of them, on a large sensor, fits no memory.
        for start in range(0, len(batch.id), 50):
            code = self._code(batch, slice(start, start + 50))
            spikes.append(code.spikes)
            whole = self.vdib.decode(code)
            if isinstance(self.signal, Label):
                label, probability, _ = self._decided(code, whole)
                decoded.append(torch.stack([label.to(probability), probability], 1).cpu())
            else:
                decoded.append(self._natural(whole).cpu())
        natural, judged = torch.cat(decoded), None
        if isinstance(self.signal, Image):
            judged = self.judge(natural[:SHOWN].to(self.device))
        first = self._code(batch, slice(1))
        codes = torch.cat(spikes)
        figures = draw(self.vdib.decoder, batch, codes, natural, first, judged, self._verdicts)
        return figures if self._anytime is None else figures | self._anytime.drawn(self.signal)
