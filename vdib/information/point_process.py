"""Logistic point-process models of spikes given their past and an input, fitted by convex descent.

    logit q(y_i[t] = 1 | y^{t-1}, x^t) = m_i + sum_jk b_ijk (eps_k * x_j)[t]
                                             + sum_jk a_ijk (nu_k * y_j)[t - 1]

The generalised linear model of spike trains (Truccolo et al., "A point process framework for
relating neural spiking activity to spiking history, neural ensemble, and extrinsic covariate
effects", 2005, https://doi.org/10.1152/jn.00697.2004; Pillow et al., 2008,
https://doi.org/10.1038/nature07140), with logistic rather than exponential neurons, as spikes are
0 or 1 here. Without inputs it is a prior. Its cross-entropy bounds an entropy from above:
`E -log q(y || x) >= H(y || x)`.

Legend: B sequences, T steps, N_x inputs, N neurons, K filters of L steps, F features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from vdib.dynamics.filters import RaisedCosines, delayed

RIDGE = 1.0
"""Of the penalty `RIDGE / 2 |w|^2` in nats, on all sequences together: finite where spikes are
told without error."""


def filtered(x: Tensor, response: Tensor) -> Tensor:
    """`sum_l response[k, l] x[t - l, n]`, `(B, T, N)` and `(K, L)` to `(B, T, N K)`."""
    length = response.shape[1]
    recent = pad(x, (0, 0, length - 1, 0)).unfold(1, length, 1).flip(-1)  # B T N L
    return (recent @ response.T.to(x)).flatten(2)


@dataclass(frozen=True)
class PointProcess:
    """A fitted model.

    Attributes:
        weight: `(F, N)`.
        bias: `(N,)`.
        input_filter: `(K, L)`; None of a prior.
        history_filter: `(K, L)`.
    """

    weight: Tensor
    bias: Tensor
    input_filter: Tensor | None
    history_filter: Tensor

    def logits(self, x: Tensor | None, y: Tensor) -> Tensor:
        """`(B, T, N_x)` and `(B, T, N)` to `(B, T, N)`."""
        return features(x, y, self.input_filter, self.history_filter) @ self.weight + self.bias

    def history_logits(self, y: Tensor) -> Tensor:
        """Those of silent inputs, `(B, T, N)`."""
        past = filtered(delayed(y), self.history_filter)
        return past @ self.weight[-past.shape[2] :] + self.bias

    def log_prob(self, x: Tensor | None, y: Tensor) -> Tensor:
        """`log q(y_t | y^{t-1}, x^t)` in nats, `(B, T)`."""
        return log_prob(self.logits(x, y), y)


def log_prob(logits: Tensor, y: Tensor) -> Tensor:
    """`sum_n y v - log(1 + e^v)` of independent spikes, `(..., N)` to `(...)` in nats."""
    return (y * logits - softplus(logits)).sum(-1)


def features(
    x: Tensor | None, y: Tensor, input_filter: Tensor | None, history_filter: Tensor
) -> Tensor:
    """What logits are linear in, `(B, T, F)`: filtered inputs, then filtered past spikes."""
    past = filtered(delayed(y), history_filter)
    if x is None or input_filter is None:
        return past
    return torch.cat([filtered(x, input_filter), past], 2)


def lags(count: int) -> Tensor:
    """One filter for each of the lags 0 to `count - 1`."""
    return torch.eye(count)


def cosines(count: int, duration: int) -> Tensor:
    """Raised cosines over `duration` steps, fewer where so many would not fit."""
    while count > 1:
        try:
            return RaisedCosines(count, duration).impulse_response(duration).float()
        except ValueError:
            count -= 1
    return RaisedCosines(1, duration).impulse_response(duration).float()


def fit(
    x: Tensor | None,
    y: Tensor,
    input_filter: Tensor | None,
    history_filter: Tensor,
    iterations: int = 100,
    ridge: float = RIDGE,
) -> PointProcess:
    """The model of least cross-entropy plus ridge, by L-BFGS from independent spikes.

    Args:
        x: `(B, T, N_x)`; None for a prior.
        y: `(B, T, N)` spikes.
        input_filter: eps, `(K, L)`.
        history_filter: nu, `(K, L)`.
        iterations: at most.
        ridge: of the penalty, in nats.
    """
    rows = features(x, y, input_filter, history_filter).flatten(0, 1).detach()
    spikes = y.flatten(0, 1).detach()
    # Features of one scale: the descent is quicker, and the ridge means the same for all.
    scale = rows.square().mean(0).sqrt().clamp_min(1e-3)
    rows = rows / scale
    rate = ((spikes.sum(0) + 0.5) / (len(spikes) + 1)).clamp(1e-6, 1 - 1e-6)
    bias = torch.logit(rate).requires_grad_()
    weight = rows.new_zeros(rows.shape[1], spikes.shape[1]).requires_grad_()
    search = torch.optim.LBFGS(
        [weight, bias], max_iter=iterations, tolerance_change=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        penalty = ridge / 2 * weight.square().sum()
        loss = (penalty - log_prob(rows @ weight + bias, spikes).sum()) / len(spikes)
        torch.autograd.backward(loss)
        return loss

    with torch.enable_grad():
        search.step(closure)  # type: ignore[no-untyped-call, unused-ignore]
    return PointProcess(
        weight.detach() / scale[:, None], bias.detach(), input_filter, history_filter
    )
