"""SLAYER's neurons: SRM with alpha kernels, an escape-rate density, no bias.

    u[t] = (eps * sum_j w_j s_j)[t] - scale_ref theta (alpha_ref * s)[t],    s[t] = 1[u[t] >= theta]

with `eps` an alpha function of `tau_sr` and `alpha_ref` one of `tau_ref`, both 0 at t = 0, so that
a spike is felt from the next step on. The derivative of a spike is, of the chance to fire,

    rho(u) = scale_rho / (tau_rho theta) exp(-|u - theta| / (tau_rho theta))

and no gradient passes through refractoriness. Shrestha & Orchard, "SLAYER: Spike Layer Error
Reassignment in Time", 2018, https://arxiv.org/abs/1810.08646; numbers are those of its example on
N-MNIST. Here `v = u / theta - 1`, and the surrogate is `scale_rho / tau_rho exp(-|v| / tau_rho)`.
"""

from functools import partial
from typing import ClassVar

import numpy as np

from vdib.dynamics.alpha import Alpha, AlphaFeedback
from vdib.dynamics.firing import Threshold
from vdib.dynamics.surrogate import Surrogate, exponential
from vdib.neurons.layer import Connect
from vdib.neurons.normalised import NormalisedSynapses
from vdib.neurons.spike_response import SRM
from vdib.neurons.synapses import SumPool2d


class Slayer(SRM):
    """SRM neurons whose own spikes carry no gradient back to them."""

    ATTACHED: ClassVar = False


def slayer(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    tau_sr: float = 10.0,
    tau_ref: float = 1.0,
    scale_ref: float = 2.0,
    theta: float = 10.0,
    tau_rho: float = 1.0,
    scale_rho: float = 1.0,
    weight_scale: float | None = None,
) -> Slayer:
    """A layer of them.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes; the escape-rate density by default.
        tau_sr: time to the peak of the synaptic response, in steps.
        tau_ref: the same of refractoriness.
        scale_ref: depth of refractoriness, in thresholds.
        theta: the threshold, in units of the potential.
        tau_rho: width of the density, in thresholds.
        scale_rho: its area, dimensionless.
        weight_scale: by what PyTorch's initial weights are multiplied; 10 for dense layers and
            100 for convolutions by default.

    Raises:
        ValueError: a number that is not positive.
    """
    settings = {"scale_ref": scale_ref, "theta": theta, "tau_rho": tau_rho, "scale_rho": scale_rho}
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"{name}: got {value}, expected above 0")
    depth = scale_ref * theta
    density = partial(exponential, a=scale_rho / tau_rho, b=1 / tau_rho)
    # Layers fire at v > 0, and these at u = theta as well: above the number before it, in float32.
    below = float(np.nextafter(np.float32(theta), np.float32(0)))
    layer = Slayer(
        connect(1),
        shape,
        Alpha(tau_sr),
        AlphaFeedback(tau_ref, 0.01 / depth),
        Threshold(surrogate or density),
        below,
        theta,
    )
    for fixed, value in ((layer.bias, 0.0), (layer.gain, depth)):
        fixed.data.fill_(value)
        fixed.requires_grad_(False)
    if weight_scale is None:
        weight_scale = 10.0 if len(shape) == 1 else 100.0
    connections = layer.synapses
    if isinstance(connections, NormalisedSynapses):  # whose gamma is not drawn
        connections = connections.synapses
    for _, weight in connections.named_parameters():
        weight.data.mul_(weight_scale)
    if isinstance(connections, SumPool2d):
        connections.weight.mul_(theta)
    return layer
