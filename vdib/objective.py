"""The variational directed information bottleneck, term by term, in nats.

    L = E sum_t [ -log q_phi(r_t | recent y)
                  + beta KL(p_theta(y_t | y^{t-1}, x^t) || q(y_t | y^{t-1})) ]

Everything is a sum over pixels, neurons and steps, so beta means the same at every size.
Skatchkovsky, Simeone & Jang, 2021, https://arxiv.org/abs/2106.01177. Their log-ratio of p and q is
replaced by its expectation over y_t given the sampled past, which has the same mean and less
variance.

Legend: B batch, S decodings, T steps, N readout neurons.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import softplus

BITS_PER_NAT = 1 / math.log(2)


def bernoulli_kl(logits: Tensor, prior_logits: Tensor) -> Tensor:
    """`KL(p || q) = p log(p/q) + (1-p) log((1-p)/(1-q))` in nats, elementwise, from logits.

    With `p = sigmoid(a)`, `q = sigmoid(b)`: `p (a - b) - log(1 + e^a) + log(1 + e^b)`, stable for
    logits of any size.

    >>> a = torch.tensor([0.0, 2.0])
    >>> bernoulli_kl(a, a)
    tensor([0., 0.])
    """
    return (
        torch.sigmoid(logits) * (logits - prior_logits) - softplus(logits) + softplus(prior_logits)
    )


def rate(logits: Tensor, prior_logits: Tensor) -> Tensor:
    """KL of the code at each step given the sampled past, summed over neurons, in nats.

    Its expectation summed over steps is an upper bound on the directed information
    `I(x -> y) = sum_t I(x^t; y_t | y^{t-1})`, tight where the prior is the true marginal.

    Args:
        logits: `(B, T, N)` of the code.
        prior_logits: of the prior, broadcastable to the same.

    Returns:
        `(B, T)`.
    """
    return bernoulli_kl(logits, prior_logits).sum(-1)


def code_length(spikes: Tensor, prior_logits: Tensor) -> Tensor:
    """`-log q(y_t | y^{t-1})` of given spikes, summed over neurons, in nats.

    What a deterministic code costs under a prior: it has no `log p(y | x)`, so that this is the
    length of its description and no rate. With `b` the logits, `log(1 + e^b) - y b`.

    Args:
        spikes: y, `(B, T, N)`.
        prior_logits: of the prior, broadcastable to the same.

    Returns:
        `(B, T)`.
    """
    return (softplus(prior_logits) - spikes * prior_logits).sum(-1)


def distortion(decoded: Distribution, target: Tensor) -> Tensor:
    """`-log q_phi(r | recent y)` in nats, `(B, S)`.

    Args:
        decoded: batch shape `(B, S)`.
        target: r, `(B, ...)` for one decoding a sequence or `(B, S, ...)`.

    Raises:
        ValueError: r of another shape, which might be broadcast without a word.
    """
    shape = decoded.batch_shape + decoded.event_shape
    came = tuple(target.shape)
    if len(shape) > target.dim():
        target = target.unsqueeze(1)
    once = (*decoded.batch_shape[:1], *[1] * len(decoded.batch_shape[1:]), *decoded.event_shape)
    if tuple(target.shape) not in (once, tuple(shape)):
        expected = (*decoded.batch_shape[:1], *decoded.event_shape)
        raise ValueError(f"r: got shape {came}, expected {expected} or {tuple(shape)}")
    log_prob: Any = decoded.log_prob(target)
    cost: Tensor = -log_prob
    return cost


def per_step(costs: Tensor, num_steps: int, looks: Tensor | None = None) -> Tensor:
    """Distortions `(B, S)` at the steps they are due, `(B, T)`: at every step, or at the last.

    Args:
        costs: `(B, S)`.
        num_steps: T.
        looks: after how many steps each is due, `(B, S)` int64, 1 to T, where it is another.
    """
    if looks is not None:
        due = costs.new_zeros(len(costs), num_steps)
        return due.scatter_add(1, looks - 1, costs)
    if costs.shape[1] == num_steps:
        return costs
    return torch.nn.functional.pad(costs, (num_steps - costs.shape[1], 0))
