"""Estimators of the loss's gradient through the sampled readout spikes.

With d_t the distortion due at step t and KL_t the rate of step t,

    grad = E[ sum_t beta grad KL_t |_{past fixed}
              + sum_t grad log p(y_t | y^{t-1}, x^t) (sum_{s>=t} d_s + beta sum_{s>t} KL_s - b_t) ]

An estimator says how spikes are drawn and what gradient they carry (`firing`), and what is to be
differentiated so that the gradient comes right (`loss`). The spikes of one step move the rates of
all later steps through the neurons' feedback; no credit is truncated. Under an ordered prior, where
KL_t is taken given the spikes that were drawn of earlier neurons in step t, they move that as well:
its sum then begins with s = t.

| estimator | unbiased | b_t, or the gradient of a spike |
|---|---|---|
| `ScoreFunction` | yes | mean return of earlier batches |
| `LeaveOneOut` | yes | mean return of the other M - 1 codes of the same input |
| `Relax` (`vdib.relax`) | yes | a learned function of the softened spikes |
| `DisARM` (`vdib.disarm`) | yes | of antithetic pairs; readouts without feedback |
| `VIMCO` (`vdib.vimco`) | of its own bound | the bound with the other M - 1 codes |
| `StraightThrough` | no | that of its probability |
| `RelaxedBernoulli` | no | spikes are softened in training |

Legend: M codes per input, B batch, T steps, N neurons; spikes of M codes come sample-major, (M B).
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from vdib.drawn import Drawn
from vdib.dynamics.firing import Bernoulli, Concrete, Fire, PassThrough
from vdib.neurons.layer import Layer


class Estimator(nn.Module):
    """What all estimators share.

    Attributes:
        num_samples: M, codes drawn per input.
        antithetic: whether the second half of them is drawn by one minus the noise of the first.
    """

    num_samples: int = 1
    antithetic: bool = False

    def check(self, readout: Layer) -> None:
        """Whether the estimator can do with a stochastic readout.

        Raises:
            ValueError: it cannot.
        """

    def firing(self, progress: float = 1.0) -> Fire:
        """How spikes are drawn in training, and what gradient they carry.

        Args:
            progress: the share of the training that is over.
        """
        return Bernoulli()

    def loss(self, drawn: Drawn) -> Tensor:
        """What to differentiate, `(B,)`; the mean over inputs is taken by the model.

        Of spikes that carry their gradient themselves, the costs of the codes. Where something is
        added for the gradient's sake, the value means nothing.
        """
        return drawn.mean_over_codes(drawn.costs)


class StraightThrough(Estimator):
    """Spikes pass on the gradient of their probability. Biased, of low variance.

    Bengio, Leonard & Courville, "Estimating or Propagating Gradients Through Stochastic Neurons",
    2013, https://arxiv.org/abs/1308.3432.
    """

    def firing(self, progress: float = 1.0) -> Fire:
        return PassThrough()


class RelaxedBernoulli(Estimator):
    """Spikes are softened in training, so that the gradient is exact for the softened model.

        temperature(p) = temperature (end / temperature)^p

    at the share p of the training. What is measured has hard spikes.

    Args:
        temperature: dimensionless; lower is harder, less biased and of higher variance.
        end: the temperature at the end of the training; the same by default.

    Raises:
        ValueError: a temperature that is not positive.
    """

    def __init__(self, temperature: float = 0.5, end: float | None = None) -> None:
        super().__init__()
        end = temperature if end is None else end
        if not min(temperature, end) > 0:
            got = temperature if end == temperature else f"{temperature} and {end}"
            raise ValueError(f"the temperature must be positive, got {got}")
        self.temperature, self.end = temperature, end

    def firing(self, progress: float = 1.0) -> Fire:
        return Concrete(self.temperature * (self.end / self.temperature) ** progress)


class ByScore(Estimator):
    """Those of the score function, which differ in what they compare a return with."""

    def loss(self, drawn: Drawn) -> Tensor:
        score = drawn.code.log_prob() * self.advantage(drawn.returns)
        return drawn.mean_over_codes(drawn.costs + score)

    @abstractmethod
    def advantage(self, returns: Tensor) -> Tensor:
        """Returns less their baseline, each `(M B, T)` nats, constants."""


class ScoreFunction(ByScore):
    """The paper's estimator: `grad log p` times the return above its average in earlier batches.

    The baseline is one moving average per step; it never contains the batch it is subtracted from.

    Args:
        num_steps: T; `loss` raises a `ValueError` for sequences of another length.
        momentum: of the moving average, per batch.
    """

    baseline: Tensor
    weight: Tensor

    def __init__(self, num_steps: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("baseline", torch.zeros(num_steps))
        self.register_buffer("weight", torch.zeros(()))

    def advantage(self, returns: Tensor) -> Tensor:
        if returns.shape[1] != len(self.baseline):
            raise ValueError(
                f"num_steps: got {len(self.baseline)}, the data have {returns.shape[1]}"
            )
        advantage = returns - self.baseline / self.weight.clamp_min(1e-12)
        mean = returns.mean(0)
        # Weights of past batches sum to `weight`: an average even when few have been seen.
        self.baseline = self.momentum * self.baseline + (1 - self.momentum) * mean
        self.weight = self.momentum * self.weight + (1 - self.momentum)
        return advantage


class LeaveOneOut(ByScore):
    """Several codes per input, each compared with the mean return of the others.

    Kool, van Hoof & Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019.

    Args:
        num_samples: M, at least 2.

    Raises:
        ValueError: fewer.
    """

    def __init__(self, num_samples: int = 4) -> None:
        super().__init__()
        if num_samples < 2:
            raise ValueError(f"leave-one-out compares at least two codes, got {num_samples}")
        self.num_samples = num_samples

    def advantage(self, returns: Tensor) -> Tensor:
        grouped = returns.view(self.num_samples, -1, returns.shape[1])  # M, B, T
        others = (grouped.sum(0) - grouped) / (self.num_samples - 1)
        return (grouped - others).flatten(0, 1)
