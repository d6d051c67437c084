"""Techniques of direct training that are put around hidden layers, whatever their neurons."""

from dataclasses import dataclass
from typing import Literal

from vdib.dynamics.surrogate import Surrogate
from vdib.neurons.attended import Attended
from vdib.neurons.delayed import Delayed
from vdib.neurons.layer import Connect, Layer, Neuron
from vdib.neurons.normalised import normalised


@dataclass(frozen=True)
class Techniques:
    """Which of them, each by itself or together.

    Args:
        norm: threshold-dependent batch norm of the currents (`vdib.neurons.normalised`).
        delays: the longest learnable delay of an input, in steps; 0 for none
            (`vdib.neurons.delayed`).
        attention: how many recent steps temporal attention sees; 0 for none
            (`vdib.neurons.attended`).
        residual: follow each convolution with a block of the same shape, whose spikes are joined
            with its input (`vdib.neurons.residual`).
    """

    norm: bool = False
    delays: int = 0
    attention: int = 0
    residual: Literal["add", "and"] | None = None

    def check(self, num_conv: int, num_dense: int) -> None:
        """Whether an encoder of so many hidden layers has a place for them.

        Raises:
            ValueError: it has not.
        """
        if self.residual and not num_conv:
            raise ValueError("techniques: residual is for convolutional layers: set conv as well")
        if (self.norm or self.delays or self.attention) and not num_conv + num_dense:
            raise ValueError("techniques are for hidden layers, of which there are none")

    def around(self, neuron: Neuron) -> Neuron:
        """The same neurons with all that is put around one layer: inputs are delayed, attended to,
        and make currents, which are normalised.
        """
        plain = normalised(neuron) if self.norm else neuron

        def layer(connect: Connect, shape: tuple[int, ...], surrogate: Surrogate | None) -> Layer:
            made = plain(connect, shape, surrogate)
            if self.attention:
                made = Attended(made, self.attention)
            return Delayed(made, self.delays) if self.delays else made

        return layer
