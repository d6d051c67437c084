"""How likely a model of spikes and images makes an image: bounds on `log p(r)` by several codes.

The prior and the decoder are a generative model, `p(r) = sum_y q(y) q_phi(r | y)`, of which the
encoder proposes codes. With y_1 .. y_K drawn from it,

    log p(r) >= E log 1/K sum_k w_k,    w_k = q_phi(r | y_k) q(y_k) / p_theta(y_k || x)

tighter the larger K; Y. Burda, R. Grosse & R. Salakhutdinov, "Importance Weighted Autoencoders",
2016, https://arxiv.org/abs/1509.00519. The ratio of q and p is that of the codes that were drawn:
the closed-form KL is its mean, of use at K = 1 only.

A grey image stands for binary ones, `r ~ Bernoulli(pixels)`, and x is the grey one. At K = 1 the
mean over these is distortion plus rate, as `-log q` is linear in r. For K > 1 it is not, and they
have to be drawn.

Legend: B batch, K codes an example, T steps, N readout neurons.
"""

import math

import torch
from torch import Tensor

from vdib.model import VDIB
from vdib.noise import TARGET, Noise
from vdib.objective import code_length, distortion
from vdib.sparse import Spikes


def binarised(r: Tensor, noise: Noise) -> Tensor:
    """Binary images `r ~ Bernoulli(pixels)` of grey ones, `(B, H W)` each, by address.

    Args:
        r: pixels in [0, 1].
        noise: one row an example, whatever its layers draw.
    """
    uniform = noise.uniform(TARGET, 1, tuple(r.shape[1:]))[:, 0]
    return (uniform < r).to(r)


@torch.no_grad()
def log_weights(model: VDIB, x: Spikes, r: Tensor, noise: Noise | Tensor) -> Tensor:
    """`log w_k` of codes that the encoder draws, in nats, `(K, B)`.

    Args:
        model: with a sampled readout, decoded once at the end.
        x: `(B, T, *N_x)` spikes, dense or as lists.
        r: what they are to become, `(B, ...)`.
        noise: of K codes an example.

    Raises:
        ValueError: a deterministic code, one that is decoded at every step, or a decoder that does
            not look at the spikes or whose costs are no probabilities.
    """
    decoder = model.decoder
    if not model.encoder.readout.stochastic or model.every_step:
        raise ValueError("importance weights need a sampled readout, decoded once at the end")
    if not decoder.SAMPLES or not decoder.PROBABILITY:
        name = type(decoder).__name__
        raise ValueError(f"importance weights need a probability given the spikes; {name} has none")
    code = model.encode(x, noise)
    num_codes = len(code.spikes) // len(r)
    cost = distortion(model.decode(code), r.repeat(num_codes, *[1] * (r.dim() - 1))).sum(1)
    length = code_length(code.spikes, model.prior(code.spikes)).sum(1)
    ratio = -cost - length - code.log_prob().sum(1)  # log q(r | y) + log q(y) - log p(y || x)
    return ratio.view(num_codes, -1)


def importance_bound(model: VDIB, x: Spikes, r: Tensor, noise: Noise | Tensor) -> Tensor:
    """`-log 1/K sum_k w_k` in nats, `(B,)`: on average no less than `-log p(r)`.

    Args:
        model, x, r, noise: as of `log_weights`.

    Raises:
        ValueError: as there.
    """
    weights = log_weights(model, x, r, noise).double()
    return math.log(len(weights)) - torch.logsumexp(weights, 0)
