"""A prior that looks at the past through a network, and at its own step neuron after neuron.

With z the spikes of the past through raised cosines, `z_j^k[t] = (nu_k * y_j)[t - 1]`,

    h[t] = gelu(c + sum_jk W_j^k z_j^k[t])
    logit q(y_i[t] = 1 | y^{t-1}, y_{<i}[t]) = m_i + sum_jk a_ij^k z_j^k[t] + sum_l V_il h_l[t]
                                               + sum_{j < i} R_ij y_j[t]

where R is there in an ordered prior only. By the chain rule it is a distribution over codes either
way. (R alone is the fully visible belief network of Frey, Hinton & Dayan, "Does the Wake-sleep
Algorithm Produce Good Density Estimators?", 1995.)

Legend: B batch, T steps, N readout neurons, H hidden units, K filters.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from vdib.dynamics.filters import RaisedCosines, State, delayed
from vdib.dynamics.firing import Bernoulli
from vdib.precision import single
from vdib.prior import FLOOR, BernoulliPrior, Prior


class NetworkPrior(Prior):
    """Spikes predicted from all neurons' past spikes by a network with one hidden layer.

    Starts as the independent prior.

    Args:
        num_neurons: N.
        rho: probability to start from.
        num_hidden: H.
        filter: the filters nu_k; two raised cosines over ten steps by default.
        ordered: whether a neuron also sees the spikes of those before it in the same step.
    """

    def __init__(
        self,
        num_neurons: int,
        rho: float = 0.1,
        num_hidden: int = 128,
        filter: RaisedCosines | None = None,
        ordered: bool = False,
    ) -> None:
        super().__init__()
        self.filter = filter or RaisedCosines(count=2)
        self.logit = nn.Parameter(torch.full((num_neurons,), float(BernoulliPrior(rho).logit)))
        self.hidden = nn.Linear(num_neurons, self.filter.num_filters * num_hidden, bias=False)
        self.bias = nn.Parameter(torch.zeros(num_hidden))
        self.direct = nn.Linear(num_neurons, self.filter.num_filters * num_neurons, bias=False)
        self.head = nn.Linear(num_hidden, num_neurons, bias=False)
        nn.init.zeros_(self.direct.weight)
        nn.init.zeros_(self.head.weight)
        self.ordered = ordered
        if ordered:
            self.same_step = nn.Parameter(torch.zeros(num_neurons, num_neurons))

    def forward(self, spikes: Tensor) -> Tensor:
        """`(B, T, N)` spikes to logits `(B, T, N)`."""
        currents = self._currents(delayed(spikes))
        logits = self._logits(self.filter(currents))
        if self.ordered:
            logits = logits + single(linear(spikes, self.same_step.tril(-1)))
        return logits

    def _currents(self, spikes: Tensor) -> Tensor:
        """`(..., N)` to what the filters see, `(..., K, H + N)`."""
        parts = [
            single(part(spikes)).view(*spikes.shape[:-1], self.filter.num_filters, -1)
            for part in (self.hidden, self.direct)
        ]
        return torch.cat(parts, -1)

    def _logits(self, past: Tensor) -> Tensor:
        """Filtered currents `(..., H + N)` to logits `(..., N)`, those of its own step aside."""
        hidden, direct = torch.split(past, [len(self.bias), len(self.logit)], -1)
        deep: Tensor = self.head(gelu(hidden + self.bias))
        return self.logit + direct + single(deep)

    @torch.no_grad()
    def start_from(self, rates: Tensor) -> None:
        self.logit.copy_(torch.logit(rates.mean(0), FLOOR))

    def step(self, u: Tensor, state: State = ()) -> tuple[Tensor, State]:
        last, *filtered = state or (torch.zeros_like(u),)
        past, after = self.filter.step(self._currents(last), tuple(filtered))
        logits, fire = self._logits(past), Bernoulli()
        if not self.ordered:
            spikes = fire(logits, u)
            return spikes, (spikes, *after)
        spikes = torch.zeros_like(u)
        for i, row in enumerate(self.same_step.tril(-1)):
            spikes[:, i] = fire(logits[:, i] + spikes @ row, u[:, i])
        return spikes, (spikes, *after)
