"""Leaky integrate-and-fire neurons with a soft reset, as an SRM layer.

    U[t] = beta U[t-1] + I[t] - theta S[t-1],  v[t] = (U[t] + b - theta) / width,  S = 1[v > 0]

Unrolled, U is the current through `beta^t` less theta times `beta^k` of the neuron's own spikes
k + 1 steps ago: a filter, a feedback of the same decay, and a gain that is theta and not learned.
The bias b, from 0 on, moves the threshold, as in every SRM layer: it is what a membrane holds into
which a current of `(1 - beta) b` has always flowed.
The reset carries gradient. Defaults are those of snnTorch (Eshraghian et al., "Training Spiking
Neural Networks Using Lessons from Deep Learning", 2023, https://arxiv.org/abs/2109.12894).

A reset to zero or without gradient, and constants that are learned, are no filters: those neurons
are of `vdib.neurons.leaky`, whose bias is a current from the first step on, drawn as PyTorch draws
it (calibration scales it). What differs between `lif` and `lif` with `learn` is therefore the bias
as well: compare the latter with `leaky`, `detach: false`.
"""

from vdib.dynamics.feedback import ExponentialFeedback
from vdib.dynamics.filters import ExponentialPair
from vdib.dynamics.firing import Threshold
from vdib.dynamics.surrogate import Surrogate, arctan
from vdib.neurons.layer import Connect
from vdib.neurons.leaky import Leaky, Learned, ResetName, leaky
from vdib.neurons.spike_response import SRM


def lif(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    beta: float = 0.95,
    theta: float = 1.0,
    width: float = 1.0,
    reset: ResetName = "subtract",
    detach: bool = False,
    learn: Learned = (),
    shared: bool = True,
) -> SRM | Leaky:
    """A hidden layer of LIF neurons: an SRM layer where that is exact.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes; arctan by default.
        beta: what a step leaves of the potential, in [0, 1).
        theta: the threshold.
        width: of the surrogate, in units of the potential.
        reset: by subtraction of theta, or to zero.
        detach: whether the reset carries no gradient.
        learn: which of beta, theta and width training moves.
        shared: whether a learned constant is one number for the layer or one per neuron.
    """
    if reset != "subtract" or detach or learn:
        return leaky(connect, shape, surrogate, beta, theta, width, reset, detach, learn, shared)
    filter, fire = ExponentialPair(beta, 0.0), Threshold(surrogate or arctan)
    layer = SRM(connect(1), shape, filter, ExponentialFeedback(beta), fire, theta, width)
    layer.gain.data.fill_(theta)
    layer.gain.requires_grad_(False)
    return layer
