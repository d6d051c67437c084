"""The prior code `q(y_t | y^{t-1})` against which the rate is measured.

Each prior returns the logits of its firing probabilities given the past, broadcastable to the
spikes. Tighter priors give tighter bounds on the directed information; none falls below it.

Legend: B batch, T steps, N readout neurons, K filters.
"""

import math
from abc import abstractmethod
from itertools import chain

import torch
from torch import Tensor, nn

from vdib.dynamics.filters import RaisedCosines, State, delayed
from vdib.dynamics.firing import Bernoulli
from vdib.noise import PRIOR, Noise
from vdib.precision import single

FLOOR = 1e-6
"""Probabilities of neurons that never fire, or always, are taken to be this far from it."""


class Prior(nn.Module):
    """What all priors share: probabilities of given spikes, and spikes of these probabilities.

    Attributes:
        ordered: whether a neuron is also given the spikes, in its own step, of those before it.
            The KL of a step is then one given these as well, which matters to score functions
            (`vdib.estimator.returns`).
    """

    ordered: bool = False

    @abstractmethod
    def forward(self, spikes: Tensor) -> Tensor:
        """`(B, T, N)` spikes to logits of `q(y_i[t] = 1 | y^{t-1})`, broadcastable to the same."""

    def start_from(self, rates: Tensor) -> None:
        """Begin as independent spikes of these probabilities, `(T, N)`, in so far as it can."""

    def step(self, u: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """One step of spikes drawn from the prior, `y_i = 1[u_i < q(y_i = 1 | y^{t-1})]`.

        Here by asking for the logits of all steps so far, which will do for one that is not
        ordered; a prior that remembers less is faster.

        Args:
            u: `(B, N)`, uniform in (0, 1).
            state: as the last step returned it; `()` before the first.

        Returns:
            Spikes `(B, N)` and the next state.
        """
        (past,) = state or (u[:, None][:, :0],)
        until_now = torch.cat([past, torch.zeros_like(u)[:, None]], 1)
        logits = self(until_now).expand_as(until_now)[:, -1]
        spikes = Bernoulli()(logits, u)
        return spikes, (torch.cat([past, spikes[:, None]], 1),)


@torch.no_grad()
def draw_spikes(prior: Prior, num: int, num_steps: int, num_neurons: int, noise: Noise) -> Tensor:
    """Codes of no input: spikes drawn from a prior step by step, each given those before it.

    Args:
        prior: of codes of N neurons.
        num: how many codes.
        num_steps: T.
        num_neurons: N.
        noise: its address, one row a code.

    Returns:
        `(num, T, N)`.

    Raises:
        ValueError: noise of another number of rows.
    """
    rows = len(noise.ids) * noise.samples
    if rows != num:
        raise ValueError(f"noise: got {rows} rows, expected {num}, one a code")
    like = next(chain(prior.parameters(), prior.buffers()))
    drawn = noise.uniform(PRIOR, num_steps, (num_neurons,)).to(like)
    state: State = ()
    steps = []
    for u in drawn.unbind(1):
        spikes, state = prior.step(u, state)
        steps.append(spikes)
    return torch.stack(steps, 1)


class BernoulliPrior(Prior):
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


class MarginalPrior(Prior):
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

    @torch.no_grad()
    def start_from(self, rates: Tensor) -> None:
        per_step = len(self.logit) > 1
        self.logit.copy_(torch.logit(rates if per_step else rates.mean(0, keepdim=True), FLOOR))

    def step(self, u: Tensor, state: State = ()) -> tuple[Tensor, State]:
        (now,) = state or (torch.zeros((), dtype=torch.long),)
        if len(self.logit) > 1 and now == len(self.logit):
            raise ValueError(f"the prior has {len(self.logit)} steps, the code more")
        row = int(now) if len(self.logit) > 1 else 0
        return Bernoulli()(self.logit[row].expand_as(u), u), (now + 1,)


class AutoregressivePrior(Prior):
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

    @torch.no_grad()
    def start_from(self, rates: Tensor) -> None:
        self.logit.copy_(torch.logit(rates.mean(0), FLOOR))

    def step(self, u: Tensor, state: State = ()) -> tuple[Tensor, State]:
        last, *filtered = state or (torch.zeros_like(u),)
        currents = single(self.linear(last)).view(len(u), self.filter.num_filters, -1)
        past, after = self.filter.step(currents, tuple(filtered))
        spikes = Bernoulli()(self.logit + past, u)
        return spikes, (spikes, *after)
