"""The spiking encoder `p_theta(y || x)`: hidden layers, and a readout whose spikes are the code.

Legend: B batch, M codes per input, T steps, N_x inputs, N_h hidden and N_y readout neurons.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vdib.credit import BPTT, Credit
from vdib.dynamics.firing import Fire
from vdib.dynamics.surrogate import Surrogate
from vdib.neurons import synapses
from vdib.neurons.layer import Layer, Neuron, State, commuting
from vdib.neurons.readout import Readout, sampled
from vdib.neurons.residual import JOINS, Residual
from vdib.neurons.srm import srm
from vdib.neurons.techniques import Techniques
from vdib.noise import Draws, Noise, codes_per_input
from vdib.sparse import Spikes
from vdib.spike_code import SpikeCode

__all__ = ["SpikeCode", "SpikingEncoder", "build_encoder"]


class SpikingEncoder(nn.Module):
    """Hidden layers with deterministic thresholds, then a readout, which may be stochastic.

    Args:
        hidden: the hidden layers, from the input up.
        readout: the readout layer, `(N_y,)`.
        credit: how the loss reaches the hidden layers.

    Raises:
        ValueError: a stochastic hidden layer, a readout that is not `(N_y,)`, or a layer that the
            credit rule cannot do with.
    """

    def __init__(
        self, hidden: Sequence[Layer], readout: Layer, credit: Credit | None = None
    ) -> None:
        super().__init__()
        for layer in hidden:
            if layer.stochastic:
                raise ValueError("hidden layers are deterministic: only the readout is drawn")
        if len(readout.shape) != 1:
            raise ValueError(f"readout: got a layer of shape {readout.shape}, expected (N_y,)")
        self.hidden = nn.ModuleList(hidden)  # type: ignore[arg-type]
        self.readout = readout
        self.credit = credit or BPTT()
        self.credit.check(hidden, readout)

    @property
    def layers(self) -> list[Layer]:
        """The hidden layers, from the input up."""
        return list(self.hidden)  # type: ignore[arg-type]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """`(*N_x)` of one step's spikes."""
        return (*self.layers, self.readout)[0].input_shape

    @property
    def num_readout(self) -> int:
        """N_y."""
        return self.readout.shape[0]

    def hidden_spikes(self, x: Spikes) -> tuple[Tensor, ...]:
        """The spikes of each hidden layer, `(B, T, *N_h)`."""
        return self._hidden(x, False)[0]

    def _hidden(self, x: Spikes, v: bool) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        hidden: list[Tensor] = []
        distances: list[Tensor | None] = []
        for layer in self.layers:
            x, distance = self.credit.respond(layer, x)
            hidden.append(x)
            distances += [distance] if v else []
        return tuple(hidden), tuple(distances)

    def forward(
        self,
        x: Spikes,
        noise: Tensor | Noise | None = None,
        fire: Fire | None = None,
        drive: bool = False,
        hidden_v: bool = False,
    ) -> SpikeCode:
        """Encode a batch of whole sequences.

        Args:
            x: `(B, T, N_x)` or `(B, T, C, H, W)` spikes, dense or as lists.
            noise: of a stochastic readout: an address, or uniform numbers in (0, 1),
                `(M B, T, N_y)`; the hidden layers run once per input whatever M.
            fire: how its spikes are drawn, and what gradient they carry.
            drive: whether the code is to hold the drive of a stochastic readout.
            hidden_v: whether it is to hold v of the hidden layers.

        Raises:
            ValueError: noise that does not fit, or none for a stochastic readout.
        """
        hidden, own_v = self._hidden(x, hidden_v)
        below = (x, *hidden)[-1]
        if not self.readout.stochastic:
            spikes, v = self.credit.respond(self.readout, below, hidden=hidden)
            return SpikeCode(spikes, v, hidden, stochastic=False, hidden_v=own_v)
        samples = codes_per_input(noise, (*x.shape[:2], *self.readout.shape))
        drawn: Draws | None
        if isinstance(noise, Noise):
            drawn = noise.draws(len(self.hidden), x.shape[1], self.readout.shape)
        else:
            drawn = noise
        if samples == 1 and not drive:
            spikes, v = self.credit.respond(self.readout, below, fire, drawn, hidden)
            return SpikeCode(spikes, v, hidden, hidden_v=own_v, noise=drawn)
        rule = "decoding the drive" if drive else "several codes per input"
        (readout,) = commuting([self.readout], rule)
        once = self.credit.feed_back(self.credit.drive(readout, below), hidden)
        of_all = once.repeat(samples, 1, 1)
        answer = readout.respond(of_all, fire, drawn)
        return SpikeCode(*answer, hidden, drive=of_all, hidden_v=own_v, noise=drawn)

    def step(
        self,
        x: Tensor,
        state: tuple[State, ...] | None,
        noise: Tensor | None = None,
        fire: Fire | None = None,
    ) -> tuple[SpikeCode, tuple[State, ...]]:
        """One step of `forward`, for a stream.

        Args:
            x: `(B, N_x)` or `(B, C, H, W)` spikes of this step.
            state: of every layer, as returned by the last step; None before the first.
            noise: `(B, N_y)`, uniform in (0, 1).
            fire: how readout spikes are drawn.

        Returns:
            The step's code (no time axis) and the next state.
        """
        states = state or (None,) * (len(self.hidden) + 1)
        after: list[State] = []
        hidden: list[Tensor] = []
        for layer, own in zip(self.layers, states[:-1], strict=True):
            x, _, own = layer.step(x, own)
            hidden.append(x)
            after.append(own)
        given = (fire, noise) if self.readout.stochastic else ()
        spikes, v, own = self.readout.step(x, states[-1], *given)
        code = SpikeCode(spikes, v, tuple(hidden), self.readout.stochastic)
        return code, (*after, own)

    def calibrate(self, x: Spikes, rate: float, spread: float = 1.0) -> None:
        """Scale every layer's weights on a batch so that potentials are of the threshold's order.

        Args:
            x: `(B, T, N_x)` or `(B, T, C, H, W)` spikes, dense or as lists.
            rate: spikes per step that a stochastic readout starts from, in (0, 1).
            spread: root mean square that the readout's potentials are to have, in widths of its
                threshold.
        """
        with torch.no_grad():
            for layer in self.layers:
                layer.calibrate(x)
                x, _ = layer(x)
            self.readout.calibrate(x, spread, rate if self.readout.stochastic else None)


