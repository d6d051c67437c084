"""What the decoder sees of the spikes: the last tau_d steps, a temporal basis of them, their sum.

A window maps the recent spikes `(B, S, L, N)` to features `(B, S, F, N)`. `lift` turns the weights
of a rate decoder into weights that compute the same from the window's features, so that every
decoder starts as rate decoding. `smooth` is what of the recent spikes the window lets through,
as a sequence again: the view of a decoder that convolves over time.

Legend: B batch, S decodings per sequence, L = tau_d steps of the window, N neurons, F features.
"""

import math
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn


def recent(spikes: Tensor, length: int, every_step: bool = False) -> Tensor:
    """The last `length` steps before each decoding, silence before the beginning.

    Args:
        spikes: `(B, T, N)`.
        length: tau_d, in steps.
        every_step: decode at every step (S = T) rather than once at the end (S = 1).

    Returns:
        `(B, S, length, N)`.

    Raises:
        ValueError: a length below 1.
    """
    if length < 1:
        raise ValueError(f"a decoding window needs at least one step, got {length}")
    num_steps = spikes.shape[1]
    if not every_step and num_steps >= length:
        return spikes[:, None, num_steps - length :]
    windows = _after_silence(spikes, length).unfold(1, length, 1).transpose(2, 3)  # B, T, L, N
    return windows if every_step else windows[:, -1:]


def recent_at(spikes: Tensor, length: int, looks: Tensor) -> Tensor:
    """The last `length` steps before each of a few decodings, silence before the beginning.

    Args:
        spikes: `(B, T, N)`.
        length: tau_d, in steps.
        looks: after how many steps each sequence is decoded, `(B, S)` int64, 1 to T.

    Returns:
        `(B, S, length, N)`.

    Raises:
        ValueError: looks of another batch, before the first step or after the last.
    """
    count, num_steps, size = spikes.shape
    if looks.shape[:1] != (count,) or not 1 <= int(looks.min()) <= int(looks.max()) <= num_steps:
        raise ValueError(f"looks: expected {count} rows of 1 to {num_steps} steps, got {looks}")
    padded = _after_silence(spikes, length)  # B, L - 1 + T, N
    first = torch.arange(count, device=spikes.device)[:, None] * padded.shape[1] + looks - 1
    rows = first[..., None] + torch.arange(length, device=spikes.device)  # B, S, L
    # As of an embedding, whose backward pass is the fastest of those that add up rows.
    return nn.functional.embedding(rows, padded.reshape(-1, size))


def _after_silence(spikes: Tensor, length: int) -> Tensor:
    """`(B, T, N)` to `(B, length - 1 + T, N)`: what the windows of all steps look at."""
    return nn.functional.pad(spikes, (0, 0, length - 1, 0))


def _exact(x: Tensor) -> AbstractContextManager[None]:
    """No mixed precision: counts of spikes add up over time."""
    return torch.autocast(x.device.type, enabled=False)


