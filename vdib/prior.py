"""The prior code `q(y_t | y^{t-1})` against which the rate is measured.

Each prior returns the logits of its firing probabilities given the past, broadcastable to the
spikes. Tighter priors give tighter bounds on the directed information; none falls below it.

Legend: B batch, T steps, N readout neurons, K filters.
"""

import math

import torch
from torch import Tensor, nn

from vdib.dynamics.filters import RaisedCosines, delayed
from vdib.precision import single


class BernoulliPrior(nn.Module):
    """Independent spikes of one fixed probability, `q(y = 1) = rho`.

    Args:
        rho: spikes per step, in (0, 1).

    Raises:
        ValueError: rho outside of (0, 1).
    """

    logit: Tensor

    def __init__(self, rho: float = 0.1) -> None:
        super().__init__()
        if not 0 < rho < 1:
            raise ValueError(f"rho is a probability strictly between 0 and 1, got {rho}")
        self.register_buffer("logit", torch.tensor(math.log(rho / (1 - rho))))

    def forward(self, spikes: Tensor) -> Tensor:
        """`(B, T, N)` spikes to logits, a scalar."""
        return self.logit


class MarginalPrior(nn.Module):
    """Independent spikes of learned probabilities, per neuron and, with `num_steps`, per step.

    Args:
        num_neurons: N.
        rho: probability to start from.
        num_steps: T, for one probability per step; sequences must then have that length.
    """

    def __init__(self, num_neurons: int, rho: float = 0.1, num_steps: int = 1) -> None:
        super().__init__()
        start = BernoulliPrior(rho).logit
        self.logit = nn.Parameter(torch.full((num_steps, num_neurons), float(start)))

    def forward(self, spikes: Tensor) -> Tensor:
        """`(B, T, N)` spikes to logits `(T, N)` or `(1, N)`.

        Raises:
            ValueError: another T than that of the probabilities per step.
        """
        if self.logit.shape[0] not in (1, spikes.shape[1]):
            raise ValueError(
                f"the prior has {self.logit.shape[0]} steps, the code {spikes.shape[1]}"
            )
        return self.logit


class AutoregressivePrior(nn.Module):
    """Spikes predicted from all neurons' past spikes through raised cosines.

        logit q(y_i[t] = 1 | y^{t-1}) = m_i + sum_j sum_k a_ij^k (nu_k * y_j)[t - 1]

    Starts as the independent prior.

    Args:
        num_neurons: N.
        rho: probability to start from.
        filter: the filters nu_k; two raised cosines over ten steps by default.
    """

    def __init__(
        self, num_neurons: int, rho: float = 0.1, filter: RaisedCosines | None = None
    ) -> None:
        super().__init__()
        self.filter = filter or RaisedCosines(count=2)
        self.linear = nn.Linear(num_neurons, self.filter.num_filters * num_neurons, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.logit = nn.Parameter(torch.full((num_neurons,), float(BernoulliPrior(rho).logit)))

    def forward(self, spikes: Tensor) -> Tensor:
        """`(B, T, N)` spikes to logits `(B, T, N)`."""
        currents = single(self.linear(delayed(spikes)))
        shape = (*spikes.shape[:2], self.filter.num_filters, -1)
        return self.logit + self.filter(currents.view(shape))
