"""Connections from one layer to the next: linear maps from spikes to currents, without bias.

Each maps `(R, *N_in)` spikes, dense or as lists of `(B, T, *N_in)` with R = B T, to `(R, K N)` or
`(R, K C, H, W)` currents, K per neuron and filter-major, and knows its `input_shape`.
"""

import math
import re

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
        self,
        input_shape: tuple[int, ...],
        out_channels: int,
        kernel_size: int = 5,
        pool: int = 2,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        if padding is None and kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        self.input_shape: tuple[int, ...] = input_shape
        self.padding = kernel_size // 2 if padding is None else padding
        self.pool = pool
        pooled(input_shape, pool, 2 * self.padding - kernel_size + 1)
        self.conv = nn.Conv2d(input_shape[0], out_channels, kernel_size, bias=False)

    def forward(self, x: Spikes) -> Tensor:
        return event_conv2d(x, self._pooled(self.conv.weight), self.pool, self.padding)

    def _pooled(self, weight: Tensor) -> Tensor:
        border = self.pool - 1
        weight = nn.functional.pad(weight, (border,) * 4)
        return nn.functional.avg_pool2d(weight, self.pool, stride=1)

    def pooled_weight(self) -> Tensor:
        """The weights that spikes add to pooled currents, `(C_out, C_in, K', K')`."""
        return self._pooled(self.conv.weight.detach())

    def fan_out(self, pruned: bool = True) -> Tensor:
        """Weights that act at each input's place, as for `Dense`, `(C H W,)`; pooled ones count."""
        weight = _counted(self.pooled_weight(), pruned)
        place = self.pool, self.padding
        out = torch.ones_like(conv2d(weight.new_zeros(1, *self.input_shape), weight, None, *place))
        return conv2d_input((1, *self.input_shape), weight, out, *place).flatten()  # type: ignore[no-any-return, no-untyped-call, unused-ignore]


class SumPool2d(nn.Module):
    """Sums over squares, with one weight that is fixed: `(R, C, H, W)` to `(R, C, H', W')`.

    Args:
        input_shape: (C, H, W).
        size: pixels a side of a square; what is left over at the border is left out.
        currents: copies of the sums, filter-major.
        weight: of every spike, in thresholds: 1.1 in SLAYER's example, where one spike of a square
            is enough for its neuron to fire.

    Attributes:
        weight: in units of the potential, which a neuron with another threshold than 1 scales.
    """

    def __init__(
        self, input_shape: tuple[int, ...], size: int, currents: int = 1, weight: float = 1.1
    ) -> None:
        super().__init__()
        pooled(input_shape, size)
        self.input_shape: tuple[int, ...] = input_shape
        self.size, self.currents = size, currents
        self.weight: Tensor
        self.register_buffer("weight", torch.tensor(weight))

    def forward(self, x: Spikes) -> Tensor:
        x = x if isinstance(x, Tensor) else x.dense().flatten(0, 1)
        mean = nn.functional.avg_pool2d(x.to(self.weight), self.size)
        return (self.weight * self.size**2 * mean).repeat(1, self.currents, 1, 1)

    def fan_out(self, pruned: bool = True) -> Tensor:
        """Weights of each input, `(C H W,)`: one a current, none of what is left over."""
        out = self.weight.new_zeros(self.input_shape)
        height, width = (pixels // self.size * self.size for pixels in self.input_shape[1:])
        out[:, :height, :width] = self.currents
        return out.flatten()


def pooled(input_shape: tuple[int, ...], pool: int, more: int = 0) -> tuple[int, int]:
    """Rows and columns of an input `(C, H, W)` that grows by some pixels and then is pooled.

    Raises:
        ValueError: an input of another shape, or of which nothing is left.
    """
    if len(input_shape) != 3:
        raise ValueError(f"convolutions need inputs of shape (C, H, W), got {input_shape}")
    height, width = ((size + more) // pool for size in input_shape[1:])
    if min(height, width) < 1:
        size = "x".join(map(str, input_shape[1:]))
        raise ValueError(f"cannot pool a {size} input by {pool}" if not more else
                         f"a {size} input is too small for this convolution")  # fmt: skip
    return height, width


def _counted(weight: Tensor, pruned: bool) -> Tensor:
    return (weight != 0).to(weight) if pruned else torch.ones_like(weight)


def dense(input_shape: tuple[int, ...], num_neurons: int) -> tuple[Connect, tuple[int, ...]]:
    """A dense connection to `num_neurons`, and the shape of their layer."""
    return lambda currents: Dense(input_shape, currents * num_neurons), (num_neurons,)


def pooled_conv(
    input_shape: tuple[int, ...],
    channels: int,
    kernel_size: int = 5,
    pool: int = 2,
    padding: int | None = None,
) -> tuple[Connect, tuple[int, ...]]:
    """A pooled convolution to `channels`, and the shape `(channels, H', W')`."""

    def connect(currents: int) -> PooledConv2d:
        return PooledConv2d(input_shape, currents * channels, kernel_size, pool, padding)

    more = 0 if padding is None else 2 * padding - kernel_size + 1
    return connect, (channels, *pooled(input_shape, pool, more))


def sum_pool(input_shape: tuple[int, ...], size: int) -> tuple[Connect, tuple[int, ...]]:
    """Sums over squares of `size` pixels a side, and the shape `(C, H / size, W / size)`."""
    shape = (input_shape[0], *pooled(input_shape, size))
    return lambda currents: SumPool2d(input_shape, size, currents), shape


def by_word(input_shape: tuple[int, ...], word: int | str) -> tuple[Connect, tuple[int, ...]]:
    """A connection between images, and the shape of its layer.

    Args:
        input_shape: (C, H, W).
        word: `16`, channels of a 5x5 convolution whose currents are pooled by 2; `16c5`, of one
            that keeps the size; `16c5p1`, of one padded by 1 pixel; or `2a`, fixed sums over 2x2
            pixels.

    Raises:
        ValueError: another word, or an input that is too small.
    """
    match = re.fullmatch(r"0*([1-9]\d*)(?:(a)|c0*([1-9]\d*)(?:p(\d+))?)?", str(word))
    if match is None:
        raise ValueError(f"conv: got {word!r}, expected for instance 16, 16c5, 16c5p1 or 2a")
    number, pools, kernel_size, padding = match.groups()
    if pools:
        return sum_pool(input_shape, int(number))
    if kernel_size is None:
        return pooled_conv(input_shape, int(number))
    padded = None if padding is None else int(padding)
    return pooled_conv(input_shape, int(number), int(kernel_size), 1, padded)
