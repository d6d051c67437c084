"""Estimators of the loss's gradient through the sampled readout spikes.

With d_t the distortion due at step t and KL_t the rate of step t,

    grad = E[ sum_t beta grad KL_t |_{past fixed}
              + sum_t grad log p(y_t | y^{t-1}, x^t) (sum_{s>=t} d_s + beta sum_{s>t} KL_s - b_t) ]

An estimator says how spikes are drawn and what gradient they carry (`fire`), and what to add to the
loss so that its gradient comes right (`term`). The spikes of one step move the rates of all later
steps through the neurons' feedback; no credit is truncated. Under an ordered prior, where KL_t is
taken given the spikes that were drawn of earlier neurons in step t, they move that as well: its sum
then begins with s = t.

| estimator | unbiased | b_t, or the gradient of a spike |
|---|---|---|
| `ScoreFunction` | yes | mean return of earlier batches |
| `LeaveOneOut` | yes | mean return of the other M - 1 codes of the same input |
| `StraightThrough` | no | that of its probability |
| `RelaxedBernoulli` | no | spikes are softened in training |

Legend: M codes per input, B batch, T steps, N neurons; spikes of M codes come sample-major, (M B).
"""

import torch
from torch import Tensor, nn

from vdib.dynamics.firing import Bernoulli, Concrete, Fire, PassThrough


def returns(distortion: Tensor, rate: Tensor, beta: float, ordered: bool = False) -> Tensor:
    """What the spikes of step t may still change: `sum_{s>=t} d_s + beta sum_{s>t} KL_s`.

    Args:
        distortion: d, `(B, T)` nats.
        rate: KL, `(B, T)` nats.
        beta: nats of distortion a nat of rate is worth.
        ordered: whether KL_t depends on spikes of its own step, and is to be part of the sum.

    Returns:
        `(B, T)` nats.
    """
    to_go = (distortion + beta * rate).flip(1).cumsum(1).flip(1)
    return to_go if ordered else to_go - beta * rate


class Estimator(nn.Module):
    """What all estimators share.

    Attributes:
        num_samples: M, codes drawn per input.
        fire: how spikes are drawn in training, and what gradient they carry.
    """

    num_samples: int = 1
    fire: Fire

    def term(self, log_prob: Tensor, returns: Tensor) -> Tensor:
        """What to add to the loss, a scalar of value meaningless but for its gradient.

        Args:
            log_prob: `log p(y_t | y^{t-1}, x^t)`, `(M B, T)`.
            returns: of the same codes, `(M B, T)`, constants.
        """
        return log_prob.new_zeros(())


class StraightThrough(Estimator):
    """Spikes pass on the gradient of their probability. Biased, of low variance.

    Bengio, Leonard & Courville, "Estimating or Propagating Gradients Through Stochastic Neurons",
    2013, https://arxiv.org/abs/1308.3432.
    """

    fire: Fire = PassThrough()


class RelaxedBernoulli(Estimator):
    """Spikes are softened in training, so that the gradient is exact for the softened model.

    Args:
        temperature: dimensionless; lower is harder, less biased and of higher variance.

    Raises:
        ValueError: a temperature that is not positive.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"the temperature must be positive, got {temperature}")
        self.fire = Concrete(temperature)


class ScoreFunction(Estimator):
    """The paper's estimator: `grad log p` times the return above its average in earlier batches.

    The baseline is one moving average per step; it never contains the batch it is subtracted from.

    Args:
        num_steps: T; `term` raises a `ValueError` for sequences of another length.
        momentum: of the moving average, per batch.
    """

    fire: Fire = Bernoulli()
    baseline: Tensor
    weight: Tensor

    def __init__(self, num_steps: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("baseline", torch.zeros(num_steps))
        self.register_buffer("weight", torch.zeros(()))

    def term(self, log_prob: Tensor, returns: Tensor) -> Tensor:
        if returns.shape[1] != len(self.baseline):
            raise ValueError(
                f"num_steps: got {len(self.baseline)}, the data have {returns.shape[1]}"
            )
        advantage = returns - self.baseline / self.weight.clamp_min(1e-12)
        mean = returns.mean(0)
        # Weights of past batches sum to `weight`: an average even when few have been seen.
        self.baseline = self.momentum * self.baseline + (1 - self.momentum) * mean
        self.weight = self.momentum * self.weight + (1 - self.momentum)
        return (log_prob * advantage).sum(1).mean()


class LeaveOneOut(Estimator):
    """Several codes per input, each compared with the mean return of the others.

    Kool, van Hoof & Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019.

    Args:
        num_samples: M, at least 2.

    Raises:
        ValueError: fewer.
    """

    fire: Fire = Bernoulli()

    def __init__(self, num_samples: int = 4) -> None:
        super().__init__()
        if num_samples < 2:
            raise ValueError(f"leave-one-out compares at least two codes, got {num_samples}")
        self.num_samples = num_samples

    def term(self, log_prob: Tensor, returns: Tensor) -> Tensor:
        grouped = returns.view(self.num_samples, -1, returns.shape[1])  # M, B, T
        others = (grouped.sum(0) - grouped) / (self.num_samples - 1)
        return (log_prob * (grouped - others).flatten(0, 1)).sum(1).mean()
