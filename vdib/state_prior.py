"""A prior with a hidden state: which of C kinds of step this is, foretold from the past.

A hidden Markov model with probabilities pi of the first state, A of the next and sigmoid(m_c) of
spikes in state c. Its weights are those of the forward algorithm,

    w[1] = pi,    w_c[t + 1] = sum_b A_bc w_b[t] p_b(y_t) / sum_b w_b[t] p_b(y_t),
    logit q(y_i[t] = 1 | y^{t-1}) = logit sum_c w_c[t] sigmoid(m_ci)
                                    + sum_jk a_ij^k (nu_k * y_j)[t - 1]

so that the state is a mixture's class where A hardly moves, and a phase where it does. (Rabiner, "A
Tutorial on Hidden Markov Models and Selected Applications in Speech Recognition", 1989.) Neurons
are independent given the past, as under the other priors; the last term is that of the
autoregressive one.

Legend: B batch, T steps, N readout neurons, C states, K filters.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vdib.dynamics.filters import RaisedCosines, State, delayed
from vdib.dynamics.firing import Bernoulli
from vdib.precision import single
from vdib.prior import FLOOR, BernoulliPrior, Prior

STAY = 3.0
"""Nats by which a state is likelier than any other to be followed by itself, to begin with."""


class StatePrior(Prior):
    """Spikes predicted from a hidden state that is inferred from the past, and from past spikes.

    Starts as the independent prior: `m_c = m + U_c V` with V = 0.

    Args:
        num_neurons: N.
        rho: probability to start from.
        num_states: C.
        filter: the filters nu_k; two raised cosines over ten steps by default.
    """

    def __init__(
        self,
        num_neurons: int,
        rho: float = 0.1,
        num_states: int = 32,
        filter: RaisedCosines | None = None,
    ) -> None:
        super().__init__()
        self.filter = filter or RaisedCosines(count=2)
        self.linear = nn.Linear(num_neurons, self.filter.num_filters * num_neurons, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.logit = nn.Parameter(torch.full((num_neurons,), float(BernoulliPrior(rho).logit)))
        self.states = nn.Parameter(torch.randn(num_states, num_states))
        self.loading = nn.Parameter(torch.zeros(num_states, num_neurons))
        self.first = nn.Parameter(torch.zeros(num_states))
        self.next = nn.Parameter(STAY * torch.eye(num_states))

    def forward(self, spikes: Tensor) -> Tensor:
        """`(B, T, N)` spikes to logits `(B, T, N)`."""
        currents = single(self.linear(delayed(spikes)))
        past = self.filter(currents.view(*spikes.shape[:2], self.filter.num_filters, -1))
        with torch.autocast(spikes.device.type, enabled=False):
            of_states = self._of_states()  # C, N
            evidence = self._evidence(single(spikes), of_states)  # B, T, C
            weights = self.first.softmax(0).expand(len(spikes), -1)  # B, C
            believed = []
            for now in evidence.unbind(1):
                believed.append(weights)
                weights = self._after(weights, now)
            mixed = self._mixed(torch.stack(believed, 1), of_states)  # B, T, N
        return mixed + past

    def _of_states(self) -> Tensor:
        """The logits of spikes in each state, `(C, N)`."""
        return self.logit + self.states @ self.loading / math.sqrt(len(self.first))

    @staticmethod
    def _evidence(spikes: Tensor, of_states: Tensor) -> Tensor:
        """`log p_c(y_t)`, `(..., N)` to `(..., C)`."""
        return spikes @ of_states.T - softplus(of_states).sum(-1)

    def _after(self, weights: Tensor, evidence: Tensor) -> Tensor:
        """The weights of the next step, `(B, C)`, once this step's spikes are known."""
        return torch.softmax(weights.log() + evidence, -1) @ self.next.softmax(-1)

    @staticmethod
    def _mixed(weights: Tensor, of_states: Tensor) -> Tensor:
        """The logits of a mixture, `(..., C)` to `(..., N)`: of its spikes against its silences."""
        spikes, silence = weights @ of_states.sigmoid(), weights @ (-of_states).sigmoid()
        return spikes.log() - silence.log()

    @torch.no_grad()
    def start_from(self, rates: Tensor) -> None:
        self.logit.copy_(torch.logit(rates.mean(0), FLOOR))

    def step(self, u: Tensor, state: State = ()) -> tuple[Tensor, State]:
        begin = (torch.zeros_like(u), self.first.softmax(0).expand(len(u), -1))
        last, weights, *filtered = state or begin
        currents = single(self.linear(last)).view(len(u), self.filter.num_filters, -1)
        past, after = self.filter.step(currents, tuple(filtered))
        of_states = self._of_states()
        spikes = Bernoulli()(self._mixed(weights, of_states) + past, u)
        weights = self._after(weights, self._evidence(spikes, of_states))
        return spikes, (spikes, weights, *after)
