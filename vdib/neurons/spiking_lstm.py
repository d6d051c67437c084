"""Spiking LSTM cells: gates, candidate and memory are 0 or 1.

    f, i, o, g = spikes of W x[t] + U h[t-1] + b - theta
    c[t] = min(f c[t-1] + i g, 1),     h[t] = o c[t]

h is the layer's spikes. Thresholds and surrogates are the paper's. Of gamma, the derivative of the
memory where it was clipped, the paper says that it is at most 1; 0 is the clip's own, with which
gradients do not grow over time, and digits are learned faster. The bias of f is ours, so that
cells at rest remember.

Rezaabad & Vishwanath, "Long Short-Term Memory Spiking Networks and Their Applications", 2020,
https://arxiv.org/abs/2007.04779.
"""

import math
from functools import partial

from vdib.dynamics.firing import Threshold
from vdib.dynamics.lstm import SpikingCell
from vdib.dynamics.surrogate import Surrogate, gaussian
from vdib.neurons.layer import Connect
from vdib.neurons.lstm import LSTM


def spiking_lstm(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    theta: float = 0.1,
    alpha_1: float = 4.0,
    alpha_2: float = 0.3,
    gamma: float = 0.0,
    forget_bias: float = 1.0,
) -> LSTM:
    """A layer of them.

    A surrogate is `exp(-z^2 / alpha) / sqrt(pi alpha)`: the normal density of variance alpha / 2.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes of gates and candidate alike; otherwise the paper's two.
        theta: the threshold of gates and candidate.
        alpha_1: of the gates' surrogate.
        alpha_2: of the candidate's.
        gamma: derivative of the memory where it was clipped, in [0, 1].
        forget_bias: what the bias of f starts from; above theta, cells at rest remember.

    Raises:
        ValueError: a gamma outside of 0 to 1, or an alpha that is not positive.
    """
    if not min(alpha_1, alpha_2) > 0:
        raise ValueError(f"alpha_1 and alpha_2: got {alpha_1} and {alpha_2}, expected above 0")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma: got {gamma}, expected 0 to 1")
    gate, candidate = (
        Threshold(surrogate or partial(gaussian, std=math.sqrt(alpha / 2)))
        for alpha in (alpha_1, alpha_2)
    )
    return LSTM(connect(4), shape, SpikingCell(gate, candidate, gamma), theta, forget_bias)
