"""Temporal attention: how much each step of a layer's input counts, from the recent steps.

    s[t] = mean of x[t] over all inputs / level                      squeezed over space and channel
    d[t] = sigmoid(w_2 . max(W_1 (s[t], s[t - 1], ..., s[t - L + 1]) + b_1, 0) + b_2)
    the layer is given d[t] x[t]

That of Yao et al., "Temporal-wise Attention Spiking Neural Networks for Event Streams
Classification", 2021, https://arxiv.org/abs/2107.11711, sees all T steps at once, later ones as
well, and knows sequences of length T only. Ours is causal: the weight of a step comes from this
step and the L - 1 before it (zero before the start), in the same way at every step, and so it works
in streams.

s is never negative: W_1 starts positive and b_1 at zero, or a unit of so few might never answer.

What it costs: the layer's input is no longer 0 or 1. As W (d x) = d (W x), that is one
multiplication per neuron and step. Lists of spikes are made dense.

Legend: B batch, T steps, L recent steps, N_in inputs (any number of axes).
"""

from typing import Any

import torch
from torch import Tensor, nn

from vdib.neurons.layer import Layer, State
from vdib.neurons.wrapped import Wrapped
from vdib.sparse import Spikes


class Attended(Wrapped):
    """A layer whose input is weighted step by step.

    Args:
        inner: the layer.
        num_steps: L; the bottleneck has half as many units.

    Attributes:
        level: spikes per input and step that s is relative to; calibration sets it.

    Raises:
        ValueError: fewer than 2 steps.
    """

    level: Tensor

    def __init__(self, inner: Layer, num_steps: int) -> None:
        if num_steps < 2:
            raise ValueError(f"attention: got {num_steps} steps, expected at least 2")
        super().__init__(inner)
        self.num_steps = num_steps
        units = num_steps // 2
        first = nn.Linear(num_steps, units)
        with torch.no_grad():
            first.weight.abs_()
            first.bias.zero_()
        self.weigh = nn.Sequential(first, nn.ReLU(), nn.Linear(units, 1))
        self.register_buffer("level", torch.ones(()))

    def before(self, x: Spikes) -> Tensor:
        x = self._dense(x)
        s = self._squeezed(x.flatten(2))  # B T
        recent = nn.functional.pad(s, (self.num_steps - 1, 0)).unfold(1, self.num_steps, 1)
        return self._weighted(x, recent.flip(-1))

    def _squeezed(self, x: Tensor) -> Tensor:
        return x.to(self.level.dtype).mean(-1) / self.level

    def _weighted(self, x: Tensor, recent: Tensor) -> Tensor:
        """`(..., *N_in)` and s of the recent steps, the latest first, `(..., L)`."""
        weight = torch.sigmoid(self.weigh(recent).to(x.dtype))
        return x * weight.view(*recent.shape[:-1], *[1] * len(self.input_shape))

    def step(
        self, x: Tensor, state: tuple[Tensor, State] | None, *how: Any
    ) -> tuple[Tensor, Tensor | None, State]:
        """One step; the state is s of the steps before, `(B, L - 1)`, and the inner layer's."""
        past, own = state or (self.level.new_zeros(len(x), self.num_steps - 1), None)
        recent = torch.cat([self._squeezed(x.flatten(1))[:, None], past], 1)
        spikes, v, own = self.inner.step(self._weighted(x, recent), own, *how)
        return spikes, v, (recent[:, :-1], own)

    @torch.no_grad()
    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Measure `level` on `x`, then scale the inner layer's weights."""
        level = self._dense(x).to(self.level.dtype).mean()
        self.level.copy_(level if level > 0 else torch.ones_like(level))
        super().calibrate(x, spread, rate)
