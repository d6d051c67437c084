"""Inputs that can be simulated: what sequential Monte Carlo draws its particles from.

Legend: R rows, T steps, D parts, N neurons.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from vdib.datasets.drifting_blobs import SPREAD, BlobState, DriftingBlobs, spikes
from vdib.noise import INPUT, Noise

Hidden = tuple[Tensor, ...]
"""Where the input stands: tensors of R rows by D independent parts."""


class InputProcess(Protocol):
    """A process whose next step follows from where it stands; nothing comes back from y.

    It may have D parts that know nothing of each other.
    """

    def advance(self, noise: Noise, time: int, hidden: Hidden | None) -> tuple[Tensor, Hidden]:
        """The spikes of one step, `(R, N)`, and where the process stands.

        Args:
            noise: the address of R rows.
            time: the step, from 0 on.
            hidden: as returned for the step before; None at time 0.
        """


class Simulated(NamedTuple):
    """Sequences with all that drew them.

    Attributes:
        spikes: `(B, T, N)`.
        hidden: where the process stood, T times.
    """

    spikes: Tensor
    hidden: tuple[Hidden, ...]


def simulate(process: InputProcess, noise: Noise, num_steps: int) -> Simulated:
    """Sequences from their beginning, one for each address."""
    x, hidden = [], []
    now: Hidden | None = None
    for time in range(num_steps):
        spikes_now, now = process.advance(noise, time, now)
        x.append(spikes_now)
        hidden.append(now)
    return Simulated(torch.stack(x, 1), tuple(hidden))


class Emitting(InputProcess, Protocol):
    """One of D independent parts, each of which hits one of N neurons, with known probabilities.

    Attributes:
        patterns: the spikes of every way to hit, the last part fastest, `(N^D, N_x)`.
    """

    @property
    def patterns(self) -> Tensor: ...

    def emission(self, hidden: Hidden) -> Tensor:
        """Probability of each neuron for each part, `(R, D, N)`."""


@dataclass(frozen=True)
class Blobs:
    """Drifting blobs: see `vdib.datasets.drifting_blobs`; D blobs over a ring of N neurons."""

    process: DriftingBlobs

    def advance(self, noise: Noise, time: int, hidden: Hidden | None) -> tuple[Tensor, Hidden]:
        state = None if hidden is None else BlobState(*(field.numpy() for field in hidden))
        bins, state = self.process.advance(noise, 1, time, state)
        return spikes(bins[:, 0], self.process.num_neurons), tuple(map(torch.from_numpy, state))

    @cached_property
    def patterns(self) -> Tensor:
        number, count = self.process.num_neurons, self.process.num_blobs
        bins = torch.cartesian_prod(*[torch.arange(number)] * count).view(-1, count)
        return spikes(bins, number)

    def emission(self, hidden: Hidden) -> Tensor:
        """The mass of a normal distribution between two neurons, once around the circle.

        What lies further than half the circle away is 0 to single precision, for A up to 1.
        """
        theta, _, amplitude = hidden
        number = self.process.num_neurons
        per_bin = 2 * math.pi / number
        centre = ((amplitude * theta + math.pi) / per_bin)[..., None]
        nearest = centre.round()
        away = torch.arange(number + 1) - (number // 2 + 0.5) - (centre - nearest)
        spread = (SPREAD * amplitude.abs() / per_bin).clamp_min(1e-12)[..., None]
        mass = torch.erf((away / spread / math.sqrt(2)).float()).diff(dim=-1) / 2
        at = torch.remainder(torch.arange(number) - nearest.long() + number // 2, number)
        return mass.gather(-1, at)


@dataclass(frozen=True, eq=False)
class MarkovChain:
    """A Markov chain of which each state is a pattern of spikes.

    Args:
        start: probabilities of the S states at time 0, `(S,)`.
        transition: from the state down to the next across, `(S, S)`.
        patterns: `(S, N)`, 0 or 1.

    Raises:
        ValueError: shapes that do not fit, or what are no probabilities.
    """

    start: Tensor
    transition: Tensor
    patterns: Tensor

    def __post_init__(self) -> None:
        count = len(self.start)
        if self.transition.shape != (count, count) or len(self.patterns) != count:
            raise ValueError(
                f"a chain of {count} states: got transitions {tuple(self.transition.shape)} and "
                f"{len(self.patterns)} patterns"
            )
        for rows in (self.start[None], self.transition):
            if rows.min() < 0 or not torch.allclose(rows.sum(1), torch.ones_like(rows[:, 0])):
                raise ValueError("probabilities of a chain are 0 or more and sum to 1")

    def advance(self, noise: Noise, time: int, hidden: Hidden | None) -> tuple[Tensor, Hidden]:
        p = self.start[None] if hidden is None else self.transition[hidden[0][:, 0]]
        u = noise.uniform(INPUT, 1, (1,), time)[:, 0].to(p)  # R 1
        # The last sum may be 1 but for rounding: the state is never beyond the last.
        state = (u >= p.cumsum(1)[:, :-1]).sum(1)
        return self.patterns[state], (state[:, None],)

    def log_prob(self, states: Tensor) -> Tensor:
        """`log p` of sequences of states `(B, T)`, `(B,)` in nats."""
        steps = self.transition[states[:, :-1], states[:, 1:]]
        return self.start[states[:, 0]].log() + steps.log().sum(1)


def symmetric_chain(
    num_neurons: int, stay: float, dtype: torch.dtype = torch.float32
) -> MarkovChain:
    """Independent neurons, each 0 or 1 and as it was with probability `stay`.

    Args:
        num_neurons: N; there are 2^N states.
        stay: in (0, 1).
        dtype: of everything.
    """
    count = 2**num_neurons
    bits = np.arange(count)[:, None] >> np.arange(num_neurons) & 1
    changed = (bits[:, None] != bits[None]).sum(-1)
    p = stay ** (num_neurons - changed) * (1 - stay) ** changed
    start = np.full(count, math.exp(-num_neurons * math.log(2)))
    as_tensor = [torch.tensor(array, dtype=dtype) for array in (start, p, bits)]
    return MarkovChain(*as_tensor)
