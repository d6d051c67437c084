"""Connections from one layer to the next: linear maps from spikes to currents, without bias.

Each maps `(R, *N_in)` spikes, dense or as lists of `(B, T, *N_in)` with R = B T, to `(R, K N)` or
`(R, K C, H, W)` currents, K per neuron and filter-major, and knows its `input_shape`.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input

from vdib.backends.event_conv import event_conv2d
from vdib.backends.event_linear import EventLinear
from vdib.neurons.layer import Connect
from vdib.sparse import Spikes


class Dense(EventLinear):
    """All inputs to all outputs, `(R, *N_in)` to `(R, N_out)`."""

    def __init__(self, input_shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__(math.prod(input_shape), num_outputs)
        self.input_shape = input_shape

    def forward(self, x: Spikes) -> Tensor:
        return super().forward(x.flatten(1) if isinstance(x, Tensor) else x)

    def fan_out(self, pruned: bool = True) -> Tensor:
        """Weights of each input, `(N_in,)`: those that are not zero, or all of them."""
        return _counted(self.by_input.detach(), pruned).sum(1)


class PooledConv2d(nn.Module):
    """Convolution, then average pooling of its currents: `(R, C_in, H, W)` to `(R, C_out, H', W')`.

    Pooling currents rather than spikes keeps spikes binary and commutes with the filter. It also
    commutes with the convolution: weights pooled by `p` beforehand, in steps of `p`, are the same
    map for about a quarter of the time at p = 2.
    """

    def __init__(
        self, input_shape: tuple[int, ...], out_channels: int, kernel_size: int = 5, pool: int = 2
    ) -> None:
        super().__init__()
        if len(input_shape) != 3:
            raise ValueError(f"convolutions need inputs of shape (C, H, W), got {input_shape}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        if min(input_shape[1:]) < pool:
            height, width = input_shape[1:]
            raise ValueError(f"cannot pool a {height}x{width} input by {pool}")
        self.input_shape: tuple[int, ...] = input_shape
        self.conv = nn.Conv2d(input_shape[0], out_channels, kernel_size, padding="same", bias=False)
        self.pool = pool

    def forward(self, x: Spikes) -> Tensor:
        return event_conv2d(x, self._pooled(self.conv.weight), self.pool, self._half)

    def _pooled(self, weight: Tensor) -> Tensor:
        border = self.pool - 1
        weight = nn.functional.pad(weight, (border,) * 4)
        return nn.functional.avg_pool2d(weight, self.pool, stride=1)

    @property
    def _half(self) -> int:
        return self.conv.kernel_size[0] // 2

    def fan_out(self, pruned: bool = True) -> Tensor:
        """Weights that act at each input's place, as for `Dense`, `(C H W,)`; pooled ones count."""
        weight = _counted(self._pooled(self.conv.weight.detach()), pruned)
        place = self.pool, self._half
        out = torch.ones_like(conv2d(weight.new_zeros(1, *self.input_shape), weight, None, *place))
        return conv2d_input((1, *self.input_shape), weight, out, *place).flatten()  # type: ignore[no-any-return, no-untyped-call, unused-ignore]


def _counted(weight: Tensor, pruned: bool) -> Tensor:
    return (weight != 0).to(weight) if pruned else torch.ones_like(weight)


def dense(input_shape: tuple[int, ...], num_neurons: int) -> tuple[Connect, tuple[int, ...]]:
    """A dense connection to `num_neurons`, and the shape of their layer."""
    return lambda currents: Dense(input_shape, currents * num_neurons), (num_neurons,)


def pooled_conv(
    input_shape: tuple[int, ...], channels: int, kernel_size: int = 5, pool: int = 2
) -> tuple[Connect, tuple[int, ...]]:
    """A pooled convolution to `channels`, and the shape `(channels, H / pool, W / pool)`."""

    def connect(currents: int) -> PooledConv2d:
        return PooledConv2d(input_shape, currents * channels, kernel_size, pool)

    return connect, (channels, *(size // pool for size in input_shape[1:]))
