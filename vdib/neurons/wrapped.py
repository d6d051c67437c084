"""A layer inside another, which changes what it is given or what it gives.

Weights and filters of a wrapped layer are not known to commute: e-prop, direct feedback, online
learning and several codes per input refuse it in one line.

Legend: B batch, T steps, N neurons, N_in neurons below (any number of axes).
"""

from typing import Any

import torch
from torch import Tensor, nn

from vdib.neurons.layer import Layer, State
from vdib.sparse import SparseSpikes, Spikes


class Wrapped(nn.Module):
    """A deterministic layer around another; by itself it changes nothing.

    Args:
        inner: the layer.
    """

    stochastic = False

    def __init__(self, inner: Layer) -> None:
        super().__init__()
        self.inner: Layer = inner
        self.input_shape = inner.input_shape
        self.shape = inner.shape

    def before(self, x: Spikes) -> Spikes:
        """What the inner layer is given of whole sequences `(B, T, *N_in)`."""
        return x

    def forward(self, x: Spikes, *how: Any) -> tuple[Tensor, Tensor | None]:
        """Spikes and v of whole sequences; `how` is as the inner layer takes it."""
        return self.inner(self.before(x), *how)

    def step(self, x: Tensor, state: State, *how: Any) -> tuple[Tensor, Tensor | None, State]:
        """One step of `forward`, `(B, *N_in)` to spikes and v, `(B, *N)`, and the next state."""
        return self.inner.step(x, state, *how)

    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Scale the inner layer's weights on what it is given of `x`."""
        with torch.no_grad():
            self.inner.calibrate(self.before(x), spread, rate)

    def _dense(self, x: Spikes) -> Tensor:
        if isinstance(x, SparseSpikes):
            return x.dense(next(self.inner.parameters()).dtype)
        return x
