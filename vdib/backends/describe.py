"""Which parts of a layer the kernels know, and what they are told of them."""

import math
import warnings
from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdib.backends import kinds
from vdib.dynamics import surrogate
from vdib.dynamics.feedback import ExponentialFeedback, KernelFeedback
from vdib.dynamics.filters import ExponentialPair, RaisedCosines, taps
from vdib.dynamics.firing import Bernoulli, Concrete, PassThrough, Threshold


@lru_cache
def compiled() -> bool:
    """Whether there are kernels here. Asking loads the compiler, which not every command needs."""
    try:
        from vdib.backends.cpu import layer_kernels as kernels
    except ImportError as error:  # numba refuses versions of NumPy that it does not know yet
        warnings.warn(f"layers run unfused, many times slower: {error}", stacklevel=2)
        return False
    return bool(kernels)


@lru_cache
def compiled_for(device: torch.device) -> bool:
    """Whether Triton compiles for `device` and runs there. Asking loads it."""
    try:
        from vdib.backends.cuda import launch as triton_launch

        triton_launch.probe(device)
    except ModuleNotFoundError:
        return False
    except Exception as error:  # of many types: no C compiler, a device too old or too new
        warnings.warn(f"layers run unfused on {device}: {error}", stacklevel=2)
        return False
    return True


_SURROGATES: dict[Callable[..., Tensor], Callable[..., tuple[int, float, float]]] = {
    surrogate.boxcar: lambda width=0.5: (kinds.BOXCAR, width, 1 / (2 * width)),
    surrogate.sigmoid: lambda slope=4.0: (kinds.SIGMOID, slope, 0.0),
    surrogate.arctan: lambda alpha=2.0: (kinds.ARCTAN, math.pi / 2 * alpha, alpha / 2),
    surrogate.fast_sigmoid: lambda slope=5.0: (kinds.FAST_SIGMOID, slope, 0.0),
    surrogate.gaussian: lambda std=0.4: (kinds.GAUSSIAN, std, 1 / (std * math.sqrt(2 * math.pi))),
    surrogate.exponential: lambda a=1.0, b=2.0: (kinds.ESCAPE, a, b),
}


def known(part: object) -> bool:
    """Whether there is a kernel for a filter, a feedback or a way to fire; not for subclasses."""
    if type(part) is Threshold:
        function: object = part.surrogate
        if isinstance(function, partial) and not function.args:
            function = function.func
        return any(function is one for one in _SURROGATES)  # which need not be hashable
    kernels = (ExponentialPair, RaisedCosines, ExponentialFeedback, KernelFeedback)
    return type(part) in (*kernels, Bernoulli, PassThrough, Concrete)


# What the kernels are told of each part, in the order of the CPU's arguments.


@lru_cache
def filter_arguments(filter: Hashable) -> tuple[int, tuple[Any, ...], tuple[Any, ...]]:
    """The kind, and the numbers of the forward and of the backward pass."""
    kind, decays, found = kinds.NO_FILTER, (0.0, 0.0, 1.0), []
    if isinstance(filter, ExponentialPair):
        kind, decays = kinds.EXPONENTIAL_PAIR, (filter.membrane, filter.synapse, 1 / filter.peak)
    elif isinstance(filter, RaisedCosines):
        kind, found = kinds.BANK, taps(filter.kernel(filter.duration))
    lag, channel = (np.array([tap[i] for tap in found], np.int64) for i in (0, 1))
    weight = np.array([tap[2] for tap in found], np.float32)
    rates = np.array(decays, np.float32)
    order = np.argsort(channel, kind="stable")
    first = np.searchsorted(channel[order], np.arange(max(channel, default=-1) + 2))
    return kind, (rates, lag, channel, weight), (rates, lag[order], first, weight[order])


@lru_cache
def feedback_arguments(feedback: Hashable) -> tuple[int, NDArray[np.float32]]:
    """The kind, and its numbers."""
    if isinstance(feedback, ExponentialFeedback):
        return kinds.EXPONENTIAL, np.array([feedback.decay], np.float32)
    if isinstance(feedback, KernelFeedback):
        return kinds.FINITE, feedback.kernel(feedback.duration).float().numpy()
    return kinds.NO_FEEDBACK, np.zeros(0, np.float32)


@lru_cache
def fire_arguments(fire: Hashable) -> tuple[int, np.float32, int, tuple[np.float32, np.float32]]:
    """The kind and the temperature, and of the slope the kind and its numbers."""
    kind, temperature, slope, p, q = kinds.NO_FIRE, 1.0, kinds.NO_SLOPE, 1.0, 0.0
    if isinstance(fire, Threshold):
        kind, function = kinds.THRESHOLD, fire.surrogate
        if isinstance(function, partial):
            slope, p, q = _SURROGATES[function.func](**function.keywords)
        else:
            slope, p, q = _SURROGATES[function]()
    elif isinstance(fire, Concrete):
        kind, temperature, slope, p = kinds.CONCRETE, fire.temperature, kinds.SOFT, fire.temperature
    elif isinstance(fire, Bernoulli):
        kind = kinds.BERNOULLI
        slope = kinds.BY_CHANCE if isinstance(fire, PassThrough) else kinds.NO_SLOPE
    return kind, np.float32(temperature), slope, (np.float32(p), np.float32(q))
