"""Target spike counts with the gradient that SLAYER publishes, which is not that of its loss.

Legend: B batch, S decodings per sequence, T steps, L steps of the window, N readout neurons.
"""

from typing import ClassVar

import torch
from torch import Tensor

from vdib.dynamics.alpha import Alpha
from vdib.encoder import SpikeCode
from vdib.handmade import CountDecoder, Memory, Reading
from vdib.precision import single
from vdib.signal import Signal
from vdib.window import Window


class SlayerCountDecoder(CountDecoder):
    """Spike counts as `CountDecoder`, with the credit that SLAYER's code gives to each spike.

        log_prob(label) = -sum_i sum_t e_i[t]^2 / 2,
        e_i[t] = (eps * (s_i - r_i))[t] + 1[t in window] (n_i - d_i(label)) / L

    where eps is an alpha function, n the spikes in the window, and r the spikes in the window once
    more. Neither n nor r is differentiated. The first term is zero but for spikes before the
    window, which it draws to silence (van Rossum's distance), so that otherwise the value is
    `CountDecoder`'s, but for a constant, at `sigma^2 = L`. Its gradient is not: instead of the same
    error `(n - d) / L` for every step of the window, the spike at t is given

        dE/ds_i[t] = sum_k eps[k] e_i[t + k]

    which for an alpha function of 10 steps is up to 27 times as much, less towards the end, nothing
    in the last step, and something in the steps before the window. Shrestha & Orchard, "SLAYER:
    Spike Layer Error Reassignment in Time", 2018, https://arxiv.org/abs/1810.08646, as their code
    computes it.

    Args:
        window: of which the spikes are counted.
        num_neurons: N_y, the number of classes.
        signal: the labels.
        target_true: spikes per step of the label's neuron, in [0, 1].
        target_false: of the others.
        tau_sr: time to the peak of eps, in steps.

    Raises:
        ValueError: targets outside [0, 1] or not in this order, or a tau that is not positive.
    """

    PROBABILITY: ClassVar = False

    def __init__(
        self,
        window: Window,
        num_neurons: int,
        signal: Signal,
        target_true: float = 0.2,
        target_false: float = 0.03,
        tau_sr: float = 10.0,
    ) -> None:
        super().__init__(window, num_neurons, signal, target_true, target_false)
        self.filter = Alpha(tau_sr)

    def scores(self, code: SpikeCode, every_step: bool) -> Tensor:
        spikes = single(code.spikes)
        ends = range(1, spikes.shape[1] + 1) if every_step else [spikes.shape[1]]
        return torch.cat([self._at(spikes[:, :end]) for end in ends], 1)

    def _at(self, spikes: Tensor) -> Tensor:
        """Decoded after the last of these steps, `(B, T, N)` to `(B, 1, N)`."""
        begin = max(0, spikes.shape[1] - self.length)
        counted = torch.zeros_like(spikes)
        counted[:, begin:] = spikes[:, begin:].detach()
        errors = self.filter((spikes - counted)[:, :, None])  # B T N
        alone, within = errors.square().sum((1, 2)), errors[:, begin:].sum(1)
        return self._scores(alone, within, counted.sum(1))[:, None]

    def _scores(self, alone: Tensor, within: Tensor, counts: Tensor) -> Tensor:
        """`log_prob` of every label, `(B, N)`.

        Args:
            alone: the squares of the first term over all steps, `(B,)`.
            within: the first term summed over the window, `(B, N)`.
            counts: spikes in the window, `(B, N)`.
        """
        false, true = (counts - d for d in (self.target_false, self.target_true))

        def squares(of_count: Tensor) -> Tensor:
            """`sum_t e^2 / 2` less that of the first term alone, `(B, N)`."""
            return within * of_count / self.length + of_count.square() / (2 * self.length)

        of_false, of_true = squares(false), squares(true)
        return -(alone[:, None] / 2 + of_false.sum(-1, keepdim=True) + of_true - of_false)

    def memory(self, like: Tensor) -> Memory:
        """The window's spikes, the first term from the step before the window on, its past squares.

        What has left the window goes on for as long as eps does.
        """
        steps = max(self.length + 1, self.filter.duration)
        coming = like.new_zeros(len(like), steps, self.num_neurons)
        return coming[:, : self.length].clone(), coming, like.new_zeros(len(like))

    def step(self, code: SpikeCode, memory: Memory) -> tuple[Reading, Memory]:
        """One step of `forward(code, every_step=True)`, for a stream."""
        window, coming, past = memory
        left = window[:, 0]
        window = torch.cat([window[:, 1:], code.spikes[:, None]], 1)
        past = past + coming[:, 0].square().sum(1)
        coming = torch.cat([coming[:, 1:], torch.zeros_like(coming[:, :1])], 1)
        kernel = self.filter.impulse_response(self.filter.duration)[0].to(coming)
        coming[:, : len(kernel)] += kernel[:, None] * left[:, None]
        seen = coming[:, : self.length + 1]
        alone = past + seen.square().sum((1, 2))
        scores = self._scores(alone, seen[:, 1:].sum(1), window.sum(1))
        label = scores.argmax(-1)
        return Reading(scores, label, torch.zeros_like(label)), (window, coming, past)
