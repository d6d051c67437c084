"""What of the active inputs is predicted, their set or each by itself, and which steps count.

Legend: T steps, S decodings, D blobs, N neurons, P sets, O outputs of the decoder.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from vdib.datasets.drifting_blobs import Patterns, spikes
from vdib.signal import Signal, bernoulli, categorical


def scored_steps(num_steps: int, lag: int, unscored: int) -> Tensor:
    """Which decodings count, `(T,)` bool: those at `unscored <= t` with `0 <= t + lag < T`.

    The decoding at t is compared with the input at t + lag; the first `unscored` decodings do not
    count, whatever the lag.

    >>> scored_steps(num_steps=6, lag=2, unscored=1)
    tensor([False,  True,  True,  True, False, False])
    """
    t = torch.arange(num_steps)
    return (t >= unscored) & (t + lag >= 0) & (t + lag < num_steps)


@dataclass(frozen=True)
class ActiveInputs(Signal):
    """Which of N inputs the blobs hit.

    Args:
        num_neurons: N.
        num_blobs: D.
    """

    noun: ClassVar = "active inputs"
    num_neurons: int
    num_blobs: int

    @abstractmethod
    def of(self, bins: Tensor) -> Tensor:
        """r, from the inputs that are hit, `(..., D)` bins."""

    @abstractmethod
    def active(self, r: Tensor) -> Tensor:
        """The active inputs, `(..., N)` in {0, 1}."""

    @abstractmethod
    def guess(self, decoded: Distribution) -> Tensor:
        """The most likely set, `(..., N)` in {0, 1}."""

    @abstractmethod
    def activity(self, decoded: Distribution) -> Tensor:
        """Each input's probability of being active, `(..., N)`."""

    @abstractmethod
    def by_neuron(self, outputs: Tensor) -> Tensor:
        """How far `(..., O)` outputs favour each input, `(..., N)`, in nats."""


class Pattern(ActiveInputs):
    """The set of active inputs, one of P: `O = P` logits under a softmax."""

    noun: ClassVar = "patterns"

    @cached_property
    def patterns(self) -> Patterns:
        """All sets that D blobs can make."""
        return Patterns(self.num_neurons, self.num_blobs)

    @property
    def num_outputs(self) -> int:
        return len(self.patterns)

    def likelihood(self, outputs: Tensor) -> Distribution:
        return categorical(outputs)

    def of(self, bins: Tensor) -> Tensor:
        return self.patterns.index(bins)

    def constant(self, r: Tensor) -> Tensor:
        counts = torch.bincount(r, minlength=self.num_outputs)
        return torch.log((counts + 1) / (counts + 1).sum())  # no set is impossible

    def active(self, r: Tensor) -> Tensor:
        return self.patterns.active.to(r.device)[r]

    def guess(self, decoded: Distribution) -> Tensor:
        assert isinstance(decoded, Categorical)
        return self.active(decoded.logits.argmax(-1))

    def activity(self, decoded: Distribution) -> Tensor:
        assert isinstance(decoded, Categorical)
        return decoded.probs @ self.patterns.active.to(decoded.probs)

    def by_neuron(self, outputs: Tensor) -> Tensor:
        # The mean over the sets that hold the neuron, above that over all sets.
        active = self.patterns.active.to(outputs)
        return outputs @ active / active.sum(0) - outputs.mean(-1, keepdim=True)


class EachInput(ActiveInputs):
    """Every input by itself: `O = N` logits of independent Bernoulli variables.

    Cheaper than a softmax over sets of many blobs, and blind to which inputs go together.
    """

    @property
    def num_outputs(self) -> int:
        return self.num_neurons

    def likelihood(self, outputs: Tensor) -> Distribution:
        return bernoulli(outputs)

    def of(self, bins: Tensor) -> Tensor:
        return spikes(bins, self.num_neurons)

    def constant(self, r: Tensor) -> Tensor:
        return torch.logit(r.mean(0).clamp(1e-4, 1 - 1e-4))

    def active(self, r: Tensor) -> Tensor:
        return r

    def guess(self, decoded: Distribution) -> Tensor:
        return (decoded.mean > 0.5).float()

    def activity(self, decoded: Distribution) -> Tensor:
        return decoded.mean

    def by_neuron(self, outputs: Tensor) -> Tensor:
        return outputs
