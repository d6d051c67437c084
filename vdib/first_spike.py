"""First-to-spike decoding: the class is the neuron that fires first.

Legend: B batch, S decodings per sequence, T steps, N readout neurons.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vdib.encoder import SpikeCode
from vdib.handmade import HandmadeDecoder, Memory, Reading
from vdib.precision import single
from vdib.signal import Signal
from vdib.window import Window


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
    decision = "first_spike"

    def __init__(self, window: Window, num_neurons: int, signal: Signal) -> None:
        super().__init__(window, num_neurons, signal)

    def scores(self, code: SpikeCode, every_step: bool) -> Tensor:
        alone, _ = _alone(_drive(code))
        return alone.logcumsumexp(1) if every_step else alone.logsumexp(1, keepdim=True)

    def evidence(self, code: SpikeCode) -> Tensor:
        return _drive(code)

    def memory(self, like: Tensor) -> Memory:
        """Scores, what silence up to now has cost, time, and the decision: label and step."""
        rows, none = len(like), torch.zeros(len(like), dtype=torch.int64, device=like.device)
        scores = like.new_full((rows, self.num_neurons), -math.inf)
        return scores, like.new_zeros(rows, 1), none[:1].sum(), none, none.clone()

    def step(self, code: SpikeCode, memory: Memory) -> tuple[Reading, Memory]:
        """One step of `forward(code, every_step=True)`, for a stream; settled by the first spike.

        scores[t] = log(exp scores[t - 1] + exp(drive[t] + silent[t] + sum_{t' < t} silent[t']))
        """
        scores, before, time, label, decided = memory
        alone, silent = _alone(_drive(code)[:, None], before[:, None])
        scores, time = torch.logaddexp(scores, alone[:, 0]), time + 1
        label, decided = self.first_to_fire(code, time, label, decided)
        taken_for = torch.where(decided > 0, label, scores.argmax(-1))
        reading = Reading(scores, taken_for, decided)
        return reading, (scores, before + silent[:, 0], time, label, decided)


def _alone(drive: Tensor, before: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """The log-probability that a neuron fires at a step, alone and first of all, `(B, T, N)`.

    Beside it that of no spike at all at a step, `(B, T, 1)`; `before` is its sum over the steps
    before these.
    """
    silent = logsigmoid(-drive).sum(-1, keepdim=True)
    # log g_c - log(1 - g_c) is the drive itself.
    return drive + silent + (silent.cumsum(1) - silent + before), silent


def _drive(code: SpikeCode) -> Tensor:
    if code.drive is None:
        raise ValueError("FirstSpikeDecoder needs the drive of a sampled readout")
    return single(code.drive)
