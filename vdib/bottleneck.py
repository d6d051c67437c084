"""What a batch came to in the bottleneck: its codes, what was decoded, and what both cost.

Legend: B batch, M codes per input, T steps, S decodings per sequence, N_y readout neurons.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor
from torch.distributions import Distribution

from vdib.spike_code import SpikeCode


@dataclass(frozen=True)
class Bottleneck:
    """One pass of a batch through the bottleneck.

    Attributes:
        code: the readout spikes and their probabilities.
        decoded: distribution over r, batch shape `(M B, S)`.
        distortion: `-log q(r)` in nats, `(M B, S)`, times the steps' weights where there are some.
        rate: KL to the prior in nats, `(M B, T)`, likewise; of a deterministic code its length.
        penalties: in nats, `(M B, T)` each, likewise, and times their own weights.
        prior: logits of the prior, broadcastable to `(M B, T, N_y)`.
    """

    code: SpikeCode
    decoded: Distribution
    distortion: Tensor
    rate: Tensor
    prior: Tensor
    penalties: Mapping[str, Tensor] = field(default_factory=dict)

    def loss(self, beta: float) -> Tensor:
        """The VDIB loss in nats per sample, the mean over the batch and the codes of an input."""
        costs = self.distortion.sum(1) + beta * self.rate.sum(1)
        for penalty in self.penalties.values():
            costs = costs + penalty.sum(1)
        return costs.mean()

    def penalty_nats(self) -> dict[str, Tensor]:
        """What each penalty came to, in nats per sample, the mean over the batch."""
        return {f"{name}_nats": nats.sum(1).mean() for name, nats in self.penalties.items()}
