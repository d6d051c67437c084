"""Decoding by the distance of van Rossum: filtered spike trains against filtered targets.

Legend: B batch, S decodings per sequence, L steps of the window, N readout neurons.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from vdib.dynamics.filters import ExponentialPair
from vdib.encoder import SpikeCode
from vdib.handmade import Decision, HandmadeDecoder, check_targets
from vdib.precision import single
from vdib.signal import Signal
from vdib.window import Window, recent


class VanRossumDecoder(HandmadeDecoder):
    """Filtered spike trains, normal around the filtered target trains z of the label.

        log_prob(label) = -sum_i D_i^2(label) tau / (2 sigma^2) - L N log(sigma sqrt(2 pi))
        D_i^2(label) = 1 / tau  sum_t (f_i[t] - g_i[t])^2
        f_i[t] = exp(-1 / tau) f_i[t - 1] + y_i[t],    g_i likewise from z_i(label)

    D is the distance of van Rossum, "A Novel Spike Distance", 2001,
    https://doi.org/10.1162/089976601300014321: a spike too many costs D^2 of about 1/2, one that
    comes early or late by far less than tau next to nothing, by far more than tau about 1. A
    density over filtered trains and no probability. With sigma^2 = tau it is the sum of D^2 / 2;
    with sigma = 1 the loss of Shrestha & Orchard, "SLAYER: Spike Layer Error Reassignment in Time",
    2018, https://arxiv.org/abs/1810.08646, under this filter.

    **Targets.** In L steps the label's neuron is to fire `target_true` L times (rounded, and at
    least once), evenly spaced, the others `target_false` L times: of n spikes one comes at every
    step t at which `(t + 1) n / L` has reached another whole number. At 0.2 these are steps 4, 9,
    14, ... The trains begin with the window, before which there is silence.

    Args:
        window: of which the spikes are filtered.
        num_neurons: N_y, the number of classes.
        signal: the labels.
        target_true: target spikes per step of the label's neuron, in [0, 1].
        target_false: of the others.
        tau: time constant of the filter, in steps.
        sigma: deviation of a filtered train from its target at a step, in spikes; the square root
            of tau by default.
        decision: see `HandmadeDecoder`.

    Raises:
        ValueError: targets outside [0, 1], not in this order, or as many spikes for all; a tau or
            a deviation that is not positive.
    """

    PROBABILITY: ClassVar = False
    true: Tensor
    false: Tensor

    def __init__(
        self,
        window: Window,
        num_neurons: int,
        signal: Signal,
        target_true: float = 0.2,
        target_false: float = 0.03,
        tau: float = 5.0,
        sigma: float | None = None,
        decision: Decision = "likeliest",
    ) -> None:
        super().__init__(window, num_neurons, signal, decision)
        check_targets(target_true, target_false)
        if not 0 < tau < math.inf or not (sigma is None or 0 < sigma < math.inf):
            raise ValueError(f"tau and sigma: got {tau} and {sigma}, expected numbers above 0")
        self.filter = ExponentialPair(membrane=math.exp(-1 / tau), synapse=0.0)  # unit peak
        self.sigma = math.sqrt(tau) if sigma is None else sigma
        counts = max(1, round(target_true * window.length)), round(target_false * window.length)
        if counts[0] == counts[1]:
            raise ValueError(
                f"target_true and target_false: got {target_true} and {target_false}, which are "
                f"{counts[0]} spikes in {window.length} steps for all: a larger target_true"
            )
        for name, count in zip(("true", "false"), counts, strict=True):
            train = target_train(count, window.length)[None, :, None]
            self.register_buffer(name, self._filtered(train)[0], persistent=False)

    def _filtered(self, spikes: Tensor) -> Tensor:
        """`(R, L, N)` to the same; time grows as L."""
        return self.filter(spikes[:, :, None])

    def scores(self, code: SpikeCode, every_step: bool) -> Tensor:
        windows = recent(single(code.spikes), self.length, every_step)  # B S L N
        trains = self._filtered(windows.flatten(0, 1)).view(windows.shape)
        false = (trains - self.false.to(trains)).square().sum(2)
        true = (trains - self.true.to(trains)).square().sum(2)
        errors = false.sum(-1, keepdim=True) + true - false  # of each label, B S N
        values = self.length * self.num_neurons
        constant = values * math.log(self.sigma * math.sqrt(2 * math.pi))
        return -errors / (2 * self.sigma**2) - constant


def target_train(count: int, num_steps: int) -> Tensor:
    """Evenly spaced spikes, `(T,)` float64: `floor((t + 1) n / T) - floor(t n / T)` at step t.

    >>> target_train(2, 6)
    tensor([0., 0., 1., 0., 0., 1.], dtype=torch.float64)

    Args:
        count: n, spikes.
        num_steps: T, at least as many.
    """
    reached = torch.arange(num_steps + 1) * count // num_steps
    return reached.diff().double()
