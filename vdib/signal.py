"""The natural signal r: an image, a label, a curve, the inputs that are active.

A signal says how many outputs a decoder needs for it and which distribution they make. The data
module says what r is; the decoder is built for it.

Legend: B batch, S decodings per sequence, O outputs of the decoder.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal


class Signal(ABC):
    """What is to be decoded.

    Attributes:
        noun: what it is called.
        beta: nats of distortion that a nat of rate is worth, where nothing else is said: the less
            there is to say of the signal, the less a nat of rate may cost.
    """

    noun: ClassVar[str] = "signals"
    beta: ClassVar[float] = 0.01

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """O."""

    @abstractmethod
    def likelihood(self, outputs: Tensor) -> Distribution:
        """Outputs `(..., O)` to a distribution over r with batch shape `(...)`."""

    @abstractmethod
    def constant(self, r: Tensor) -> Tensor:
        """Outputs `(O)` of the best answer that ignores the spikes, from examples `(B, ...)`."""


def check_signal(signal: Signal, kinds: tuple[type[Signal], ...], who: str) -> None:
    """Whether what the data hold is what `who` decodes.

    Raises:
        ValueError: another kind of signal.
    """
    if not isinstance(signal, kinds):
        nouns = " or ".join(kind.noun for kind in kinds)
        got = signal.noun if isinstance(signal, Signal) else repr(signal)
        raise ValueError(f"{who} decodes {nouns}, the data hold {got}")


def bernoulli(logits: Tensor) -> Distribution:
    """Independent Bernoulli variables.

    For grey targets in [0, 1] its `-log_prob` is the cross-entropy with pixels as means, in nats.
    """
    return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


def categorical(logits: Tensor) -> Distribution:
    """One of O classes or patterns."""
    return Categorical(logits=logits, validate_args=False)


def normal(outputs: Tensor) -> Distribution:
    """Independent normals: the first half of the outputs are means, the rest log deviations."""
    mean, log_std = outputs.chunk(2, dim=-1)
    return Independent(Normal(mean, log_std.exp(), validate_args=False), 1, validate_args=False)


@dataclass(frozen=True)
class Image(Signal):
    """A grey image, pixels in [0, 1] flattened to `(H W)`: O = H W logits of Bernoulli pixels.

    Args:
        shape: H and W.
        digits: whether it shows a digit, which the judge knows.
    """

    noun: ClassVar = "images"
    shape: tuple[int, ...]
    digits: bool = False

    @property
    def num_outputs(self) -> int:
        return math.prod(self.shape)

    def likelihood(self, outputs: Tensor) -> Distribution:
        return bernoulli(outputs)

    def constant(self, r: Tensor) -> Tensor:
        """The logits of the mean image."""
        return torch.logit(r.mean(0).clamp(1e-4, 1 - 1e-4))


@dataclass(frozen=True)
class Label(Signal):
    """One of some classes, int64 `(B)`: O logits of a categorical distribution.

    Args:
        num_classes: O.
        names: of the classes, in order, where they have some.

    Raises:
        ValueError: fewer than two, or another number of names.
    """

    noun: ClassVar = "labels"
    beta: ClassVar = 1e-4
    num_classes: int = 10
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise ValueError(f"labels: got {self.num_classes} classes, expected at least 2")
        if len(self.names) not in (0, self.num_classes):
            raise ValueError(f"labels: got {len(self.names)} names, expected {self.num_classes}")

    def name(self, label: int) -> str:
        """What a class is called: by its number where it has no name."""
        return self.names[label] if self.names else str(label)

    @property
    def num_outputs(self) -> int:
        return self.num_classes

    def likelihood(self, outputs: Tensor) -> Distribution:
        return categorical(outputs)

    def constant(self, r: Tensor) -> Tensor:
        """The logarithms of how often each class occurs, none of them impossible.

        Raises:
            ValueError: a label that is none of the classes.
        """
        low, high = int(r.min()), int(r.max())
        if low < 0 or high >= self.num_classes:
            wrong = low if low < 0 else high
            raise ValueError(f"labels: got {wrong}, expected 0 to {self.num_classes - 1}")
        counts = torch.bincount(r.flatten(), minlength=self.num_classes) + 1
        return torch.log(counts / counts.sum())


@dataclass(frozen=True)
class Curve(Signal):
    """A real vector `(D)`: O = 2 D, means and log deviations of independent normals.

    Args:
        size: D.
    """

    noun: ClassVar = "curves"
    beta: ClassVar = 1e-4
    size: int = 1

    @property
    def num_outputs(self) -> int:
        return 2 * self.size

    def likelihood(self, outputs: Tensor) -> Distribution:
        return normal(outputs)

    def constant(self, r: Tensor) -> Tensor:
        """Mean and log deviation of the examples."""
        r = r.reshape(-1, self.size)
        return torch.cat([r.mean(0), r.std(0, correction=0).clamp_min(1e-3).log()])
