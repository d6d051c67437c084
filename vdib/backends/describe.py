"""What the kernels are told of the parts of a layer: a kind and its numbers.

`describe` knows exactly the types that are registered below. A subclass may behave differently and
is as unknown as any other type: it raises, and the layer takes the plain code. A part that a layer
does not have is said by name (`NO_FILTER`, `NO_FEEDBACK`, `NO_FIRE`), so that an unknown one is
never taken for none.

For the kernels to run another part, register its description here; if it is of no kind that they
know, add one to `kinds.py` and to them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial, singledispatch
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.backends import kinds
from vdib.dynamics import surrogate
from vdib.dynamics.alpha import Alpha, AlphaFeedback
from vdib.dynamics.feedback import (
    CosineFeedback,
    ExponentialFeedback,
    FiniteFeedback,
    NoFeedback,
)
from vdib.dynamics.filters import ExponentialPair, RaisedCosines, taps
from vdib.dynamics.firing import Bernoulli, Concrete, PassThrough, Threshold

Arrays = tuple[NDArray[Any], ...]


class NoKernel(Exception):
    """There is none for these arguments: the plain code takes them."""


@dataclass(frozen=True)
class FilterDescription:
    """Of a filter.

    Attributes:
        kind: of `kinds`.
        decays: per step, of membrane and synapse, and the scale of their cascade.
        taps: (lag, which of the K filters, weight), in the order in which they are summed; of a
            tapped pair they come before the cascade.
    """

    kind: int
    decays: tuple[float, float, float] = (0.0, 0.0, 1.0)
    taps: tuple[tuple[int, int, float], ...] = ()

    @cached_property
    def forward(self) -> Arrays:
        """Decays, and lag, filter and weight of each tap."""
        lag, filter = (np.array([tap[i] for tap in self.taps], np.int64) for i in (0, 1))
        weight = np.array([tap[2] for tap in self.taps], np.float32)
        return np.array(self.decays, np.float32), lag, filter, weight

    @cached_property
    def backward(self) -> Arrays:
        """Decays, and of one filter after the other the lags, where each begins, the weights."""
        decays, lag, filter, weight = self.forward
        order = np.argsort(filter, kind="stable")
        first = np.searchsorted(filter[order], np.arange(max(filter, default=-1) + 2))
        return decays, lag[order], first, weight[order]


@dataclass(frozen=True)
class FeedbackDescription:
    """Of a feedback: its kind, and nu per lag or its decay per step."""

    kind: int
    numbers: tuple[float, ...] = ()

    @cached_property
    def nu(self) -> NDArray[np.float32]:
        return np.array(self.numbers, np.float32)


@dataclass(frozen=True)
class Slope:
    """Of the derivative of spikes: its kind and numbers, whose meaning is the kind's."""

    kind: int
    p: float = 1.0
    q: float = 0.0


@dataclass(frozen=True)
class FireDescription:
    """Of a way to fire: its kind, the temperature of soft spikes, and the slope of any."""

    kind: int
    temperature: float = 1.0
    slope: Slope = Slope(kinds.NO_SLOPE)


NO_FILTER = FilterDescription(kinds.NO_FILTER)
NO_FEEDBACK = FeedbackDescription(kinds.NO_FEEDBACK)
NO_FIRE = FireDescription(kinds.NO_FIRE)


@dataclass(frozen=True)
class LayerDescription:
    """Descriptions of a layer's parts, and whether gradients reach through its feedback."""

    filter: FilterDescription = NO_FILTER
    feedback: FeedbackDescription = NO_FEEDBACK
    fire: FireDescription = NO_FIRE
    attached: bool = True

    @property
    def without_feedback(self) -> "LayerDescription":
        """For the backward pass of a detached layer, whose gain is to be given as zero.

        That is not `NO_FEEDBACK`, which is a layer that does not fire.
        """
        return replace(self, feedback=FeedbackDescription(kinds.EXPONENTIAL, (0.0,)))

    @property
    def spikes_from_v(self) -> bool:
        """Whether spikes are `1[v > 0]` and need not be kept beside v."""
        return self.fire.kind == kinds.THRESHOLD