class Window(nn.Module, ABC):
    """What of the recent spikes a decoder sees.

    Args:
        length: tau_d, in steps.

    Raises:
        ValueError: a length below 1.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        if length < 1:
            raise ValueError(f"a decoding window needs at least one step, got {length}")
        self.length = length

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        if "forward" in vars(cls) and "linear" not in vars(cls):
            # The `linear` of what it extends is a shortcut for other features.
            cls.linear = Window.linear  # type: ignore[method-assign]

    @property
    @abstractmethod
    def num_features(self) -> int:
        """F, features per neuron."""

    @abstractmethod
    def forward(self, spikes: Tensor) -> Tensor:
        """`(B, S, L, N)` to `(B, S, F, N)`."""

    @abstractmethod
    def lift(self, weight: Tensor) -> Tensor:
        """Weights `(O, N)` on the spike counts as equal weights `(O, F, N)` on the features."""

    @abstractmethod
    def smooth(self, spikes: Tensor) -> Tensor:
        """`(B, S, L, N)` to `(B, S, L, N)`: the part of the spikes that the features determine."""

    def linear(self, spikes: Tensor, layer: nn.Linear) -> Tensor:
        """A layer on the features `(F N)` at every step, `(B, T, N)` to `(B, T, O)`."""
        features = self(recent(spikes, self.length, every_step=True))
        out: Tensor = layer(features.flatten(2))
        return out


class FullWindow(Window):
    """Every step of the window by itself, F = L: what time decoding is about."""

    @property
    def num_features(self) -> int:
        return self.length

    def forward(self, spikes: Tensor) -> Tensor:
        return spikes

    def lift(self, weight: Tensor) -> Tensor:
        return weight[:, None].expand(-1, self.length, -1)

    def smooth(self, spikes: Tensor) -> Tensor:
        return spikes

    def linear(self, spikes: Tensor, layer: nn.Linear) -> Tensor:
        # A causal convolution: no window is copied.
        weight = layer.weight.view(-1, self.length, spikes.shape[2]).transpose(1, 2)
        seen = _after_silence(spikes, self.length).transpose(1, 2)
        return nn.functional.conv1d(seen, weight, layer.bias).transpose(1, 2)


class BasisWindow(Window):
    """Projections on a cosine temporal basis whose first element is the sum, F = `num_features`.

        f_0 = sum_l y[l],    f_k = sqrt(2 / L) sum_l cos(pi k (l + 1/2) / L) y[l]

    All elements are orthogonal; those beyond the sum have unit norm, so that they weigh little at
    first: with the norm of the sum, Adam lets them add noise faster than they learn.

    Args:
        length: tau_d, in steps.
        num_features: F, at most `length`.

    Raises:
        ValueError: a length below 1, or F outside of 1 to `length`.
    """

    basis: Tensor

    def __init__(self, length: int, num_features: int = 6) -> None:
        super().__init__(length)
        if not 1 <= num_features <= length:
            raise ValueError(
                f"a temporal basis over {length} steps has 1 to {length} elements, "
                f"got {num_features}"
            )
        position = (torch.arange(length, dtype=torch.float64) + 0.5) / length
        order = torch.arange(num_features, dtype=torch.float64)[:, None]
        basis = math.sqrt(2 / length) * torch.cos(math.pi * order * position)
        basis[0] = 1
        self.register_buffer("basis", basis, persistent=False)  # F, L, float64

    @property
    def num_features(self) -> int:
        return self.basis.shape[0]

    def forward(self, spikes: Tensor) -> Tensor:
        with _exact(spikes):
            return torch.matmul(self.basis.to(spikes.dtype), spikes)

    def linear(self, spikes: Tensor, layer: nn.Linear) -> Tensor:
        seen = _after_silence(spikes, self.length).transpose(1, 2)  # B, N, L - 1 + T
        weight = self.basis.to(spikes.dtype)[:, None]
        with _exact(spikes):
            features = nn.functional.conv1d(seen.flatten(0, 1)[:, None], weight)  # B N, F, T
        features = features.view(*seen.shape[:2], *features.shape[1:]).permute(0, 3, 2, 1)
        out: Tensor = layer(features.flatten(2))
        return out

    def lift(self, weight: Tensor) -> Tensor:
        rest = weight.new_zeros(weight.shape[0], self.num_features - 1, weight.shape[1])
        return torch.cat([weight[:, None], rest], dim=1)

    def smooth(self, spikes: Tensor) -> Tensor:
        # The rows of the basis are orthogonal: this is the projection on them.
        back = self.basis.T / self.basis.square().sum(1)
        with _exact(spikes):
            return torch.matmul(back.to(spikes.dtype), self(spikes))


class RateWindow(BasisWindow):
    """Rate decoding: the spike count over the window, F = 1."""

    def __init__(self, length: int) -> None:
        super().__init__(length, num_features=1)
