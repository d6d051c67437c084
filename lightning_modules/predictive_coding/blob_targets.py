"""What of the active neurons is predicted, their set or each by itself, and which steps count.

Legend: T steps, S decodings, D blobs, N neurons, P sets, O outputs of the decoder.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from vdib.datasets.drifting_blobs import Patterns, spikes
from vdib.decoder import Likelihood, bernoulli, categorical


def scored_steps(num_steps: int, lag: int, unscored: int) -> Tensor:
    """Which decodings count, `(T,)` bool: those at `unscored <= t` with `0 <= t + lag < T`.

    The decoding at t is compared with the input at t + lag; the first `unscored` decodings do not
    count, whatever the lag.

    >>> scored_steps(num_steps=6, lag=2, unscored=1)
    tensor([False,  True,  True,  True, False, False])
    """
    t = torch.arange(num_steps)
    return (t >= unscored) & (t + lag >= 0) & (t + lag < num_steps)


class BlobTarget(Protocol):
    """A target made of bins, and the likelihood under which it is predicted."""

    num_outputs: int
    likelihood: Likelihood

    def of(self, bins: Tensor) -> Tensor:
        """`(..., D)` bins to what the likelihood is asked for."""

    def constant(self, bins: Tensor) -> Tensor:
        """Outputs `(O)` of the best answer that ignores the spikes, from training bins `(S, D)`."""

    def guess(self, decoded: Distribution) -> Tensor:
        """The most likely set, `(..., N)` in {0, 1}."""

    def activity(self, decoded: Distribution) -> Tensor:
        """Each neuron's probability of being active, `(..., N)`."""

    def by_neuron(self, outputs: Tensor) -> Tensor:
        """How far `(..., O)` outputs favour each neuron, `(..., N)`, in nats."""


class PatternTarget:
    """The set of active neurons, one of P: `O = P` logits under a softmax."""

    likelihood: Likelihood = staticmethod(categorical)

    def __init__(self, num_neurons: int, num_blobs: int) -> None:
        self.patterns = Patterns(num_neurons, num_blobs)
        self.num_outputs = len(self.patterns)

    def of(self, bins: Tensor) -> Tensor:
        return self.patterns.index(bins)

    def constant(self, bins: Tensor) -> Tensor:
        counts = torch.bincount(self.of(bins), minlength=self.num_outputs)
        return torch.log((counts + 1) / (counts + 1).sum())  # no set is impossible

    def guess(self, decoded: Distribution) -> Tensor:
        assert isinstance(decoded, Categorical)
        best = decoded.logits.argmax(-1)
        return self.patterns.active.to(best.device)[best]

    def activity(self, decoded: Distribution) -> Tensor:
        assert isinstance(decoded, Categorical)
        return decoded.probs @ self.patterns.active.to(decoded.probs.device)

    def by_neuron(self, outputs: Tensor) -> Tensor:
        # The mean over the sets that hold the neuron, above that over all sets.
        active = self.patterns.active.to(outputs)
        return outputs @ active / active.sum(0) - outputs.mean(-1, keepdim=True)


class InputTarget:
    """Every neuron by itself: `O = N` logits of independent Bernoulli variables.

    Cheaper than a softmax over sets of many blobs, and blind to which neurons go together.
    """

    likelihood: Likelihood = staticmethod(bernoulli)

    def __init__(self, num_neurons: int, num_blobs: int) -> None:
        self.num_outputs = num_neurons

    def of(self, bins: Tensor) -> Tensor:
        return spikes(bins, self.num_outputs)

    def constant(self, bins: Tensor) -> Tensor:
        return torch.logit(self.of(bins).mean(0).clamp(1e-4, 1 - 1e-4))

    def guess(self, decoded: Distribution) -> Tensor:
        return (decoded.mean > 0.5).float()

    def activity(self, decoded: Distribution) -> Tensor:
        return decoded.mean

    def by_neuron(self, outputs: Tensor) -> Tensor:
        return outputs
