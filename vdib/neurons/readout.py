"""How the readout fires: sampled from the probability of a spike, or by a threshold of its own.

A sampled readout has `log p(y | x)`, a rate, and an estimator of the gradient. A threshold's spikes
carry a surrogate gradient themselves; its code has a length and no rate.
"""

from typing import Protocol

from vdib.dynamics.feedback import NoFeedback
from vdib.dynamics.filters import RaisedCosines
from vdib.dynamics.surrogate import Surrogate
from vdib.neurons.layer import Connect, Layer, Neuron
from vdib.neurons.srm import stochastic_srm


class Readout(Protocol):
    """Puts the readout layer behind a connection."""

    def __call__(
        self,
        connect: Connect,
        shape: tuple[int, ...],
        neuron: Neuron,
        surrogate: Surrogate | None,
        num_filters: int,
    ) -> Layer:
        """A layer of any kind.

        Args:
            connect: makes the synapses.
            shape: `(N_y,)`.
            neuron: of the hidden layers.
            surrogate: derivative of their spikes; the neuron's own by default.
            num_filters: K, raised cosines of a sampled readout's synapses.
        """


def sampled(
    connect: Connect,
    shape: tuple[int, ...],
    neuron: Neuron,
    surrogate: Surrogate | None,
    num_filters: int,
    memory_steps: int = 10,
    feedback: bool = True,
) -> Layer:
    """Stochastic SRM neurons, whatever the hidden ones are: the readout of the paper.

    Args:
        connect, shape, neuron, surrogate, num_filters: see `Readout`.
        memory_steps: tau_e, steps after which a spike below is forgotten.
        feedback: whether neurons feel their own spikes. Without, all spikes are independent given
            the input.

    Raises:
        ValueError: fewer steps than so many filters need.
    """
    layer = stochastic_srm(connect, shape, RaisedCosines(num_filters, memory_steps))
    if not feedback:
        layer.feedback = NoFeedback()
        layer.gain.requires_grad_(False)  # of nothing
    return layer


def threshold(
    connect: Connect,
    shape: tuple[int, ...],
    neuron: Neuron,
    surrogate: Surrogate | None,
    num_filters: int,
) -> Layer:
    """Neurons like the hidden ones: deterministic, without noise and without an estimator."""
    return neuron(connect, shape, surrogate)
