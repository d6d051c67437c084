"""The reference neurons: hidden layers of SRM neurons, and the stochastic readout."""

from collections.abc import Sequence
from typing import Literal

from vdib.dynamics.feedback import CosineFeedback, ExponentialFeedback
from vdib.dynamics.filters import ExponentialPair, Filter, RaisedCosines
from vdib.dynamics.firing import Bernoulli, Threshold
from vdib.dynamics.surrogate import Surrogate, fast_sigmoid
from vdib.neurons.constants import Decay
from vdib.neurons.layer import Connect
from vdib.neurons.learned import LearnedFeedback, LearnedPair, WithLearnedDecays
from vdib.neurons.spike_response import SRM

LearnedDecays = Sequence[Literal["membrane", "synapse", "refractory"]]


def srm(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    membrane: float = 0.9,
    synapse: float = 0.85,
    refractory: float = 0.65,
    learn: LearnedDecays = (),
    shared: bool = True,
) -> SRM | WithLearnedDecays:
    """A hidden layer: double-exponential synapses (`ExponentialPair`), exponential refractoriness.

    E-prop, direct feedback and online learning take filters for constants: where decays are learned
    the layer is wrapped, and they refuse it. Thresholds and depths of refractoriness are
    learned in any case; the width of the surrogate is a scale of these and of the weights.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes; fast sigmoid by default.
        membrane, synapse: decays per step of the two integrators of an input, in [0, 1).
        refractory: what a step leaves of the effect of a neuron's own spikes, in [0, 1).
        learn: which of the three training moves.
        shared: whether a learned decay is one number for the layer or one per neuron.
    """
    layer = srm_with_decays(connect, shape, surrogate, membrane, synapse, refractory, learn, shared)
    return WithLearnedDecays(layer) if learn else layer


def srm_with_decays(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None,
    membrane: float,
    synapse: float,
    refractory: float,
    learn: LearnedDecays,
    shared: bool,
) -> SRM:
    """The layer that `srm` wraps, with the same arguments.

    Raises:
        ValueError: a decay out of its range, or no such decay to learn.
    """
    if unknown := set(learn) - {"membrane", "synapse", "refractory"}:
        what = "some of membrane, synapse and refractory"
        raise ValueError(f"learn: got {min(unknown)!r}, expected {what}")
    fire = Threshold(surrogate or fast_sigmoid)
    filter, feedback = ExponentialPair(membrane, synapse), ExponentialFeedback(refractory)
    layer = SRM(connect(1), shape, filter, feedback, fire)
    each = () if shared else tuple(layer.bias.shape)
    if {"membrane", "synapse"} & set(learn):
        layer.filter = LearnedPair(
            Decay("membrane", membrane, "membrane" in learn, each),
            Decay("synapse", synapse, "synapse" in learn, each),
        )
    if "refractory" in learn:
        layer.feedback = LearnedFeedback(Decay("refractory", refractory, True, each))
    return layer


def stochastic_srm(connect: Connect, shape: tuple[int, ...], filter: Filter | None = None) -> SRM:
    """A readout: raised cosines both ways, over 10 steps."""
    filter = filter or RaisedCosines()
    return SRM(connect(filter.num_filters), shape, filter, CosineFeedback(), Bernoulli())
