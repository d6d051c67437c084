"""Leaky integrate-and-fire neurons whose time constant is learned (PLIF).

    H[t] = V[t-1] + (X[t] - V[t-1]) / tau,     S[t] = 1[H[t] > theta],     V[t] = H[t] (1 - S[t])

with the currents X = W x + b and tau = 1 / sigmoid(w), w learned and shared by a layer: the leaky
neuron of `vdib.neurons.leaky` with beta = 1 - 1 / tau, decayed input, and a reset to zero that
carries gradient. Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning
of Spiking Neural Networks", 2021, https://arxiv.org/abs/2007.05785.
"""

from vdib.dynamics.firing import Threshold
from vdib.dynamics.integrate_and_fire import Reset
from vdib.dynamics.surrogate import Surrogate, arctan
from vdib.neurons.layer import Connect
from vdib.neurons.leaky import Leaky, Learned, ResetName


def plif(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    tau: float = 2.0,
    theta: float = 1.0,
    width: float = 1.0,
    reset: ResetName = "zero",
    detach: bool = False,
    learn: Learned = ("beta",),
    shared: bool = True,
) -> Leaky:
    """A layer of them.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes; arctan by default.
        tau: the time constant to start from, in steps, above 1.
        theta: the threshold.
        width: of the surrogate, in units of the potential.
        reset: to zero, or by subtraction of theta.
        detach: whether the reset carries no gradient.
        learn: which of beta = 1 - 1 / tau, theta and width training moves.
        shared: whether a learned constant is one number for the layer or one per neuron.
    """
    if not tau > 1:
        raise ValueError(f"tau: got {tau}, expected above 1 step")
    rule, fire = Reset.of(reset, detach), Threshold(surrogate or arctan)
    beta = 1 - 1 / tau
    return Leaky(connect(1), shape, fire, rule, beta, theta, width, learn, shared, True)