def build_encoder(
    input_shape: tuple[int, ...],
    num_readout: int,
    hidden: Sequence[int] = (600,),
    conv: Sequence[int | str] = (),
    num_filters: int = 8,
    neuron: Neuron = srm,
    surrogate: Surrogate | None = None,
    credit: type[Credit] = BPTT,
    seed: int = 0,
    readout: Readout = sampled,
    techniques: Techniques | None = None,
) -> SpikingEncoder:
    """An encoder of one kind of hidden neurons under a readout.

    Args:
        input_shape: `(N_x,)` or `(C, H, W)`; the latter where `conv` is not empty.
        num_readout: N_y.
        hidden: sizes of the dense hidden layers.
        conv: convolutional layers before them, as `vdib.neurons.synapses.by_word` reads them.
        num_filters: K, raised cosines of a sampled readout's synapses.
        neuron: of the hidden layers.
        surrogate: derivative of deterministic spikes; the neuron's own by default.
        credit: how the loss reaches the hidden layers.
        seed: of what the credit rule draws.
        readout: how the readout fires; the paper's is sampled.
        techniques: of direct training, around the hidden layers.

    Raises:
        ValueError: sizes below 1, convolutions of inputs that are not (C, H, W), techniques
            without a layer to be around.
    """
    sizes = {"hidden": hidden, "num_readout": [num_readout]}
    for name, values in sizes.items():
        if any(value < 1 for value in values):
            raise ValueError(f"{name}: got {min(values)}, expected at least 1")
    if conv and len(input_shape) != 3:
        raise ValueError(f"convolutional layers need inputs of shape (C, H, W), got {input_shape}")
    techniques = techniques or Techniques()
    techniques.check(len(conv), len(hidden))
    around, join = techniques.around(neuron), JOINS.get(techniques.residual or "")
    layers: list[Layer] = []
    below = tuple(input_shape)
    for word in conv:
        layers.append(around(*synapses.by_word(below, word), surrogate))
        below = layers[-1].shape
        if join is not None:
            same = synapses.pooled_conv(below, below[0], pool=1)
            layers.append(Residual(around(*same, surrogate), join))
    for size in hidden:
        layers.append(around(*synapses.dense(below, size), surrogate))
        below = layers[-1].shape
    connection = synapses.dense(below, num_readout)
    last = readout(*connection, neuron, surrogate, num_filters)
    return SpikingEncoder(layers, last, credit.of(layers, last, seed))
