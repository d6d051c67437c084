"""Decoders made by hand, which have nothing to learn: class c is readout neuron c.

Each owns its map from a label to what the readout should do. `log_prob(label)` is its training
loss, `decide` its decision; class probabilities follow by normalising over the labels. More of
them: `vdib.membrane`, `vdib.van_rossum`, `vdib.first_spike`.

Legend: B batch, S decodings per sequence, T steps, L steps of the window, N readout neurons.
"""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution

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


class Reading(NamedTuple):
    """What a stream is taken for after a step.

    Attributes:
        scores: `log_prob` of every label, `(B, N)`.
        label: as `decide` would have it if the sequence ended now, `(B,)`.
        decided: after how many steps it was settled for good, `(B,)`; 0 while it may change.
    """

    scores: Tensor
    label: Tensor
    decided: Tensor


Decision = Literal["likeliest", "count", "first_spike"]
"""How a label is decided: by `log_prob`, by most spikes, or by who fires first."""

Memory = tuple[Tensor, ...]
"""What a decoder keeps of a stream: tensors whose shapes never change."""


class HandmadeDecoder(Decoder):
    """One neuron a class.

    The decision is, in the window (`first_spike`: in all steps so far),

        likeliest      argmax_c log_prob(c), at the end
        count          the neuron with most spikes, the first of several, at the end
        first_spike    the first neuron to fire, and when it does; of several the one with the
                       largest v; in silence, the likeliest, at the end

    Args:
        window: how far back the decoder looks.
        num_neurons: N_y, the number of classes.
        signal: the labels.

    Raises:
        ValueError: no labels, another number of neurons than of classes, or no such decision.

    Attributes:
        decision: how labels are decided.
    """

    DECODES: ClassVar = (Label,)
    decision: Decision = "likeliest"

    def __init__(
        self, window: Window, num_neurons: int, signal: Signal, decision: Decision | None = None
    ) -> None:
        super().__init__(signal)
        if decision is not None and decision not in get_args(Decision):
            expected = ", ".join(get_args(Decision))
            raise ValueError(f"decision: got {decision}, expected {expected}")
        self.decision = decision or self.decision
        if num_neurons != signal.num_outputs:
            raise ValueError(
                f"{type(self).__name__} has one readout neuron a class: got num_readout "
                f"{num_neurons}, expected {signal.num_outputs}"
            )
        self.num_neurons, self.length = num_neurons, window.length

    @abstractmethod
    def scores(self, code: SpikeCode, every_step: bool) -> Tensor:
        """`log_prob` of every label, `(B, S, N)`."""

    def counts(self, code: SpikeCode, every_step: bool = False) -> Tensor:
        """Spikes of each neuron in the window, `(B, S, N)`."""
        return recent(single(code.spikes), self.length, every_step).sum(2)

    def forward(self, code: SpikeCode, every_step: bool = False) -> Distribution:
        return Scores(self.scores(code, every_step))

    def decide(self, code: SpikeCode) -> tuple[Tensor, Tensor]:
        if self.decision == "count":
            return self._at_the_end(code, self.counts(code)[:, 0])
        label, step = self._at_the_end(code, self.scores(code, False)[:, 0])
        if self.decision == "likeliest":
            return label, step
        spikes, evidence = code.spikes > 0.5, self.evidence(code)
        fires = spikes.any(-1)  # B T
        first = fires.int().argmax(1)
        rows = torch.arange(len(first), device=first.device)
        among = _of_those(spikes[rows, first], evidence[rows, first])
        ever = fires.any(1)
        return torch.where(ever, among, label), torch.where(ever, first + 1, step)

    def evidence(self, code: SpikeCode) -> Tensor:
        """By which one of several neurons that fire at once is taken, `(..., N)`."""
        return single(code.spikes if code.v is None else code.v)

    def memory(self, like: Tensor) -> Memory:
        """Before the first step; `like` has B rows, a device and a kind of numbers."""
        silence = like.new_zeros(len(like), self.length, self.num_neurons)
        none = torch.zeros(len(like), dtype=torch.int64, device=like.device)
        return silence, silence.clone(), none[:1].sum(), none, none.clone()

    def first_to_fire(
        self, code: SpikeCode, time: Tensor, label: Tensor, decided: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Label and step of a decision by the first spike, one step later; step 0 in silence.

        Args:
            code: of this step, without a time axis.
            time: how many steps there have been, with this one.
            label: as the last step left it, `(B,)`.
            decided: likewise.
        """
        spikes = code.spikes > 0.5
        now = (decided == 0) & spikes.any(-1)
        label = torch.where(now, _of_those(spikes, self.evidence(code)), label)
        return label, torch.where(now, time, decided)

    def step(self, code: SpikeCode, memory: Memory) -> tuple[Reading, Memory]:
        """One step of `forward(code, every_step=True)`, for a stream, from the window alone.

        Args:
            code: of this step, without a time axis.
            memory: as the last step returned it.
        """
        last = zip(memory[:2], (code.spikes, code.v), strict=True)
        spikes, v = (
            past if now is None else torch.cat([past[:, 1:], now[:, None]], 1) for past, now in last
        )
        time, first, decided = memory[2] + 1, *memory[3:]
        seen = slice(max(0, self.length - int(time)), None)  # what there is of the window
        recent_v = None if code.v is None else v[:, seen]
        whole = SpikeCode(spikes[:, seen], recent_v, stochastic=code.stochastic)
        label, _ = self.decide(whole)
        if self.decision == "first_spike":
            first, decided = self.first_to_fire(code, time, first, decided)
            label = torch.where(decided > 0, first, label)
        scores = self.scores(whole, False)[:, 0]
        return Reading(scores, label, decided), (spikes, v, time, first, decided)


def _of_those(spikes: Tensor, evidence: Tensor) -> Tensor:
    """Of the neurons that fire, the one with the most evidence, `(B, N)` to `(B,)`."""
    return evidence.masked_fill(~spikes, -math.inf).argmax(-1)


def check_targets(target_true: float, target_false: float) -> None:
    """Whether they are spikes per step of the label's neuron, and of the others.

    Raises:
        ValueError: targets outside [0, 1] or not in this order.
    """
    if not 0 <= target_false < target_true <= 1:
        raise ValueError(
            "targets: expected 0 <= target_false < target_true <= 1, "
            f"got {target_false} and {target_true}"
        )


class CountDecoder(HandmadeDecoder):
    """Spike counts n, normal around target counts d of the label: SLAYER's loss.

        log_prob(label) = -sum_i (n_i - d_i(label))^2 / (2 sigma^2) - N log(sigma sqrt(2 pi))

    A density over counts and no probability. With sigma^2 = L steps it is the loss of Shrestha &
    Orchard, "SLAYER: Spike Layer Error Reassignment in Time", 2018, https://arxiv.org/abs/1810.08646,
    whose example has targets of 60 and 10 spikes in 300 steps: 0.2 and 0.033.

    Args:
        window: of which the spikes are counted.
        num_neurons: N_y, the number of classes.
        signal: the labels.
        target_true: spikes per step of the label's neuron, in [0, 1].
        target_false: of the others.
        sigma: deviation in spikes; the square root of the window's steps by default.
        decision: see `HandmadeDecoder`.

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
        decision: Decision = "likeliest",
    ) -> None:
        super().__init__(window, num_neurons, signal, decision)
        check_targets(target_true, target_false)
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
