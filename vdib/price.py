"""What a nat of rate costs in training: less at first, and nothing up to some bits a neuron.

At the share p of a training, a nat of neuron n's rate costs

    price_n(p) = beta min(1, p / warmup) 1[KL_n > free_bits]

with KL_n the mean over the batch of the neuron's rate (of a deterministic readout, of its code's
length), summed over steps; learning online, over the streams at one step. The indicator makes the
gradient that of `beta sum_n max(KL_n, free_bits)`.

- Warm-up: Bowman et al., "Generating Sentences from a Continuous Space", 2016,
  https://arxiv.org/abs/1511.06349; Sonderby et al., "Ladder Variational Autoencoders", 2016,
  https://arxiv.org/abs/1602.02282.
- Free bits: Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", 2016,
  https://arxiv.org/abs/1606.04934.

Both are of the objective in training alone: what is measured is at the full price. They follow from
the share of the training that is over, so that a run that goes on is at the price it was at.

Legend: B batch, T steps, N readout neurons.
"""

from dataclasses import dataclass

from torch import Tensor

from vdib.objective import BITS_PER_NAT


@dataclass(frozen=True)
class Price:
    """How the price of a nat of rate differs from beta in training.

    Args:
        warmup: share of the training over which it rises from 0 to beta, in [0, 1].
        free_bits: bits of each neuron's rate that cost nothing, per sample (per step where the
            steps' weights sum to 1).

    Raises:
        ValueError: numbers outside their range.
    """

    warmup: float = 0.0
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup: got {self.warmup}, expected a share of the training, 0 to 1")
        if not 0 <= self.free_bits < float("inf"):
            raise ValueError(f"free_bits: got {self.free_bits}, expected 0 or more")

    def share(self, progress: float) -> float:
        """`min(1, p / warmup)`.

        Args:
            progress: p, the share of the training that is over.
        """
        return 1.0 if progress >= self.warmup else progress / self.warmup

    def paid(self, rates: Tensor) -> Tensor:
        """`1[KL_n > free_bits]`, `(N,)` in {0, 1}, from KL in nats, `(B, T, N)`."""
        mean = rates.detach().sum(1).mean(0)
        return (mean * BITS_PER_NAT > self.free_bits).to(mean)
