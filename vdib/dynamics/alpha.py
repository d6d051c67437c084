"""Alpha functions: the synapses and the refractoriness of SLAYER, cut where they are small.

    alpha(t) = t / tau exp(1 - t / tau),   t = 0, 1, ... steps

rises from 0 to its peak of 1 at t = tau. It is kept while it rises, and then as long as it is at
least `cut`: 77 steps at tau = 10 and a cut of 0.01, as in the example of Shrestha & Orchard,
"SLAYER: Spike Layer Error Reassignment in Time", 2018, https://arxiv.org/abs/1810.08646.

Legend: B batch, T steps, N neurons (any number of trailing axes), L steps of a response.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vdib.dynamics.feedback import FiniteFeedback
from vdib.dynamics.filters import State, causal_filter, taps


@dataclass(frozen=True)
class _Cut:
    """An alpha function up to the step where it falls below the cut.

    Args:
        tau: time to the peak, in steps.
        cut: what is left out, as a part of the peak.

    Raises:
        ValueError: a tau that is not positive, or a cut outside (0, 1).
    """

    tau: float = 10.0
    cut: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.tau < math.inf or not 0 < self.cut < 1:
            raise ValueError(
                "an alpha function needs tau > 0 steps and a cut in (0, 1), "
                f"got {self.tau} and {self.cut}"
            )
        if len(self.kept) < 2:
            raise ValueError(f"tau: {self.tau} steps leave nothing above the cut {self.cut}")

    @cached_property
    def kept(self) -> Tensor:
        """The values that are kept, from t = 0 on, `(L,)` float64."""
        # At x = 2 + 2 log(1 / cut), x exp(1 - x) is below the cut, and so it stays from there on.
        last = math.ceil(self.tau * (2 + 2 * math.log(1 / self.cut)))
        t = torch.arange(last + 1, dtype=torch.float64) / self.tau
        values = t * torch.exp(1 - t)
        return values[(t <= 1) | (values >= self.cut)]


@dataclass(frozen=True)
class Alpha(_Cut):
    """An alpha function as a synapse: a spike moves the potential from the next step on.

    Two equal poles, `t a^t` with `a = exp(-1 / tau)`, make it recursive: time grows as T, whatever
    tau is. That it ends after L steps takes two more taps, which take the rest back exactly:

        x'[t] = a x[t - 1] - L a^L x[t - L] + (L - 1) a^(L + 1) x[t - L - 1]
        alpha * x = e / tau  sum_k (k + 1) a^k x'[t - k]

    >>> Alpha(tau=10).duration, Alpha(tau=1).duration
    (77, 8)
    """

    @property
    def num_filters(self) -> int:
        return 1

    @property
    def duration(self) -> int:
        """L, the steps of the response."""
        return len(self.kept)

    def impulse_response(self, num_steps: int) -> Tensor:
        return self.kept[None, :num_steps]

    @cached_property
    def decay(self) -> float:
        """a, per step."""
        return math.exp(-1 / self.tau)

    @cached_property
    def before(self) -> Tensor:
        """The response from x to x', `(1, L + 2)` float64, scaled by e / tau."""
        a, length = self.decay, self.duration
        response = torch.zeros(1, length + 2, dtype=torch.float64)
        response[0, 1] = a
        response[0, length] -= length * a**length
        response[0, length + 1] += (length - 1) * a ** (length + 1)
        return response * (math.e / self.tau)

    @cached_property
    def _taps(self) -> list[tuple[int, int, float]]:
        return taps(self.before)

    def __call__(self, x: Tensor) -> Tensor:
        state: State = ()
        out = []
        for now in causal_filter(x, self.before).unbind(1):
            potential, state = self._through(now, state)
            out.append(potential)
        return torch.stack(out, 1)

    def _through(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The two poles: `(B, *N)` and their state to `(B, *N)` and the next."""
        current, potential = state or (torch.zeros_like(x), torch.zeros_like(x))
        current = self.decay * current + x
        potential = self.decay * potential + current
        return potential, (current, potential)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        past, *poles = state or (x.new_zeros(self.duration + 2, *x[:, 0].shape),)
        past = torch.cat([x[None, :, 0], past[:-1]])  # x[t - l] at l
        now = torch.zeros_like(x[:, 0])
        for lag, _, weight in self._taps:
            now = now + weight * past[lag]
        potential, (*poles,) = self._through(now, tuple(poles))
        return potential, (past, *poles)


@dataclass(frozen=True)
class AlphaFeedback(FiniteFeedback, _Cut):
    """Minus an alpha function as refractoriness: `nu[k] = -alpha(k + 1)`, k >= 0.

    >>> len(AlphaFeedback(tau=1, cut=0.01 / 20).kept)  # of 2 theta, theta = 10
    11
    """

    tau: float = 1.0

    def impulse_response(self, num_steps: int) -> Tensor:
        return -self.kept[1 : num_steps + 1]

    @property
    def duration(self) -> int:
        return len(self.kept) - 1
