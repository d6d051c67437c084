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
from vdib.dynamics.filters import FiniteFilter


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
class Alpha(FiniteFilter, _Cut):
    """An alpha function as a synapse: a spike moves the potential from the next step on.

    >>> len(Alpha(tau=10).kept), len(Alpha(tau=1).kept)
    (77, 8)
    """

    @property
    def num_filters(self) -> int:
        return 1

    def impulse_response(self, num_steps: int) -> Tensor:
        return self.kept[None, :num_steps]

    @property
    def duration(self) -> int:
        return len(self.kept)


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
