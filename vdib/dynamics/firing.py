"""How neurons fire: from the distance to threshold `v` to spikes, and the derivative of these.

A deterministic threshold fires `s = 1[v > 0]` and learns through a surrogate derivative
(`vdib.dynamics.surrogate`). A stochastic one fires with probability `sigmoid(v)`: the same neuron
with logistic noise on its threshold. Which gradient its spikes carry is a choice of the estimator.

>>> import torch
>>> from vdib.dynamics.surrogate import boxcar
>>> fire = Threshold(boxcar)
>>> v = torch.tensor([-1.0, 0.5])
>>> fire(v), fire.slope(v, fire(v))
(tensor([0., 1.]), tensor([0., 1.]))

Everything takes and returns tensors of any one shape; v and all parameters are dimensionless.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from vdib.dynamics.surrogate import Surrogate, fast_sigmoid


class Fire(Protocol):
    """How a neuron fires: its spikes, and the derivative that training takes for theirs.

    Attributes:
        stochastic: whether it needs noise.
    """

    @property
    def stochastic(self) -> bool: ...

    def __call__(self, v: Tensor, noise: Tensor | None = None) -> Tensor:
        """Spikes from v and uniform noise in (0, 1), all of one shape; carries no gradient."""

    def slope(self, v: Tensor, spikes: Tensor) -> Tensor | None:
        """`ds/dv`, elementwise; None where it is zero throughout."""


@dataclass(frozen=True)
class Threshold:
    """A deterministic threshold: fires `1[v > 0]`, learns through a surrogate derivative.

    Args:
        surrogate: `v -> ds/dv`.
    """

    stochastic: ClassVar = False
    surrogate: Surrogate = fast_sigmoid

    def __call__(self, v: Tensor, noise: Tensor | None = None) -> Tensor:
        """Spikes of distances from threshold, of any shape; `noise` is not used."""
        return (v > 0).to(v.dtype)

    def slope(self, v: Tensor, spikes: Tensor) -> Tensor:
        """The surrogate's value at v."""
        return self.surrogate(v)


def _given(noise: Tensor | None) -> Tensor:
    if noise is None:
        raise ValueError("a stochastic threshold needs noise: uniform numbers in (0, 1)")
    return noise


def _below(noise: Tensor, v: Tensor) -> Tensor:
    """`noise < sigmoid(v)`.

    In double precision: a spike must not hinge on the last bit of a single-precision sigmoid, which
    differs between machines and even with an element's place in memory.
    """
    if v.device.type != "mps":  # which has no double precision
        v = v.double()
    return noise < torch.sigmoid(v)


@dataclass(frozen=True)
class Bernoulli:
    """`y ~ Bernoulli(sigmoid(v))`, by comparison with uniform noise; spikes carry no gradient."""

    stochastic: ClassVar = True

    def __call__(self, v: Tensor, noise: Tensor | None = None) -> Tensor:
        """Spikes of v and noise, all of one shape."""
        return _below(_given(noise), v).to(v.dtype)

    def slope(self, v: Tensor, spikes: Tensor) -> Tensor | None:
        """None: the score function and the closed-form rate carry the gradient."""
        return None


@dataclass(frozen=True)
class PassThrough(Bernoulli):
    """The same spikes, with the derivative of their probability, `p (1 - p)`, `p = sigmoid(v)`."""

    def slope(self, v: Tensor, spikes: Tensor) -> Tensor:
        """`p (1 - p)`."""
        p = torch.sigmoid(v)
        return p * (1 - p)


@dataclass(frozen=True)
class Concrete:
    """`y = sigmoid((v - log(n / (1 - n))) / temperature)`, the binary concrete variable.

    Tends to the spikes of `Bernoulli` on the same noise n as the temperature falls (Maddison, Mnih
    & Teh, "The Concrete Distribution", 2017, https://arxiv.org/abs/1611.00712).
    """

    stochastic: ClassVar = True
    temperature: float

    def __call__(self, v: Tensor, noise: Tensor | None = None) -> Tensor:
        """Soft spikes of v and noise, all of one shape."""
        return torch.sigmoid((v - torch.logit(_given(noise))) / self.temperature)

    def slope(self, v: Tensor, spikes: Tensor) -> Tensor:
        """`y (1 - y) / temperature`."""
        return spikes * (1 - spikes) / self.temperature
