"""What a neuron does at every step, spikes or none: the equations of `step`, counted.

Of SRM neurons that is the filter, the feedback, and the comparison with the threshold; factors that
never change are taken to be part of the weights. What a neuron's own spike adds to what it
remembers is counted for each spike. The bits by which spiking gates are combined cost nothing here,
and neither do the noise of a stochastic threshold and the sigmoids of an LSTM, for which no cost
model has a price.

Legend: K filters, L steps of a response, N neurons.
"""

import math
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from torch import nn

from vdib.dynamics.alpha import Alpha
from vdib.dynamics.feedback import ExponentialFeedback, FiniteFeedback
from vdib.dynamics.filters import ExponentialPair, RaisedCosines, taps
from vdib.dynamics.lstm import RealCell
from vdib.neurons.attended import Attended
from vdib.neurons.leaky import Leaky
from vdib.neurons.learned import LearnedFeedback, LearnedPair
from vdib.neurons.lstm import LSTM
from vdib.neurons.normalised import Normalised
from vdib.neurons.spike_response import SRM
from vdib.neurons.wrapped import Wrapped


@dataclass(frozen=True)
class Update:
    """Of one neuron.

    Attributes:
        multiplications: at every step.
        additions: likewise, comparisons among them.
        words: numbers that it remembers from step to step.
        per_spike: additions for each spike of its own.
    """

    multiplications: float = 0
    additions: float = 0
    words: float = 0
    per_spike: float = 0

    def __add__(self, other: "Update") -> "Update":
        return Update(
            self.multiplications + other.multiplications,
            self.additions + other.additions,
            self.words + other.words,
            self.per_spike + other.per_spike,
        )


@singledispatch
def update(part: Any) -> Update:
    """Of a layer, a filter or a feedback.

    Raises:
        ValueError: another kind than this file knows.
    """
    raise ValueError(f"energy: no count of what {type(part).__name__} does at a step")


@update.register
def _(filter: ExponentialPair) -> Update:
    poles = 1 if filter.synapse == 0 else 2
    return Update(poles, poles, poles)


@update.register
def _(filter: LearnedPair) -> Update:
    poles = 2 if filter.synapse.value else 1
    return Update(poles, poles, poles)


@update.register
def _(filter: RaisedCosines) -> Update:
    count = len(taps(filter.impulse_response(filter.duration)))
    return Update(count, count, filter.duration - 1)


@update.register
def _(filter: Alpha) -> Update:
    count = len(taps(filter.before)) + 2  # and two poles
    return Update(count, count, filter.duration + 4)


@update.register
def _(feedback: ExponentialFeedback) -> Update:
    return Update(1, 1, 1, 1)


@update.register
def _(feedback: LearnedFeedback) -> Update:
    return Update(1, 1, 1, 1)


@update.register
def _(feedback: FiniteFeedback) -> Update:
    return Update(0, 1, feedback.duration, feedback.duration)


@update.register
def _(layer: SRM) -> Update:
    return update(layer.filter) + update(layer.feedback) + Update(additions=1)


@update.register
def _(layer: Leaky) -> Update:
    # The leak, the current, its bias, the comparison; theta is subtracted, or all of it forgotten.
    return Update(1, 3, 1, 0 if layer.reset.to_zero else 1)


@update.register
def _(layer: LSTM) -> Update:
    if isinstance(layer.cell, RealCell):
        return Update(3, 5, 2)  # f c + i g, o tanh(c); four biases
    return Update(0, 4, 1)  # four comparisons


@update.register
def _(layer: Wrapped) -> Update:
    return update(layer.inner)


@update.register
def _(layer: Normalised) -> Update:
    """A bias current each; the scale is part of the weights."""
    return update(layer.inner) + Update(additions=_currents(layer))


@update.register
def _(layer: Attended) -> Update:
    """`W (d x) = d (W x)`: each current once; and what makes d, the layer's share of it."""
    steps, neurons = layer.num_steps, math.prod(layer.shape)
    weights = steps * (steps // 2) + steps // 2
    shared = Update(weights, weights + math.prod(layer.input_shape), steps - 1)
    each = (shared.multiplications, shared.additions, shared.words)
    return (
        update(layer.inner)
        + Update(multiplications=_currents(layer))
        + Update(*(count / neurons for count in each))
    )


def _currents(layer: nn.Module) -> int:
    """K, currents of a neuron."""
    for part in layer.modules():
        if isinstance(part, SRM):
            return part.filter.num_filters
        if isinstance(part, LSTM):
            return 4
        if isinstance(part, Leaky):
            return 1
    raise ValueError(f"energy: no count of the currents of {type(layer).__name__}")
