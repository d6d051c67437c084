"""The decoders `q_phi(r | spikes)`: each turns a code into a distribution over the natural signal.

A decoder may be learned, over a window of recent spikes, or have nothing to learn. Of the learned
ones the logistic and MLP decoders start as rate decoding, exactly: the first layer is drawn once
for spike counts and then lifted to the window's features. The CNN starts from weights equal over
time.

Legend: B batch, S decodings per sequence, L window, N readout neurons, F features, O outputs.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vdib.encoder import SpikeCode
from vdib.precision import single
from vdib.signal import Image, Signal, check_signal
from vdib.window import Window, recent, recent_at


class Decoder(nn.Module, ABC):
    """From a code to a distribution over r; `-log_prob` is the distortion.

    Args:
        signal: what r is; a number stands for as many values in [0, 1], pixels for instance.

    Attributes:
        DECODES: the kinds of signals it is for.
        SAMPLES: whether it looks at the drawn spikes; otherwise at the readout's drive, and the
            readout is a sampled one.
        NEEDS_V: whether it looks at the readout's distance from threshold.
        PROBABILITY: whether `log_prob` is that of a probability (or density) of r, which may be
            compared with that of an answer without spikes.

    Raises:
        ValueError: another kind of signal.
    """

    DECODES: ClassVar[tuple[type[Signal], ...]] = (Signal,)
    SAMPLES: ClassVar[bool] = True
    NEEDS_V: ClassVar[bool] = False
    PROBABILITY: ClassVar[bool] = True

    def __init__(self, signal: Signal | int) -> None:
        super().__init__()
        signal = Image((signal,)) if isinstance(signal, int) else signal
        check_signal(signal, self.DECODES, type(self).__name__)
        self.signal = signal

    @abstractmethod
    def forward(self, code: SpikeCode, every_step: bool = False) -> Distribution:
        """A code to a distribution with batch shape `(B, S)`.

        Args:
            code: of whole sequences.
            every_step: decode at every step (S = T) rather than once at the end (S = 1).
        """

    def decide(self, code: SpikeCode) -> tuple[Tensor, Tensor]:
        """The label that a code is taken for, and when.

        Returns:
            `(B,)` each: labels, and how many steps were needed, all T where it decides at the end.
        """
        decoded: Any = self(code)
        return self._at_the_end(code, decoded.probs[:, 0])

    def _at_the_end(self, code: SpikeCode, evidence: Tensor) -> tuple[Tensor, Tensor]:
        label = evidence.argmax(-1)  # B, of (B, O)
        return label, torch.full_like(label, code.spikes.shape[1])

    def start_from(self, outputs: Tensor) -> None:
        """Have it answer with these outputs `(O)`, to which the spikes add, if it learns to."""


class WindowDecoder(Decoder):
    """A learned decoder of the last tau_d steps of spikes.

    Args:
        window: what of the recent spikes is seen.
        num_neurons: N_y.
        signal: what r is.
    """

    head: nn.Linear  # the last layer

    def __init__(self, window: Window, num_neurons: int, signal: Signal | int) -> None:
        super().__init__(signal)
        self.window = window
        self.num_neurons = num_neurons
        self.num_outputs = self.signal.num_outputs

    @abstractmethod
    def outputs(self, spikes: Tensor) -> Tensor:
        """`(B, S, L, N)` recent spikes to `(B, S, O)`."""

    def every_output(self, spikes: Tensor) -> Tensor:
        """`outputs` of every step of a sequence, `(B, T, N)` to `(B, T, O)`."""
        return self.outputs(recent(spikes, self.window.length, every_step=True))

    def forward(self, code: SpikeCode, every_step: bool = False) -> Distribution:
        if every_step:
            outputs = self.every_output(code.spikes)
        else:
            outputs = self.outputs(recent(code.spikes, self.window.length))
        return self.signal.likelihood(single(outputs))

    def at(self, code: SpikeCode, looks: Tensor) -> Distribution:
        """A code as it is decoded after so many steps each, `(B, S)`: batch shape `(B, S)`."""
        seen = recent_at(code.spikes, self.window.length, looks)
        return self.signal.likelihood(single(self.outputs(seen)))

    def start_from(self, outputs: Tensor) -> None:
        """Set the last layer's bias: with `Signal.constant`, the best constant answer."""
        with torch.no_grad():
            self.head.bias.copy_(outputs)

    def _lifted(self, num_outputs: int) -> nn.Linear:
        """A linear layer on the features `(F N)` that starts as one on the spike counts `(N)`."""
        drawn = nn.Linear(self.num_neurons, num_outputs)
        num_inputs = self.window.num_features * self.num_neurons
        layer = nn.Linear(num_inputs, num_outputs, device="meta").to_empty(device="cpu")
        with torch.no_grad():
            layer.weight.copy_(self.window.lift(drawn.weight).flatten(1))
            layer.bias.copy_(drawn.bias)
        return layer


