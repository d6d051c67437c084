"""What a neuron's own spikes do to it: refractoriness, an after-potential, a soft reset.

Legend: B batch, T steps, N neurons (any trailing axes), L length of nu.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from vdib.dynamics.filters import RaisedCosines, State


class Feedback(Protocol):
    """What a neuron's own spikes do to it: a filter `nu` that acts from the next step on."""

    def read(self, state: State) -> Tensor | float:
        """`(nu * s)[t - 1]`, from the state left by step t - 1 (`()` before the first)."""

    def write(self, state: State, spikes: Tensor) -> State:
        """The state after `spikes` of shape `(B, N)`."""

    def impulse_response(self, num_steps: int) -> Tensor:
        """`nu` up to lag `num_steps - 1`, `(L,)` float64 with `L <= num_steps`."""


@dataclass(frozen=True)
class ExponentialFeedback:
    """`nu[k] = -decay^k`, k >= 0: an after-potential that decays exponentially."""

    decay: float = 0.65

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"feedback decay per step must lie in [0, 1), got {self.decay}")

    def read(self, state: State) -> Tensor | float:
        return state[0] if state else 0.0

    def write(self, state: State, spikes: Tensor) -> State:
        return (self.decay * state[0] - spikes if state else -spikes,)

    def impulse_response(self, num_steps: int) -> Tensor:
        return -(self.decay ** torch.arange(num_steps, dtype=torch.float64))


class FiniteFeedback(ABC):
    """One that ends: what spikes will do is added to the coming `duration` steps."""

    @property
    @abstractmethod
    def duration(self) -> int:
        """L, the steps of nu."""

    @abstractmethod
    def impulse_response(self, num_steps: int) -> Tensor: ...

    def read(self, state: State) -> Tensor | float:
        return state[0][0] if state else 0.0

    @cached_property
    def _nu(self) -> Tensor:
        return self.impulse_response(self.duration)

    def write(self, state: State, spikes: Tensor) -> State:
        nu = self._nu.to(spikes).view(-1, *[1] * spikes.dim())
        coming = nu * spikes  # what these spikes add to each of the next steps
        if state:
            coming[:-1] += state[0][1:]
        return (coming,)


@dataclass(frozen=True)
class CosineFeedback(FiniteFeedback):
    """Finite: minus the first raised cosine over `duration` steps."""

    duration: int = 10

    def __post_init__(self) -> None:
        if self.duration < 1:
            raise ValueError(f"feedback lasts at least one step, got {self.duration}")

    def impulse_response(self, num_steps: int) -> Tensor:
        return -RaisedCosines(count=1, duration=self.duration).impulse_response(num_steps)[0]


@dataclass(frozen=True)
class NoFeedback(FiniteFeedback):
    """None: `nu = 0`. Given the input, spikes of different steps are independent."""

    duration: ClassVar[int] = 1  # type: ignore[misc, unused-ignore]

    def impulse_response(self, num_steps: int) -> Tensor:
        return torch.zeros(min(1, num_steps), dtype=torch.float64)


def over(feedback: Feedback, spikes: Tensor) -> Tensor:
    """`(nu * s)[t - 1]` of given spikes, `(B, T, *N)` to the same; time grows as T."""
    state: State = ()
    out = []
    for now in spikes.unbind(1):
        out.append(feedback.read(state) + torch.zeros_like(now))
        state = feedback.write(state, now)
    return torch.stack(out, 1)
