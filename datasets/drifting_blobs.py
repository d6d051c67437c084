"""Noisy blobs drifting over a ring of neurons: what predictive coding is tried on.

One blob, with eta[t] ~ N(0, 1) and n[t] ~ N(0, 1) drawn anew at every step t >= 1 and t >= 0,

    theta[t] = theta[t-1] + v[t-1]              theta[0] ~ U[-pi, pi), never wrapped (rad)
    v[t]     = 0.9 v[t-1] - 0.14 eta[t]         v[0] = 1 (rad per step)
    A[t]     = 0.99 A[t-1] + 0.01 eta[t]        A[0] = 0.5 (dimensionless), or A = 1 throughout
    bin[t]   = the neuron nearest to  A[t] (theta[t] + 0.45 n[t])  on the circle

where neuron i of N sits at -pi + 2 pi i / N. Several blobs are independent and their spikes are
superposed: a neuron that two blobs hit spikes once.

After Chalk, Marre & Tkacik, "Toward a unified theory of efficient, predictive, and sparse coding",
2018, https://doi.org/10.1073/pnas.1711114115, with the constants of Skatchkovsky, Simeone & Jang,
2021, https://arxiv.org/abs/2106.01177. Their amplitude multiplies the *position* and decays towards
zero over a sequence, so that its end is easier than its beginning: lengths must match between
training and test.

Legend: B sequences, T steps, D blobs, N neurons.
"""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdib.noise import INPUT, Noise

CHUNK = 1_000_000
"""Numbers drawn at a time: what bounds the memory of long or many sequences."""
SPREAD = 0.45
"""Of the noise n, in rad."""


@dataclass(frozen=True)
class Amplitude:
    """`A[t] = decay A[t-1] + drive eta[t]` from A[0] = `start`; dimensionless."""

    start: float
    decay: float
    drive: float


PUBLISHED = Amplitude(start=0.5, decay=0.99, drive=0.01)
UNIT = Amplitude(start=1.0, decay=1.0, drive=0.0)


class BlobState(NamedTuple):
    """Where the blobs are: position (rad), velocity (rad per step), amplitude; each `(B, D)`."""

    theta: NDArray[np.float64]
    v: NDArray[np.float64]
    amplitude: NDArray[np.float64]


