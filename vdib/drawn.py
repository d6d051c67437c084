"""Codes that were drawn in training and what they cost: all that an estimator is told.

Legend: B batch, M codes per input, T steps, N readout neurons.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from vdib.spike_code import SpikeCode


def returns(due: Tensor, rate: Tensor, ordered: bool = False) -> Tensor:
    """What the spikes of step t may still change: `sum_{s>=t} d_s + sum_{s>t} KL_s`.

    Args:
        due: d, `(B, T)` nats.
        rate: KL at its price, `(B, T)` nats.
        ordered: whether KL_t depends on spikes of its own step, and is to be part of the sum.

    Returns:
        `(B, T)` nats.
    """
    to_go = (due + rate).flip(1).cumsum(1).flip(1)
    return to_go if ordered else to_go - rate


@dataclass(frozen=True)
class Drawn:
    """M codes of each input, sample-major, and their costs, which carry gradients.

    Attributes:
        code: the spikes, and how they came about.
        due: d_t, what is due at each step that spikes of this and earlier steps cause, but for the
            rate, `(M B, T)` nats.
        rate: KL_t at its price, `(M B, T)` nats.
        prior: logits of q, broadcastable to `(M B, T, N)`.
        price: of a nat of rate, broadcastable to `(T, N)`.
        num_samples: M.
        direct: what is due that no drawn spike causes, `(M B, T)` nats.
        ordered: whether KL_t depends on spikes of its own step.
    """

    code: SpikeCode
    due: Tensor
    rate: Tensor
    prior: Tensor
    price: Tensor
    num_samples: int = 1
    direct: Tensor | None = None
    ordered: bool = False

    @property
    def costs(self) -> Tensor:
        """All of them, `(M B, T)` nats."""
        return self._without_rate + self.rate

    @property
    def returns(self) -> Tensor:
        """What the spikes of step t may still change, `(M B, T)` nats; constants."""
        return returns(self.due, self.rate, self.ordered).detach()

    @property
    def sampled_costs(self) -> Tensor:
        """`costs` with the log-ratio of p and q at the drawn spikes for their KL, `(M B, T)`."""
        towards = 2 * self.code.spikes.detach() - 1
        log_ratio = logsigmoid(towards * self.code.logits) - logsigmoid(towards * self.prior)
        return self._without_rate + (self.price * log_ratio).sum(-1)

    @property
    def _without_rate(self) -> Tensor:
        return self.due if self.direct is None else self.due + self.direct

    def by_code(self, values: Tensor) -> Tensor:
        """`(M B, ...)` to `(M, B, ...)`."""
        return values.view(self.num_samples, -1, *values.shape[1:])

    def mean_over_codes(self, values: Tensor) -> Tensor:
        """Of `(M B, T)`, the sum over steps and the mean over the codes of an input, `(B,)`."""
        return self.by_code(values.sum(1)).mean(0)

    def uniform(self) -> Tensor:
        """The numbers in (0, 1) that the spikes were drawn by, `(M B, T, N)`."""
        noise = self.code.noise
        assert noise is not None
        if isinstance(noise, Tensor):
            return noise
        return noise.uniform(self.code.spikes.shape[1], tuple(self.code.spikes.shape[2:]))
