"""Encoders whose spikes are given, and the rows of what they remember."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from vdib.encoder import SpikingEncoder


class Given:
    """A readout that emits given spikes, which take the place of the noise."""

    stochastic: ClassVar = True

    def __call__(self, v: Tensor, noise: Tensor | None = None) -> Tensor:
        assert noise is not None
        return noise

    def slope(self, v: Tensor, spikes: Tensor) -> None:
        """None: nothing is learned."""
        return None


@torch.no_grad()
def batch_axes(encoder: SpikingEncoder) -> Any:
    """Which axis of each tensor in the encoder's state is that of the batch; None where none is.

    Layers keep what they like, in the order they like: batches of two sizes tell.
    """
    like = next(encoder.parameters())

    def state_of(rows: int) -> Any:
        x = like.new_zeros(rows, *encoder.input_shape)
        given = like.new_zeros(rows, encoder.num_readout)
        return encoder.step(x, None, given, Given())[1]

    return _compared(state_of(2), state_of(3))


def _compared(two: Any, three: Any) -> Any:
    if isinstance(two, Tensor):
        pairs = enumerate(zip(two.shape, three.shape, strict=True))
        return next((axis for axis, (a, b) in pairs if a != b), None)
    if isinstance(two, tuple):
        return tuple(_compared(*parts) for parts in zip(two, three, strict=True))
    return None


def take(state: Any, axes: Any, at: Tensor) -> Any:
    """The rows `at` of a state whose batch axes are known."""
    if isinstance(state, tuple):
        return tuple(take(*parts, at) for parts in zip(state, axes, strict=True))
    return state if axes is None else state.index_select(axes, at)