@dataclass(frozen=True)
class DriftingBlobs:
    """The process. All its numbers are addressed, so a sequence does not depend on its batch.

    Args:
        num_neurons: N.
        num_blobs: D.
        amplitude: how A evolves.

    >>> noise = Noise(seed=0, step=0, ids=torch.arange(3))
    >>> bins = DriftingBlobs().bins(noise, num_steps=5)
    >>> bins.shape, bins.dtype
    (torch.Size([3, 5, 2]), torch.uint8)
    """

    num_neurons: int = 20
    num_blobs: int = 2
    amplitude: Amplitude = PUBLISHED

    def __post_init__(self) -> None:
        if not 2 <= self.num_neurons <= 256 or self.num_blobs < 1:
            raise ValueError(
                "blobs need num_neurons from 2 to 256 and num_blobs >= 1, "
                f"got {self.num_neurons} and {self.num_blobs}"
            )

    def bins(self, noise: Noise, num_steps: int) -> Tensor:
        """Sequences from their beginning: the neuron that each blob hits, `(B, T, D)` uint8."""
        count, step = len(noise.ids), 2 * self.num_blobs
        rows = max(1, CHUNK // (step * num_steps))
        parts = []
        for some in torch.split(noise.ids, rows):
            state, length = None, max(1, CHUNK // (step * len(some)))
            for start in range(0, num_steps, length):
                steps = min(length, num_steps - start)
                bins, state = self.advance(Noise(noise.seed, noise.step, some), steps, start, state)
                parts.append(bins.flatten())
        return torch.cat(parts).view(count, num_steps, self.num_blobs)

    def advance(
        self, noise: Noise, num_steps: int, start: int = 0, state: BlobState | None = None
    ) -> tuple[Tensor, BlobState]:
        """The next steps of running sequences, for streams.

        Args:
            noise: the address of the sequences.
            num_steps: T.
            start: the first step's time.
            state: as returned for the steps before; None at time 0.

        Returns:
            `(B, T, D)` uint8 and the next state.
        """
        assert (state is None) == (start == 0)
        u = noise.uniform(INPUT, num_steps, (2, self.num_blobs), start).double().numpy()
        normal = torch.special.ndtri(torch.from_numpy(u)).numpy()
        eta, spread = normal[:, :, 0], normal[:, :, 1]  # B, T, D
        centre, size = np.empty_like(eta), np.empty_like(eta)
        if state is None:  # theta[0] is drawn from what eta[0], which nothing needs, was made of
            theta = -math.pi + 2 * math.pi * u[:, 0, 0]
            state = BlobState(theta, np.ones_like(theta), np.full_like(theta, self.amplitude.start))
            centre[:, 0], size[:, 0] = state.theta, state.amplitude
        theta, v, a = (field.copy() for field in state)
        kick, swell = 0.14 * eta, self.amplitude.drive * eta
        for t in range(0 if start else 1, num_steps):
            theta += v
            v *= 0.9
            v -= kick[:, t]
            a *= self.amplitude.decay
            a += swell[:, t]
            centre[:, t] = theta
            size[:, t] = a
        position = size * (centre + SPREAD * spread)
        nearest = np.rint((position + math.pi) * (self.num_neurons / (2 * math.pi)))
        bins = np.mod(nearest, self.num_neurons).astype(np.uint8)
        return torch.from_numpy(bins), BlobState(theta, v, a)


def spikes(bins: Tensor, num_neurons: int) -> Tensor:
    """`(..., D)` bins to the spikes they cause, `(..., N)` float32.

    >>> spikes(torch.tensor([[0, 2], [1, 1]]), 3)
    tensor([[1., 0., 1.],
            [0., 1., 0.]])
    """
    shape = (*bins.shape[:-1], num_neurons)
    return torch.zeros(shape, device=bins.device).scatter_(-1, bins.long(), 1)


class Patterns:
    """The sets of neurons that can be active in one step, numbered: 1 to D of N neurons.

    `P = sum_{k=1}^{D} C(N, k)`: 210 for two blobs on 20 neurons. Sets come by size, and within a
    size in lexicographic order.

    Args:
        num_neurons: N.
        num_blobs: D.

    Attributes:
        active: `(P, N)` float32, the neurons of each set.

    >>> patterns = Patterns(num_neurons=3, num_blobs=2)
    >>> len(patterns), patterns.index(torch.tensor([[2, 0], [1, 1]]))
    (6, tensor([4, 1]))
    """

    def __init__(self, num_neurons: int, num_blobs: int) -> None:
        if (combinations := num_neurons**num_blobs) > 1_000_000:
            raise ValueError(
                f"{num_blobs} blobs on {num_neurons} neurons make {combinations:,} combinations, "
                "expected at most 1,000,000: fewer, or predict independent neurons"
            )
        sizes = range(1, min(num_blobs, num_neurons) + 1)
        sets = [s for k in sizes for s in itertools.combinations(range(num_neurons), k)]
        self.active = torch.zeros(len(sets), num_neurons)
        for row, members in enumerate(sets):
            self.active[row, list(members)] = 1
        # Any order of bins, with repeats, read as the digits of a number: where its set stands.
        number = {members: row for row, members in enumerate(sets)}
        every = itertools.product(range(num_neurons), repeat=num_blobs)
        self._table = torch.tensor([number[tuple(sorted(set(bins)))] for bins in every])
        self._digits = num_neurons ** torch.arange(num_blobs - 1, -1, -1)

    def __len__(self) -> int:
        return len(self.active)

    def index(self, bins: Tensor) -> Tensor:
        """`(..., D)` bins to the number of their set, `(...)` int64."""
        number = (bins.long() * self._digits.to(bins.device)).sum(-1)
        return self._table.to(bins.device)[number]
