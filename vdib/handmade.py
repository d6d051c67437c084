"""Decoders made by hand, which have nothing to learn: class c is readout neuron c.

Each owns its map from a label to what the readout should do. `log_prob(label)` is its training
loss, `decide` its decision; class probabilities follow by normalising over the labels.

Legend: B batch, S decodings per sequence, T steps, L steps of the window, N readout neurons.
"""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import log_softmax, logsigmoid

from vdib.decoder import Decoder
from vdib.encoder import SpikeCode
from vdib.precision import single
from vdib.signal import Label, Signal
from vdib.window import Window, recent


class Scores(Distribution):
    """One number per label, `log_prob(label)`, whose exponentials need not sum to 1.

    Args:
        scores: `(B, S, N)`, nats.

    Attributes:
        probs: of the classes, normalised over them, `(B, S, N)`.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, scores: Tensor) -> None:
        super().__init__(scores.shape[:-1], validate_args=False)
        self.scores = scores
        self.probs = torch.softmax(scores, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.scores.gather(-1, value.expand(self.batch_shape).unsqueeze(-1)).squeeze(-1)


class HandmadeDecoder(Decoder):
    """One neuron a class.

    Args:
        window: how far back the decoder looks.
        num_neurons: N_y, the number of classes.
        signal: the labels.

    Raises:
        ValueError: no labels, or another number of neurons than of classes.
    """

    DECODES: ClassVar = (Label,)

    def __init__(self, window: Window, num_neurons: int, signal: Signal) -> None:
        super().__init__(signal)
        if num_neurons != signal.num_outputs:
            raise ValueError(
                f"{type(self).__name__} has one readout neuron a class: got num_readout "
                f"{num_neurons}, expected {signal.num_outputs}"
            )
        self.length = window.length

    @abstractmethod
    def scores(self, code: SpikeCode, every_step: bool) -> Tensor:
        """`log_prob` of every label, `(B, S, N)`."""

    def counts(self, code: SpikeCode, every_step: bool = False) -> Tensor:
        """Spikes of each neuron in the window, `(B, S, N)`."""
        return recent(single(code.spikes), self.length, every_step).sum(2)

    def forward(self, code: SpikeCode, every_step: bool = False) -> Distribution:
        return Scores(self.scores(code, every_step))


class CountDecoder(HandmadeDecoder):
    """Spike counts n, normal around target counts d of the label: SLAYER's loss.

        log_prob(label) = -sum_i (n_i - d_i(label))^2 / (2 sigma^2) - N log(sigma sqrt(2 pi))

    A density over counts and no probability. With sigma^2 = L steps it is the loss of Shrestha &
    Orchard, "SLAYER: Spike Layer Error Reassignment in Time", 2018, https://arxiv.org/abs/1810.08646,
    whose example has targets of 60 and 10 spikes in 300 steps: 0.2 and 0.033. The decision is the
    most likely label, at the end.

    Args:
        window: of which the spikes are counted.
        num_neurons: N_y, the number of classes.
        signal: the labels.
        target_true: spikes per step of the label's neuron, in [0, 1].
        target_false: of the others.
        sigma: deviation in spikes; the square root of the window's steps by default.

    Raises:
        ValueError: targets outside [0, 1] or not in this order, or a deviation that is not
            positive.
    """

    PROBABILITY: ClassVar = False

    def __init__(
        self,
        window: Window,
        num_neurons: int,
        signal: Signal,
        target_true: float = 0.2,
        target_false: float = 0.03,
        sigma: float | None = None,
    ) -> None:
        super().__init__(window, num_neurons, signal)
        if not 0 <= target_false < target_true <= 1:
            raise ValueError(
                "targets: expected 0 <= target_false < target_true <= 1, "
                f"got {target_false} and {target_true}"
            )
        self.sigma = math.sqrt(window.length) if sigma is None else sigma
        if not self.sigma > 0:
            raise ValueError(f"sigma: got {sigma}, expected above 0")
        self.target_true = target_true * window.length
        self.target_false = target_false * window.length

    def scores(self, code: SpikeCode, every_step: bool) -> Tensor:
        counts = self.counts(code, every_step)
        false = (counts - self.target_false).square()
        true = (counts - self.target_true).square()
        errors = false.sum(-1, keepdim=True) + true - false  # of each label, B S N
        constant = counts.shape[-1] * math.log(self.sigma * math.sqrt(2 * math.pi))
        return -errors / (2 * self.sigma**2) - constant


class MembraneDecoder(HandmadeDecoder):
    """The label is categorical with logits v at every step, and paid for at every step.

        log_prob(label) = sum_t log softmax(v[t])[label]

    The cross-entropy of the membrane of snnTorch's fifth tutorial. Their U is v + theta; a shift
    that all classes share changes nothing. A sum over steps and no probability of the label. The
    decision is theirs as well: the neuron with most spikes, the first of several.
    """

    PROBABILITY: ClassVar = False

    def scores(self, code: SpikeCode, every_step: bool) -> Tensor:
        if code.v is None:
            raise ValueError("MembraneDecoder needs a readout that has a distance from threshold")
        return recent(log_softmax(single(code.v), -1), self.length, every_step).sum(2)

    def decide(self, code: SpikeCode) -> tuple[Tensor, Tensor]:
        return self._at_the_end(code, self.counts(code)[:, 0])


class FirstSpikeDecoder(HandmadeDecoder):
    """The class is the neuron that fires first and alone, with its exact likelihood.

        log_prob(c) = log sum_t g_c[t] prod_{j != c} (1 - g_j[t]) prod_{t' < t, j} (1 - g_j[t'])

    with g = sigmoid(drive): before the first spike no neuron feels one of its own. Spikes are
    integrated out, so that nothing is sampled. Codes whose first spikes come together, and silent
    ones, count for no class. It looks at all steps so far, whatever the window. Bagheri, Simeone &
    Rajendran, "Training Probabilistic Spiking Neural Networks with First-to-spike Decoding", 2018,
    https://arxiv.org/abs/1710.10704.

    The decision is the first neuron to fire in the drawn code, of several the one with the largest
    drive; in silence, the likeliest, at the end.
    """

    SAMPLES: ClassVar = False

    def scores(self, code: SpikeCode, every_step: bool) -> Tensor:
        drive = _drive(code)
        silent = logsigmoid(-drive).sum(-1, keepdim=True)  # all neurons at one step, B T 1
        before = silent.cumsum(1) - silent
        # log g_c - log(1 - g_c) is the drive itself.
        alone = drive + silent + before
        return alone.logcumsumexp(1) if every_step else alone.logsumexp(1, keepdim=True)

    def decide(self, code: SpikeCode) -> tuple[Tensor, Tensor]:
        label, step = self._at_the_end(code, self.scores(code, False)[:, 0])
        spikes, drive = code.spikes > 0.5, _drive(code)
        fires = spikes.any(-1)  # B T
        first = fires.int().argmax(1)
        rows = torch.arange(len(first), device=first.device)
        among = drive[rows, first].masked_fill(~spikes[rows, first], -math.inf)
        ever = fires.any(1)
        return torch.where(ever, among.argmax(-1), label), torch.where(ever, first + 1, step)


def _drive(code: SpikeCode) -> Tensor:
    if code.drive is None:
        raise ValueError("FirstSpikeDecoder needs the drive of a sampled readout")
    return single(code.drive)
