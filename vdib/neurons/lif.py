"""Leaky integrate-and-fire neurons with a soft reset, as an SRM layer.

    U[t] = beta U[t-1] + I[t] - theta S[t-1],     S[t] = 1[U[t] > theta]

Unrolled, U is the current through `beta^t` less theta times `beta^k` of the neuron's own spikes
k + 1 steps ago: a filter, a feedback of the same decay, and a gain that is theta and not learned.
The reset carries gradient. Defaults are those of snnTorch (Eshraghian et al., "Training Spiking
Neural Networks Using Lessons from Deep Learning", 2023, https://arxiv.org/abs/2109.12894).
"""

from vdib.dynamics.feedback import ExponentialFeedback
from vdib.dynamics.filters import ExponentialPair
from vdib.dynamics.firing import Threshold
from vdib.dynamics.surrogate import Surrogate, arctan
from vdib.neurons.layer import Connect
from vdib.neurons.srm import SRM


def lif(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    beta: float = 0.95,
    theta: float = 1.0,
) -> SRM:
    """A hidden layer of LIF neurons that lose theta with every spike.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes; arctan by default.
        beta: what a step leaves of the potential, in [0, 1).
        theta: the threshold.
    """
    filter, fire = ExponentialPair(beta, 0.0), Threshold(surrogate or arctan)
    layer = SRM(connect(1), shape, filter, ExponentialFeedback(beta), fire, theta)
    layer.gain.data.fill_(theta)
    layer.gain.requires_grad_(False)
    return layer
