"""A prior that looks at the past through a network, and at its own step neuron after neuron.

With z the spikes of the past through raised cosines, `z_j^k[t] = (nu_k * y_j)[t - 1]`,

    h[t] = gelu(c + sum_jk W_j^k z_j^k[t])
    logit q(y_i[t] = 1 | y^{t-1}, y_{<i}[t]) = m_i + sum_jk a_ij^k z_j^k[t] + sum_l V_il h_l[t]
                                               + o_i[t]

and, in an ordered prior only, what the spikes of the neurons before i in the same step say,

    g_l[t] = gelu(b_l + sum_m U_lm h_m[t] + sum_{j < d_l} P_lj y_j[t])
    o_i[t] = sum_{j < i} R_ij y_j[t] + sum_{l: d_l <= i} Q_il g_l[t]

Unit l of g sees the first d_l neurons and is seen by those after them (d_l goes round through 1 to
N - 1): a masked network, after Germain et al., "MADE: Masked Autoencoder for Distribution
Estimation", 2015, https://arxiv.org/abs/1502.03509. R alone is the fully visible belief network of
Frey, Hinton & Dayan, "Does the Wake-sleep Algorithm Produce Good Density Estimators?", 1995. By the
chain rule it is a distribution over codes either way.

Legend: B batch, T steps, N readout neurons, H hidden units, K filters.
"""

import math

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
        num_hidden: H, of h and of g.
        filter: the filters nu_k; five raised cosines over ten steps by default.
        ordered: whether a neuron also sees the spikes of those before it in the same step.
    """

    def __init__(
        self,
        num_neurons: int,
        rho: float = 0.1,
        num_hidden: int = 256,
        filter: RaisedCosines | None = None,
        ordered: bool = False,
    ) -> None:
        super().__init__()
        self.filter = filter or RaisedCosines(count=5)
        self.logit = nn.Parameter(torch.full((num_neurons,), float(BernoulliPrior(rho).logit)))
        self.hidden = nn.Linear(num_neurons, self.filter.num_filters * num_hidden, bias=False)
        self.bias = nn.Parameter(torch.zeros(num_hidden))
        self.direct = nn.Linear(num_neurons, self.filter.num_filters * num_neurons, bias=False)
        self.head = nn.Linear(num_hidden, num_neurons, bias=False)
        nn.init.zeros_(self.direct.weight)
        nn.init.zeros_(self.head.weight)
        self.ordered = ordered
        self.same_step = SameStep(num_neurons, num_hidden) if ordered else None

    def forward(self, spikes: Tensor) -> Tensor:
        """`(B, T, N)` spikes to logits `(B, T, N)`."""
        logits, h = self._of_past(self.filter(self._currents(delayed(spikes))))
        return logits if self.same_step is None else logits + self.same_step(spikes, h)

    def _currents(self, spikes: Tensor) -> Tensor:
        """`(..., N)` to what the filters see, `(..., K, H + N)`."""
        parts = [
            single(part(spikes)).view(*spikes.shape[:-1], self.filter.num_filters, -1)
            for part in (self.hidden, self.direct)
        ]
        return torch.cat(parts, -1)

    def _of_past(self, filtered: Tensor) -> tuple[Tensor, Tensor]:
        """Filtered currents `(..., H + N)` to logits `(..., N)`, and h, `(..., H)`."""
        hidden, direct = torch.split(filtered, [len(self.bias), len(self.logit)], -1)
        h = gelu(hidden + self.bias)
        return self.logit + direct + single(self.head(h)), h

    @torch.no_grad()
    def start_from(self, rates: Tensor) -> None:
        self.logit.copy_(torch.logit(rates.mean(0), FLOOR))

    def step(self, u: Tensor, state: State = ()) -> tuple[Tensor, State]:
        last, *filtered = state or (torch.zeros_like(u),)
        past, after = self.filter.step(self._currents(last), tuple(filtered))
        logits, h = self._of_past(past)
        if self.same_step is None:
            spikes = Bernoulli()(logits, u)
        else:
            spikes = self.same_step.draw(logits, h, u)
        return spikes, (spikes, *after)


class SameStep(nn.Module):
    """What the spikes of a step say of those of the neurons after them in it: o, above.

    Args:
        num_neurons: N.
        num_hidden: H.
    """

    def __init__(self, num_neurons: int, num_hidden: int) -> None:
        super().__init__()
        self.direct = nn.Parameter(torch.zeros(num_neurons, num_neurons))
        self.of_past = nn.Linear(num_hidden, num_hidden)
        self.below = nn.Parameter(torch.empty(num_hidden, num_neurons))
        self.head = nn.Parameter(torch.zeros(num_neurons, num_hidden))
        nn.init.normal_(self.below, std=1 / math.sqrt(num_neurons))
        neuron = torch.arange(num_neurons)
        seen = torch.arange(num_hidden) % max(1, num_neurons - 1) + 1  # d
        self.register_buffer("sees", neuron < seen[:, None], persistent=False)
        self.register_buffer("is_seen", seen <= neuron[:, None], persistent=False)

    sees: Tensor
    is_seen: Tensor

    def _masked(self) -> tuple[Tensor, Tensor, Tensor]:
        """R, P and Q."""
        return self.direct.tril(-1), self.below * self.sees, self.head * self.is_seen

    def forward(self, spikes: Tensor, h: Tensor) -> Tensor:
        """`(B, T, N)` spikes and `(B, T, H)` of their past to o, `(B, T, N)`."""
        direct, below, head = self._masked()
        g = gelu(single(self.of_past(h)) + single(linear(spikes, below)))
        return single(linear(spikes, direct)) + single(linear(g, head))

    def draw(self, logits: Tensor, h: Tensor, u: Tensor) -> Tensor:
        """Spikes of a step, neuron after neuron.

        Args:
            logits: of the past, `(B, N)`.
            h: `(B, H)`.
            u: uniform numbers, `(B, N)`.
        """
        direct, below, head = self._masked()
        spikes, potential, fire = torch.zeros_like(u), single(self.of_past(h)), Bernoulli()
        for i in range(len(direct)):
            logit = logits[:, i] + spikes @ direct[i] + gelu(potential) @ head[i]
            spikes[:, i] = fire(logit, u[:, i])
            potential = potential + spikes[:, i : i + 1] * below[:, i]
        return spikes