class LogisticDecoder(WindowDecoder):
    """`O = W f + b`: of images and labels, logistic regression on the features."""

    def __init__(
        self,
        window: Window,
        num_neurons: int,
        signal: Signal | int,
    ) -> None:
        super().__init__(window, num_neurons, signal)
        self.head = self._lifted(self.num_outputs)

    def outputs(self, spikes: Tensor) -> Tensor:
        out: Tensor = self.head(self.window(spikes).flatten(2))
        return out

    def every_output(self, spikes: Tensor) -> Tensor:
        return self.window.linear(spikes, self.head)


class MLPDecoder(WindowDecoder):
    """Hidden layers of rectified units: `h_1 = max(W_1 f + b_1, 0)`, ..., `O = W h_L + b`.

    Args:
        window: what of the recent spikes is seen.
        num_neurons: N_y.
        signal: what r is.
        num_hidden: units of each hidden layer.
        num_layers: L, hidden layers.

    Raises:
        ValueError: num_hidden or num_layers below 1.
    """

    def __init__(
        self,
        window: Window,
        num_neurons: int,
        signal: Signal | int,
        num_hidden: int = 512,
        num_layers: int = 1,
    ) -> None:
        super().__init__(window, num_neurons, signal)
        if num_hidden < 1 or num_layers < 1:
            raise ValueError(
                f"num_hidden and num_layers: got {num_hidden} and {num_layers}, expected at least 1"
            )
        self.hidden = self._lifted(num_hidden)
        self.deeper = nn.Sequential(
            *(
                part
                for _ in range(num_layers - 1)
                for part in (nn.Linear(num_hidden, num_hidden), nn.ReLU())
            )
        )
        self.head = nn.Linear(num_hidden, self.num_outputs)

    def outputs(self, spikes: Tensor) -> Tensor:
        return self._from_first(self.hidden(self.window(spikes).flatten(2)))

    def every_output(self, spikes: Tensor) -> Tensor:
        return self._from_first(self.window.linear(spikes, self.hidden))

    def _from_first(self, currents: Tensor) -> Tensor:
        out: Tensor = self.head(self.deeper(torch.relu(currents)))
        return out


class CNNDecoder(WindowDecoder):
    """Two convolutions over the time of the window, stride 2, and one dense layer.

    Neurons are channels: their order carries no meaning, that of the steps does. What the window
    drops is dropped before the convolution (`window.smooth`), so that for rate decoding every
    position sees the mean. Whatever the window, the weights start equal over time: the first
    convolution sums over its taps, the second and the dense layer average.

    Args:
        window: what of the recent spikes is seen.
        num_neurons: N_y.
        signal: what r is.
        num_channels: of both convolutions.
        kernel_size: of both, in steps of the window and of the first one's output.

    Raises:
        ValueError: an even kernel_size.
    """

    def __init__(
        self,
        window: Window,
        num_neurons: int,
        signal: Signal | int,
        num_channels: int = 128,
        kernel_size: int = 5,
    ) -> None:
        super().__init__(window, num_neurons, signal)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        padding, positions = kernel_size // 2, math.ceil(window.length / 4)
        self.first = nn.Conv1d(num_neurons, num_channels, kernel_size, 2, padding)
        self.second = nn.Conv1d(num_channels, num_channels, kernel_size, 2, padding)
        self.head = nn.Linear(num_channels * positions, self.num_outputs)
        with torch.no_grad():
            for layer, share in ((self.first, 1), (self.second, kernel_size)):
                weight = torch.empty(num_channels, layer.in_channels)
                nn.init.kaiming_normal_(weight, nonlinearity="relu")
                layer.weight.copy_(weight[:, :, None].expand(-1, -1, kernel_size) / share)
            weight = nn.Linear(num_channels, self.num_outputs).weight
            self.head.weight.copy_(weight.repeat_interleave(positions, dim=1) / positions)

    def outputs(self, spikes: Tensor) -> Tensor:
        seen = self.window.smooth(spikes).flatten(0, 1).transpose(1, 2)  # B S, N, L
        channels = torch.relu(self.second(torch.relu(self.first(seen))))
        out: Tensor = self.head(channels.flatten(1))
        return out.view(*spikes.shape[:2], -1)