def describe(part: object) -> Any:
    """The description of a filter, a feedback, a way to fire or a surrogate.

    >>> describe(ExponentialFeedback(0.5))
    FeedbackDescription(kind=1, numbers=(0.5,))

    Raises:
        NoKernel: exactly this type is not registered.
    """
    if type(part) not in description.registry:
        raise NoKernel(f"no kernel for a {type(part).__name__}")
    return description(part)


@singledispatch
def description(part: object) -> Any:
    """Where descriptions are registered; asked by `describe`."""
    raise NoKernel(f"no kernel for a {type(part).__name__}")


@description.register
@lru_cache
def _exponential_pair(filter: ExponentialPair) -> FilterDescription:
    decays = filter.membrane, filter.synapse, 1 / filter.peak
    return FilterDescription(kinds.EXPONENTIAL_PAIR, decays)


@description.register
@lru_cache
def _alpha(filter: Alpha) -> FilterDescription:
    decays = filter.decay, filter.decay, 1.0
    return FilterDescription(kinds.TAPPED_PAIR, decays, tuple(taps(filter.before)))


@description.register
@lru_cache
def _raised_cosines(filter: RaisedCosines) -> FilterDescription:
    return FilterDescription(kinds.BANK, taps=tuple(taps(filter.impulse_response(filter.duration))))


@description.register
@lru_cache
def _exponential_feedback(feedback: ExponentialFeedback) -> FeedbackDescription:
    return FeedbackDescription(kinds.EXPONENTIAL, (feedback.decay,))


@description.register(CosineFeedback)
@description.register(AlphaFeedback)
@description.register(NoFeedback)
@lru_cache
def _finite_feedback(feedback: FiniteFeedback) -> FeedbackDescription:
    return FeedbackDescription(
        kinds.FINITE, tuple(feedback.impulse_response(feedback.duration).tolist())
    )


@description.register
def _threshold(fire: Threshold) -> FireDescription:
    return FireDescription(kinds.THRESHOLD, slope=describe(fire.surrogate))


@description.register
def _bernoulli(fire: Bernoulli) -> FireDescription:
    return FireDescription(kinds.BERNOULLI)


@description.register
def _pass_through(fire: PassThrough) -> FireDescription:
    return FireDescription(kinds.BERNOULLI, slope=Slope(kinds.BY_CHANCE))


@description.register
def _concrete(fire: Concrete) -> FireDescription:
    return FireDescription(kinds.CONCRETE, fire.temperature, Slope(kinds.SOFT, fire.temperature))


SURROGATES: dict[Callable[..., Any], Callable[..., Slope]] = {
    surrogate.boxcar: lambda width=0.5: Slope(kinds.BOXCAR, width, 1 / (2 * width)),
    surrogate.sigmoid: lambda slope=4.0: Slope(kinds.SIGMOID, slope),
    surrogate.arctan: lambda alpha=2.0: Slope(kinds.ARCTAN, math.pi / 2 * alpha, alpha / 2),
    surrogate.fast_sigmoid: lambda slope=5.0: Slope(kinds.FAST_SIGMOID, slope),
    surrogate.gaussian: lambda std=0.4: Slope(
        kinds.GAUSSIAN, std, 1 / (std * math.sqrt(2 * math.pi))
    ),
    surrogate.exponential: lambda a=1.0, b=2.0: Slope(kinds.ESCAPE, a, b),
}
"""Of each surrogate the description, from the same parameters."""


@description.register
def _surrogate(function: FunctionType, **parameters: float) -> Slope:
    if function not in SURROGATES:
        raise NoKernel(f"no kernel for the surrogate {function.__name__}")
    return SURROGATES[function](**parameters)


@description.register(partial)
def _surrogate_with_parameters(function: "partial[Any]") -> Slope:
    numbers = all(isinstance(value, int | float) for value in function.keywords.values())
    if type(function.func) is not FunctionType or function.args or not numbers:
        raise NoKernel("no kernel for a surrogate with other than numbers for its parameters")
    return _surrogate(function.func, **function.keywords)
