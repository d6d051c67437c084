"""A code: the readout's spikes, and how they came about.

Legend: B batch, M codes per input, T steps, N_h hidden and N_y readout neurons.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vdib.noise import Draws
from vdib.objective import bernoulli_kl


@dataclass(frozen=True)
class SpikeCode:
    """What the encoder says about its input.

    Attributes:
        spikes: readout spikes y, `(M B, T, N_y)`, sample-major.
        v: the readout's distance from threshold given its past, same shape; None where its neurons
            have none. Of a stochastic readout, `log p(y = 1) / p(y = 0)`.
        hidden: spikes of each hidden layer, `(B, T, *N_h)`.
        stochastic: whether the readout is.
        drive: v but for the readout's own feedback, the same shape, where it was asked for.
        hidden_v: distances from threshold of the hidden layers, likewise where asked for.
        noise: of a sampled readout, by which its spikes were drawn, `(M B, T, N_y)`.

    A single step of a stream has no time axis.
    """

    spikes: Tensor
    v: Tensor | None
    hidden: tuple[Tensor, ...] = ()
    stochastic: bool = True
    drive: Tensor | None = None
    hidden_v: tuple[Tensor | None, ...] = ()
    noise: Draws | None = None

    @property
    def logits(self) -> Tensor:
        """`log p(y = 1) / p(y = 0)` at each step given the past, `(M B, T, N_y)`.

        Raises:
            ValueError: the code is deterministic.
        """
        if not self.stochastic or self.v is None:
            raise ValueError("a deterministic code has no probabilities, only a code length")
        return self.v

    def log_prob(self) -> Tensor:
        """`log p(y_t | y^{t-1}, x^t)` of hard spikes, summed over neurons, in nats, `(M B, T)`.

        Raises:
            ValueError: the code is deterministic.
        """
        # log sigmoid of the logit towards the drawn value: stable at both ends.
        towards = torch.where(self.spikes > 0.5, self.logits, -self.logits)
        return nn.functional.logsigmoid(towards).sum(-1)

    def cost_by_neuron(self, prior_logits: Tensor) -> Tensor:
        """What it costs under a prior in nats, `(M B, T, N_y)`: a rate; of a deterministic one a
        length.

        Args:
            prior_logits: given these spikes, broadcastable to them.
        """
        if self.stochastic:
            return bernoulli_kl(self.logits, prior_logits)
        return softplus(prior_logits) - self.spikes * prior_logits

    def cost(self, prior_logits: Tensor) -> Tensor:
        """The same summed over neurons, `(M B, T)`."""
        return self.cost_by_neuron(prior_logits).sum(-1)
