"""The decoders `q_phi(r | recent spikes)`: each returns a distribution over the natural signal.

The logistic and MLP decoders start as rate decoding, exactly: the first layer is drawn once for
spike counts and then lifted to the window's features. The CNN starts from weights equal over time.

Legend: B batch, S decodings per sequence, L window, N readout neurons, F features, O outputs.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal

from vdib.precision import single
from vdib.window import FullWindow, recent

Likelihood = Callable[[Tensor], Distribution]
"""Decoder outputs `(..., O)` to a distribution with batch shape `(...)`."""


def bernoulli(outputs: Tensor) -> Distribution:
    """Independent Bernoulli pixels, outputs are logits.

    For grey targets in [0, 1] its `-log_prob` is the cross-entropy with pixels as means, in nats.
    """
    return Independent(Bernoulli(logits=outputs, validate_args=False), 1, validate_args=False)


def categorical(outputs: Tensor) -> Distribution:
    """One of O classes or patterns, outputs are logits."""
    return Categorical(logits=outputs, validate_args=False)


def normal(outputs: Tensor) -> Distribution:
    """Independent normals: the first half of the outputs are means, the rest log deviations."""
    if outputs.shape[-1] % 2:
        raise ValueError(f"a normal needs an even number of outputs, got {outputs.shape[-1]}")
    mean, log_std = outputs.chunk(2, dim=-1)
    return Independent(Normal(mean, log_std.exp(), validate_args=False), 1, validate_args=False)


class Decoder(nn.Module, ABC):
    """What the decoders share: recent spikes in, a distribution out.

    Args:
        window: what of the recent spikes is seen.
        num_neurons: N_y.
        num_outputs: O.
        likelihood: outputs to a distribution.
    """

    def __init__(
        self,
        window: FullWindow,
        num_neurons: int,
        num_outputs: int,
        likelihood: Likelihood = bernoulli,
    ) -> None:
        super().__init__()
        self.window = window
        self.num_neurons = num_neurons
        self.num_outputs = num_outputs
        self.likelihood = likelihood
        self.head: nn.Linear  # the last layer

    @abstractmethod
    def outputs(self, spikes: Tensor) -> Tensor:
        """`(B, S, L, N)` recent spikes to `(B, S, O)`."""

    def every_output(self, spikes: Tensor) -> Tensor:
        """`outputs` of every step of a sequence, `(B, T, N)` to `(B, T, O)`."""
        return self.outputs(recent(spikes, self.window.length, every_step=True))

    def forward(self, spikes: Tensor) -> Distribution:
        """`(B, S, L, N)` recent spikes to a distribution with batch shape `(B, S)`."""
        return self.likelihood(single(self.outputs(spikes)))

    def every_step(self, spikes: Tensor) -> Distribution:
        """A sequence, `(B, T, N)`, to a distribution with batch shape `(B, T)`."""
        return self.likelihood(single(self.every_output(spikes)))

    def start_from(self, outputs: Tensor) -> None:
        """Set the last layer's bias to these outputs `(O)`, to which the spikes add.

        With the Bernoulli likelihood, the logits of the mean image: the best constant answer.
        """
        with torch.no_grad():
            self.head.bias.copy_(outputs)

    def _lifted(self, num_outputs: int) -> nn.Linear:
        """A linear layer on the features `(F N)` that starts as one on the spike counts `(N)`."""
        layer = nn.Linear(self.num_neurons, num_outputs)
        layer.weight = nn.Parameter(self.window.lift(layer.weight.detach()).flatten(1).clone())
        layer.in_features = layer.weight.shape[1]
        return layer


class LogisticDecoder(Decoder):
    """`O = W f + b`: with the Bernoulli likelihood, logistic regression on the features."""

    def __init__(
        self,
        window: FullWindow,
        num_neurons: int,
        num_outputs: int,
        likelihood: Likelihood = bernoulli,
    ) -> None:
        super().__init__(window, num_neurons, num_outputs, likelihood)
        self.head = self._lifted(num_outputs)

    def outputs(self, spikes: Tensor) -> Tensor:
        out: Tensor = self.head(self.window(spikes).flatten(2))
        return out

    def every_output(self, spikes: Tensor) -> Tensor:
        return self.window.linear(spikes, self.head)


class MLPDecoder(Decoder):
    """One hidden layer of rectified units: `O = W_2 max(W_1 f + b_1, 0) + b_2`."""

    def __init__(
        self,
        window: FullWindow,
        num_neurons: int,
        num_outputs: int,
        likelihood: Likelihood = bernoulli,
        num_hidden: int = 512,
    ) -> None:
        super().__init__(window, num_neurons, num_outputs, likelihood)
        self.hidden = self._lifted(num_hidden)
        self.head = nn.Linear(num_hidden, num_outputs)

    def outputs(self, spikes: Tensor) -> Tensor:
        hidden = torch.relu(self.hidden(self.window(spikes).flatten(2)))
        out: Tensor = self.head(hidden)
        return out

    def every_output(self, spikes: Tensor) -> Tensor:
        out: Tensor = self.head(torch.relu(self.window.linear(spikes, self.hidden)))
        return out


class CNNDecoder(Decoder):
    """Two convolutions over the time of the window, stride 2, and one dense layer.

    Neurons are channels: their order carries no meaning, that of the steps does. What the window
    drops is dropped before the convolution (`window.smooth`), so that for rate decoding every
    position sees the mean. Whatever the window, the weights start equal over time: the first
    convolution sums over its taps, the second and the dense layer average.
    """

    def __init__(
        self,
        window: FullWindow,
        num_neurons: int,
        num_outputs: int,
        likelihood: Likelihood = bernoulli,
        num_channels: int = 128,
        kernel_size: int = 5,
    ) -> None:
        super().__init__(window, num_neurons, num_outputs, likelihood)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        padding, positions = kernel_size // 2, math.ceil(window.length / 4)
        self.first = nn.Conv1d(num_neurons, num_channels, kernel_size, 2, padding)
        self.second = nn.Conv1d(num_channels, num_channels, kernel_size, 2, padding)
        self.head = nn.Linear(num_channels * positions, num_outputs)
        with torch.no_grad():
            for layer, share in ((self.first, 1), (self.second, kernel_size)):
                weight = torch.empty(num_channels, layer.in_channels)
                nn.init.kaiming_normal_(weight, nonlinearity="relu")
                layer.weight.copy_(weight[:, :, None].expand(-1, -1, kernel_size) / share)
            weight = nn.Linear(num_channels, num_outputs).weight
            self.head.weight.copy_(weight.repeat_interleave(positions, dim=1) / positions)

    def outputs(self, spikes: Tensor) -> Tensor:
        seen = self.window.smooth(spikes).flatten(0, 1).transpose(1, 2)  # B S, N, L
        channels = torch.relu(self.second(torch.relu(self.first(seen))))
        out: Tensor = self.head(channels.flatten(1))
        return out.view(*spikes.shape[:2], -1)
