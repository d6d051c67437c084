"""Spike-element-wise (SEW) residual connections: a layer's spikes joined with its input.

    ADD: y = s + x        counts, 0 to one more than those of x
    AND: y = s x          spikes

Fang et al., "Deep Residual Learning in Spiking Neural Networks", 2021,
https://arxiv.org/abs/2102.04159. ADD passes x on where the layer is silent, so that depth costs no
gradient. Its price: what leaves is no longer spikes. A count of 2 is two events, or one with a
number in it, and the layer above multiplies where it only added. AND stays binary, but lets through
only what both say; a silent layer blocks the way, and the gradient with it.

Legend: B batch, T steps, N neurons.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vdib.neurons.layer import Layer, State
from vdib.neurons.wrapped import Wrapped
from vdib.sparse import Spikes

Join = Callable[[Tensor, Tensor], Tensor]
"""From a layer's spikes and its input to what leaves the block, all of one shape."""

JOINS: dict[str, Join] = {"add": torch.add, "and": torch.mul}


class Residual(Wrapped):
    """A layer, and a way around it.

    Args:
        inner: a layer of the shape of its input.
        join: how its spikes and the input are joined.

    Raises:
        ValueError: the shapes differ.
    """

    def __init__(self, inner: Layer, join: Join) -> None:
        super().__init__(inner)
        if inner.shape != inner.input_shape:
            raise ValueError(
                "a residual connection needs a layer of the shape of its input: "
                f"got {inner.input_shape} to {inner.shape}"
            )
        self.join = join

    def forward(self, x: Spikes, *how: Any) -> tuple[Tensor, Tensor | None]:
        """What leaves the block, and the layer's v, each `(B, T, *N)`."""
        spikes, v = super().forward(x, *how)
        return self.join(spikes, self._dense(x)), v

    def step(self, x: Tensor, state: State, *how: Any) -> tuple[Tensor, Tensor | None, State]:
        """One step of `forward`; the state is the inner layer's."""
        spikes, v, state = super().step(x, state, *how)
        return self.join(spikes, x), v, state
