"""Which parts of a layer `vdib.kernels` knows, and what it is told of them.

Names of kinds are those of the constants there, which cannot be imported before they are needed.
"""

import math
import warnings
from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Any

import numpy as np
from torch import Tensor

from vdib import surrogate
from vdib.estimator import Bernoulli, Concrete, PassThrough
from vdib.filters import ExponentialPair, RaisedCosines, taps
from vdib.scan import ExponentialFeedback, KernelFeedback


@lru_cache
def compiled() -> bool:
    """Whether there are kernels here. Asking loads the compiler, which not every command needs."""
    try:
        from vdib import kernels
    except ImportError as error:  # numba refuses versions of NumPy that it does not know yet
        warnings.warn(f"layers run unfused, many times slower: {error}", stacklevel=2)
        return False
    return bool(kernels)


_SURROGATES: dict[Callable[..., Tensor], Callable[..., tuple[str, float, float]]] = {
    surrogate.boxcar: lambda width=0.5: ("BOXCAR", width, 1 / (2 * width)),
    surrogate.sigmoid: lambda slope=4.0: ("SIGMOID", slope, 0.0),
    surrogate.arctan: lambda alpha=2.0: ("ARCTAN", math.pi / 2 * alpha, alpha / 2),
    surrogate.fast_sigmoid: lambda slope=5.0: ("FAST_SIGMOID", slope, 0.0),
    surrogate.gaussian: lambda std=0.4: ("GAUSSIAN", std, 1 / (std * math.sqrt(2 * math.pi))),
    surrogate.exponential: lambda a=1.0, b=2.0: ("ESCAPE", a, b),
}


def known(part: object) -> bool:
    """Whether there is a kernel for a filter, a feedback or a way to fire; not for subclasses."""
    if type(part) is surrogate.Threshold:
        function: object = part.surrogate
        if isinstance(function, partial) and not function.args:
            function = function.func
        return any(function is one for one in _SURROGATES)  # which need not be hashable
    kinds = (ExponentialPair, RaisedCosines, ExponentialFeedback, KernelFeedback)
    return type(part) in (*kinds, Bernoulli, PassThrough, Concrete)


# What the kernels are told of each part, in the order of their arguments.


@lru_cache
def filter_arguments(filter: Hashable) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Of the forward and of the backward pass."""
    from vdib import kernels

    kind, decays, found = kernels.NO_FILTER, (0.0, 0.0, 1.0), []
    if isinstance(filter, ExponentialPair):
        kind, decays = kernels.EXPONENTIAL_PAIR, (filter.membrane, filter.synapse, filter.peak)
    elif isinstance(filter, RaisedCosines):
        kind, found = kernels.BANK, taps(filter.kernel(filter.duration))
    lag, channel = (np.array([tap[i] for tap in found], np.int64) for i in (0, 1))
    weight = np.array([tap[2] for tap in found], np.float32)
    begin = kind, np.array(decays, np.float32)
    order = np.argsort(channel, kind="stable")
    first = np.searchsorted(channel[order], np.arange(max(channel, default=-1) + 2))
    return (*begin, lag, channel, weight), (*begin, lag[order], first, weight[order])


@lru_cache
def feedback_arguments(feedback: Hashable) -> tuple[Any, ...]:
    from vdib import kernels

    if isinstance(feedback, ExponentialFeedback):
        return kernels.EXPONENTIAL, np.array([feedback.decay], np.float32)
    if isinstance(feedback, KernelFeedback):
        return kernels.FINITE, feedback.kernel(feedback.duration).float().numpy()
    return kernels.NO_FEEDBACK, np.zeros(0, np.float32)


@lru_cache
def fire_arguments(fire: Hashable) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Of the forward and of the backward pass."""
    from vdib import kernels

    kind, temperature, slope, p, q = "NO_FIRE", 1.0, "NO_SLOPE", 1.0, 0.0
    if isinstance(fire, surrogate.Threshold):
        kind, function = "THRESHOLD", fire.surrogate
        if isinstance(function, partial):
            slope, p, q = _SURROGATES[function.func](**function.keywords)
        else:
            slope, p, q = _SURROGATES[function]()
    elif isinstance(fire, Concrete):
        kind, temperature, slope, p = "CONCRETE", fire.temperature, "SOFT", fire.temperature
    elif isinstance(fire, Bernoulli):
        kind, slope = "BERNOULLI", "BY_CHANCE" if isinstance(fire, PassThrough) else "NO_SLOPE"
    return (
        (getattr(kernels, kind), np.float32(temperature)),
        (getattr(kernels, slope), np.float32(p), np.float32(q)),
    )
