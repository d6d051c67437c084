"""Spikes to images, labels or real vectors: the Lightning side of `vdib.model.VDIB`.

Legend: B batch, T steps, N_y readout neurons, H W pixels of an image, D values of a vector.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution

from vdib.bottleneck import Bottleneck
from vdib.decoder import WindowDecoder
from vdib.encoder import SpikeCode
from vdib.figures.calibration import calibration
from vdib.figures.codes import tsne
from vdib.figures.confusion import confusion
from vdib.figures.images import reconstructions
from vdib.figures.spikes import raster
from vdib.figures.vectors import scatter
from vdib.lenet5 import LeNet5, load_judge
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.naturalisation.anytime import AnyTime
from vdib.lightning_modules.vdib_module import VDIBModule
from vdib.metrics import SSIM_SIDE, calibration_error, reliability, ssim
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT, distortion, rate
from vdib.precision import single
from vdib.pruning import operations
from vdib.signal import Curve, Image, Label
from vdib.sparse import SparseSpikes, Spikes
from vdib.window import recent


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
    """Turns spike trains into natural signals: images, labels, or real vectors at the end."""

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
        "rate_bits_marginal": "rate under a fitted marginal (bits/sample)",
        "spikes_per_sample": "readout spikes per sample",
        "hidden_spikes_per_sample": "hidden spikes per sample",
        "hidden_rate": "hidden spikes per neuron and step",
        "readout_rate": "readout spikes per neuron and step",
        "synaptic_operations": "synaptic operations per sample",
        "unpruned_operations": "the same, had nothing been pruned",
        "ssim": "SSIM",
        "train_seconds": "training (s)",
    }

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # In a list: no part of the model, nor of its checkpoints.
        judged = isinstance(self.signal, Image) and self.signal.digits
        self._judge = [load_judge()] if judged else []
        self._reliability = torch.zeros(())  # of the decisions on test examples so far
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
            **self._operations(batch.spikes, out.code),
            **out.penalty_nats(),
            **self._quality(stage, out, batch),
        }
        logits = out.code.logits if out.code.stochastic else None
        if stage != "val" and logits is not None:  # it is being fitted on the validation data
            beside = rate(logits, torch.logit(self.marginal)).sum(1).mean()
            figures["rate_bits_marginal"] = beside * BITS_PER_NAT
        self.log_figures(stage, figures, len(batch.id))
        if stage == "test" and self._anytime is not None:
            self._anytime.add(self, batch, out.code)
        return logits

    def _operations(self, x: Spikes, code: SpikeCode) -> dict[str, Tensor]:
        """Of synapses, per sample; none where the input are currents, which are no events."""
        if isinstance(x, Tensor) and not torch.equal(x[:1], x[:1].round().abs()):
            return {}
        encoder = self.vdib.encoder
        found = {"synaptic_operations": operations(encoder, x, code)}
        if self.pruning is not None:
            found["unpruned_operations"] = operations(encoder, x, code, pruned=False)
        return {name: count.float() for name, count in found.items()}

    def _quality(self, stage: str, out: Bottleneck, batch: SpikeBatch) -> dict[str, Tensor]:
        """How good what was decoded is, beside its distortion."""
        if isinstance(self.signal, Label):
            label, probability, step = self._decided(out.code, out.decoded)
            right = (label == batch.target).float()
            if stage == "test":
                some = reliability(probability, right)
                self._reliability = self._reliability.to(some) + some
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
        self._reliability = torch.zeros(())
        data: Any = self.data
        if getattr(data, "looks", 0):
            self._anytime = AnyTime(data.num_steps, data.prepare.binning.dt)

    def on_test_epoch_end(self) -> None:
        if self._anytime is not None:
            sums = self._anytime.sums.to(self.device)
            self._anytime.sums = self.trainer.strategy.reduce(sums, reduce_op="sum").cpu()
            if self._anytime.judged:
                self.log_dict({f"test/{k}": v for k, v in self._anytime.figures().items()})
        if isinstance(self.signal, Label):
            bins = self.trainer.strategy.reduce(self._reliability, reduce_op="sum")
            self.log("test/calibration_error", calibration_error(bins))

    def constant(self, data: Any) -> tuple[str, float] | None:
        """The best constant answer: mean of images or values, or the frequencies of labels."""
        if not self.vdib.decoder.PROBABILITY:
            return None
        r = data.targets("validation")
        answer = self.signal.likelihood(self.signal.constant(r))
        name = "image" if isinstance(self.signal, Image) else "answer"
        return f"best constant {name}", float(distortion(answer.expand(r.shape[:1]), r).mean())

    def tables(self) -> dict[str, str]:
        return {} if self._anytime is None else {"anytime": self._anytime.table()}

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
        natural, target = torch.cat(decoded), batch.target.cpu()
        x, code = batch.spikes[:1], self._code(batch, slice(1))
        dense = x.dense() if isinstance(x, SparseSpikes) else x
        hidden = code.hidden[-1][0].flatten(1).cpu() if code.hidden else None
        figures = {"raster": raster(dense[0].flatten(1).cpu(), code.spikes[0].cpu(), hidden)}
        decoder = self.vdib.decoder
        if self._anytime is not None:
            figures |= self._anytime.drawn(self.signal)
        features = torch.cat(spikes).sum(1)
        if isinstance(decoder, WindowDecoder):
            features = decoder.window(recent(torch.cat(spikes), decoder.window.length)).flatten(1)
        figures["code_tsne"] = tsne(features.cpu(), batch.label.cpu())
        if isinstance(self.signal, Label):
            labels, sure = natural[:, 0].long(), natural[:, 1]
            size, names = self.signal.num_classes, self.signal.names
            figures["confusion"] = confusion(labels, target, size, names)
            figures["calibration"] = calibration(reliability(sure, labels == target))
            return figures
        if isinstance(self.signal, Curve):
            figures["decoded"] = scatter(natural, target)
            return figures
        images = natural[:20]
        judged = self.judge(images.to(self.device))
        figures["naturalised"] = reconstructions(
            target[:20].view_as(images),
            images,
            batch.label[:20].cpu(),
            None if judged is None else judged.cpu(),
            max_images=20,
        )
        return figures
