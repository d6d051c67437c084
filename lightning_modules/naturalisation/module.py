"""Spikes to natural signals, images or labels: the Lightning side of `vdib.model.VDIB`.

Legend: B batch, T steps, N_y readout neurons, H W pixels of an image.
"""

from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution

from vdib.decoder import WindowDecoder
from vdib.encoder import SpikeCode
from vdib.figures.codes import tsne
from vdib.figures.confusion import confusion
from vdib.figures.images import reconstructions
from vdib.figures.spikes import raster
from vdib.lenet5 import LeNet5, load_judge
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.vdib_module import VDIBModule
from vdib.metrics import SSIM_SIDE, ssim
from vdib.model import Bottleneck
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT, distortion, rate
from vdib.precision import single
from vdib.signal import Image, Label
from vdib.sparse import SparseSpikes, Spikes
from vdib.window import recent


class NaturalisationModule(VDIBModule):
    """Turns spike trains into natural signals: images, or labels."""

    MEASURES: ClassVar = (Image, Label)
    TABLE: ClassVar = {
        "judge_accuracy": "judge accuracy on naturalised test images",
        "judge_accuracy_originals": "judge accuracy on the images themselves",
        "class_accuracy": "class accuracy on test examples",
        "decision_step": "steps until the class is decided",
        "distortion_nats": "distortion (nats/sample)",
        "rate_bits": "rate under the training prior (bits/sample)",
        "code_length_bits": "code length under the training prior (bits/sample)",
        "rate_bits_marginal": "rate under a fitted marginal (bits/sample)",
        "spikes_per_sample": "readout spikes per sample",
        "hidden_rate": "hidden spikes per neuron and step",
        "readout_rate": "readout spikes per neuron and step",
        "ssim": "SSIM",
        "train_seconds": "training (s)",
    }

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # In a list: no part of the model, nor of its checkpoints.
        judged = isinstance(self.signal, Image) and self.signal.digits
        self._judge = [load_judge()] if judged else []

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

        Images `(B, H, W)`, or the probability of each class, `(B, O)`.
        """
        code = self.vdib.encode(spikes, Noise(self.seed, EVALUATION, ids))
        return self._natural(self.vdib.decode(code))

    def _natural(self, decoded: Distribution) -> Tensor:
        if isinstance(self.signal, Image):
            return decoded.mean.view(-1, *self.signal.shape)
        probabilities: Tensor = decoded.probs[:, 0]  # type: ignore[attr-defined]
        return probabilities

    def evaluate(self, stage: str, batch: SpikeBatch) -> Tensor | None:
        out: Bottleneck = self.vdib(
            batch.spikes, batch.target, Noise(self.seed, EVALUATION, batch.id)
        )
        hidden = [single(spikes).mean() for spikes in out.code.hidden]
        figures = {
            "loss": out.loss(self.vdib.beta),
            "distortion_nats": out.distortion.mean(),
            self.cost_name("rate_bits"): out.rate.sum(1).mean() * BITS_PER_NAT,
            "spikes_per_sample": out.code.spikes.sum((1, 2)).mean(),
            "readout_rate": out.code.spikes.mean(),
            "hidden_rate": sum(hidden) / max(1, len(hidden)),
            **out.penalty_nats(),
            **self._quality(out, batch),
        }
        logits = out.code.logits if out.code.stochastic else None
        if stage != "val" and logits is not None:  # it is being fitted on the validation data
            beside = rate(logits, torch.logit(self.marginal)).sum(1).mean()
            figures["rate_bits_marginal"] = beside * BITS_PER_NAT
        self.log_figures(stage, figures, len(batch.id))
        return logits

    def _quality(self, out: Bottleneck, batch: SpikeBatch) -> dict[str, Tensor]:
        """How good what was decoded is, beside its distortion."""
        if isinstance(self.signal, Label):
            label, step = self.vdib.decoder.decide(out.code)
            right = (label == batch.target).float()
            return {"class_accuracy": right.mean(), "decision_step": step.float().mean()}
        figures, natural = {}, self._natural(out.decoded)
        if min(natural.shape[1:]) >= SSIM_SIDE:
            figures["ssim"] = ssim(natural, batch.target.view_as(natural)).mean()
        judged = self.judge(natural)
        if judged is not None:
            figures["judge_accuracy"] = (judged == batch.label).float().mean()
            originals = self.judge(batch.target.view_as(natural))
            figures["judge_accuracy_originals"] = (originals == batch.label).float().mean()
        return figures

    def constant(self, data: Any) -> tuple[str, float] | None:
        """The best constant answer: the mean of the images, or the frequencies of the labels."""
        if not self.vdib.decoder.PROBABILITY:
            return None
        r = data.targets("validation")
        answer = self.signal.likelihood(self.signal.constant(r))
        name = "image" if isinstance(self.signal, Image) else "answer"
        return f"best constant {name}", float(distortion(answer.expand(r.shape[:1]), r).mean())

    def _code(self, batch: SpikeBatch, part: slice) -> SpikeCode:
        return self.vdib.encode(batch.spikes[part], Noise(self.seed, EVALUATION, batch.id[part]))

    def figures(self, batch: SpikeBatch) -> dict[str, Figure]:
        """Originals over images, or who was taken for whom; a code; the codes' t-SNE."""
        spikes, decided = [], []
        # A few at a time: what layers keep of all of them, on a large sensor, fits no memory.
        for start in range(0, len(batch.id), 50):
            code = self._code(batch, slice(start, start + 50))
            spikes.append(code.spikes)
            if isinstance(self.signal, Label):
                decided.append(self.vdib.decoder.decide(code)[0].cpu())
            else:
                decided.append(self._natural(self.vdib.decode(code)).cpu())
        natural = torch.cat(decided)
        x, code = batch.spikes[:1], self._code(batch, slice(1))
        dense = x.dense() if isinstance(x, SparseSpikes) else x
        hidden = code.hidden[-1][0].flatten(1).cpu() if code.hidden else None
        figures = {"raster": raster(dense[0].flatten(1).cpu(), code.spikes[0].cpu(), hidden)}
        decoder = self.vdib.decoder
        features = torch.cat(spikes).sum(1)
        if isinstance(decoder, WindowDecoder):
            features = decoder.window(recent(torch.cat(spikes), decoder.window.length)).flatten(1)
        figures["code_tsne"] = tsne(features.cpu(), batch.label.cpu())
        if isinstance(self.signal, Label):
            size = self.signal.num_classes
            figures["confusion"] = confusion(natural, batch.target.cpu(), size)
            return figures
        images = natural[:20]
        judged = self.judge(images.to(self.device))
        figures["naturalised"] = reconstructions(
            batch.target[:20].view_as(images).cpu(),
            images,
            batch.label[:20].cpu(),
            None if judged is None else judged.cpu(),
            max_images=20,
        )
        return figures
