"""The spiking encoder `p_theta(y || x)`: hidden SRM layers and a stochastic readout.

Legend: B batch, M codes per input, T steps, N_x inputs, N_h hidden and N_y readout neurons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vdib.credit import BPTT
from vdib.dynamics.filters import RaisedCosines, State
from vdib.dynamics.firing import Fire, Threshold
from vdib.neurons.srm import SRM, hidden_conv, hidden_dense, readout_dense
from vdib.noise import Noise
from vdib.spikes import Spikes


@dataclass(frozen=True)
class SpikeCode:
    """What the encoder says about its input.

    Attributes:
        spikes: readout spikes y, `(M B, T, N_y)`, sample-major.
        logits: `log p(y = 1) / p(y = 0)` at each step given the past, same shape.
        hidden: spikes of each hidden layer, `(B, T, *N_h)`.

    A single step of a stream has no time axis.
    """

    spikes: Tensor
    logits: Tensor
    hidden: tuple[Tensor, ...]

    def log_prob(self) -> Tensor:
        """`log p(y_t | y^{t-1}, x^t)` of hard spikes, summed over neurons, in nats, `(M B, T)`."""
        # log sigmoid of the logit towards the drawn value: stable at both ends.
        towards = torch.where(self.spikes > 0.5, self.logits, -self.logits)
        return nn.functional.logsigmoid(towards).sum(-1)


EncoderState = tuple[tuple[State, State], ...]


class SpikingEncoder(nn.Module):
    """Hidden layers with deterministic thresholds, then a readout with a stochastic one.

    Args:
        hidden: the hidden layers, from the input up.
        readout: the readout layer, dense.
        threshold: of the hidden neurons, with its surrogate derivative.
        credit: how the loss reaches the hidden layers.
    """

    def __init__(
        self,
        hidden: Sequence[SRM],
        readout: SRM,
        threshold: Fire | None = None,
        credit: BPTT | None = None,
    ) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(hidden)
        self.readout = readout
        self.threshold = threshold or Threshold()
        self.credit = credit or BPTT()

    @property
    def layers(self) -> list[SRM]:
        """The hidden layers, from the input up."""
        return list(self.hidden)  # type: ignore[arg-type]

    @property
    def num_readout(self) -> int:
        """N_y."""
        return self.readout.shape[0]

    def _hidden(self, x: Spikes) -> tuple[Tensor, ...]:
        """The spikes of each hidden layer, `(B, T, *N_h)`."""
        hidden: list[Tensor] = []
        for layer in self.layers:
            x, _ = self.credit.respond(layer, x, self.threshold)
            hidden.append(x)
        return tuple(hidden)

    def drive(self, x: Spikes) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The readout's drive `(B, T, N_y)` and the hidden spikes: all that involves the input."""
        hidden = self._hidden(x)
        drive = self.credit.drive(self.readout, (x, *hidden)[-1])
        return self.credit.feed_back(drive, hidden), hidden

    def forward(self, x: Spikes, noise: Tensor | Noise, fire: Fire) -> SpikeCode:
        """Encode a batch of whole sequences.

        Args:
            x: `(B, T, N_x)` or `(B, T, C, H, W)` spikes, dense or as lists.
            noise: an address, or uniform numbers in (0, 1), `(M B, T, N_y)`; the hidden layers run
                once per input whatever M.
            fire: how readout spikes are drawn, and what gradient they carry.
        """
        expected = (*x.shape[:2], *self.readout.shape)
        if isinstance(noise, Noise):
            shape: tuple[int, ...] = (len(noise.ids) * noise.samples, *expected[1:])
        else:
            shape = tuple(noise.shape)
        samples = shape[0] // expected[0]
        if shape != (samples * expected[0], *expected[1:]) or samples < 1:
            raise ValueError(
                f"noise of shape {shape} does not fit drives {expected}: "
                "expected a multiple of the rows and the rest alike"
            )
        drawn = noise.stream(len(self.hidden)) if isinstance(noise, Noise) else noise
        if samples == 1:
            hidden = self._hidden(x)
            below = (x, *hidden)[-1]
            spikes, logits = self.credit.respond(self.readout, below, fire, drawn, hidden)
        else:
            drive, hidden = self.drive(x)
            spikes, logits = self.readout.respond(drive.repeat(samples, 1, 1), fire, drawn)
        return SpikeCode(spikes, logits, hidden)

    def step(
        self, x: Tensor, state: EncoderState, noise: Tensor, fire: Fire
    ) -> tuple[SpikeCode, EncoderState]:
        """One step of `forward`, for a stream.

        Args:
            x: `(B, N_x)` or `(B, C, H, W)` spikes of this step.
            state: as returned by the last step; `()` before the first.
            noise: `(B, N_y)`, uniform in (0, 1).
            fire: how readout spikes are drawn.

        Returns:
            The step's code (no time axis) and the next state.
        """
        states = state or (((), ()),) * (len(self.hidden) + 1)
        after: list[tuple[State, State]] = []
        hidden: list[Tensor] = []
        for layer, own in zip(self.layers, states[:-1], strict=True):
            x, _, own = layer.step(x, own, self.threshold)
            hidden.append(x)
            after.append(own)
        spikes, logits, own = self.readout.step(x, states[-1], fire, noise)
        return SpikeCode(spikes, logits, tuple(hidden)), (*after, own)

    def calibrate(self, x: Spikes, rate: float) -> None:
        """Scale every layer's weights on a batch so that potentials are of the threshold's order.

        Args:
            x: `(B, T, N_x)` or `(B, T, C, H, W)` spikes, dense or as lists.
            rate: spikes per step the readout starts from, in (0, 1).
        """
        with torch.no_grad():
            for layer in self.layers:
                layer.calibrate(x)
                x, _ = layer(x, self.threshold)
            self.readout.calibrate(x, rate=rate)


def build_encoder(
    input_shape: tuple[int, ...],
    num_readout: int,
    hidden: Sequence[int] = (600,),
    conv: Sequence[int] = (),
    num_kernels: int = 8,
) -> SpikingEncoder:
    """An encoder with the reference neurons of the paper.

    Args:
        input_shape: `(N_x,)` or `(C, H, W)`; the latter where `conv` is not empty.
        num_readout: N_y.
        hidden: sizes of the dense hidden layers.
        conv: channels of convolutional layers before them (5x5, pooled by 2).
        num_kernels: K, raised cosines of the readout's synapses.
    """
    if conv and len(input_shape) != 3:
        raise ValueError(f"convolutional layers need inputs of shape (C, H, W), got {input_shape}")
    layers = []
    shape = input_shape
    for channels in conv:
        assert len(shape) == 3
        layers.append(hidden_conv((shape[0], shape[1], shape[2]), channels))
        shape = layers[-1].shape
    size = int(torch.Size(shape).numel())
    for width in hidden:
        layers.append(hidden_dense(size, width))
        size = width
    return SpikingEncoder(layers, readout_dense(size, num_readout, RaisedCosines(num_kernels)))
