"""Bounds on the information in a code whose `log p(y || x)` is exact.

Where nothing comes back from y to x, the directed information `sum_t I(x^t; y_t | y^{t-1})` is the
mutual information of the sequences, `E [log p(y || x) - log p(y)]`. What bounds it:

| rows | quantity | in expectation over |
|---|---|---|
| rate under a fitted prior | above | sequences, the prior fitted to others |
| leave-one-out mixture | above | the whole sample |
| bootstrap filter | above | sequences and particles |
| conditional filter | below | sequences and particles |
| multi-sample bound | below, and below log N | the whole sample |

Legend: N sequences, T steps, N_y neurons.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vdib.encoder import SpikingEncoder
from vdib.information import pairs
from vdib.information.intervals import mean
from vdib.information.particles import log_marginal
from vdib.information.point_process import PointProcess, cosines, fit, lags, log_prob
from vdib.information.processes import Blobs, InputProcess, Simulated, simulate
from vdib.information.rows import Row
from vdib.noise import Noise
from vdib.spike_code import SpikeCode

SEQUENCES, DRAWN, ABOVE, BELOW, GUIDING = -2, -3, -4, -5, -6
"""Under which optimiser's step, of which there are none below 0, noise is drawn."""
RENEWAL = 0.02
"""See `vdib.information.particles`."""
FLATTENED = 0.75
"""The power to which the guide is taken: it does not know the past of x, and is too sure."""
ROWS = 8_192
"""Particles of all sequences that go through the encoder at a time: what fits into caches."""
GUIDE_SEQUENCES = 100

Progress = Callable[[Iterable[int]], Iterable[int]]


@torch.no_grad()
def drawn(encoder: SpikingEncoder, x: Tensor, seed: int) -> SpikeCode:
    """A code of each input, with its drive and without what made it."""
    noise = Noise(seed, DRAWN, torch.arange(len(x)))
    code = encoder(x, noise, drive=True)
    return SpikeCode(code.spikes, code.v, drive=code.drive)


def of_pairs(code: SpikeCode, seed: int, progress: Progress = iter) -> list[Row]:
    """Leave-one-out mixture and multi-sample bound."""
    log_p = pairs.log_likelihoods(code, progress=progress)
    count = len(log_p)
    return [
        Row("mixture of the others", "above", pairs.leave_one_out(log_p), count, seed, True),
        Row("multi-sample bound", "below", pairs.multi_sample(log_p), count, seed, True),
    ]


@dataclass(frozen=True, eq=False)
class Filters:
    """Sequential Monte Carlo both ways, for codes of simulated inputs.

    Attributes:
        encoder: of the code.
        process: of its inputs.
        num_particles: K.
        seed: of all that is drawn.
        guide: log g of codes `(B, T, N_y)`, `(B, T, E)`; None where inputs are drawn blindly.
    """

    encoder: SpikingEncoder
    process: InputProcess
    num_particles: int
    seed: int
    guide: Callable[[Tensor, Tensor | None], Tensor] | None = None

    def terms(
        self,
        x: Simulated,
        code: SpikeCode,
        neurons: Tensor | None = None,
        progress: Progress = iter,
    ) -> tuple[Tensor, Tensor]:
        """`log p(y || x) - log p^(y)` of each sequence, from above and from below, in nats.

        Args:
            x: the inputs, with all that drew them.
            code: of these.
            neurons: `(N_y,)` bool, those that count; all by default.
            progress: wraps the parts of the sample, to show them.
        """
        chosen = slice(None) if neurons is None else neurons
        own = log_prob(code.logits[..., chosen].double(), code.spikes[..., chosen].double()).sum(1)
        at_once = max(1, ROWS // self.num_particles)
        parts = torch.split(torch.arange(len(own)), at_once)
        renewal = RENEWAL if self.guide is not None else 0.0
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        for part in progress(range(len(parts))):
            rows = parts[part]
            y = code.spikes[rows]
            guide = None if self.guide is None else self.guide(y, neurons)
            hidden = tuple(tuple(field[rows] for field in step) for step in x.hidden)
            for step, kept, where in (
                (ABOVE, None, found[0]),
                (BELOW, Simulated(x.spikes[rows], hidden), found[1]),
            ):
                log_p = log_marginal(
                    self.encoder,
                    self.process,
                    y,
                    self.num_particles,
                    Noise(self.seed, step, rows),
                    kept,
                    guide,
                    neurons,
                    renewal if kept is None else 0.0,
                )
                where.append(own[rows] - log_p)
        return torch.cat(found[0]), torch.cat(found[1])

    def rows(self, x: Simulated, code: SpikeCode, progress: Progress = iter) -> list[Row]:
        """Both bounds."""
        above, below = (part.numpy() for part in self.terms(x, code, progress=progress))
        words = f"filter, {self.num_particles} particles"
        return [
            Row(f"bootstrap {words}", "above", mean(above), len(above), self.seed),
            Row(f"conditional {words}", "below", mean(below), len(below), self.seed),
        ]


@torch.no_grad()
def filters(
    encoder: SpikingEncoder, process: InputProcess, num_particles: int, seed: int, num_steps: int
) -> Filters:
    """Filters, with a guide where the process knows the probabilities of its spikes.

    The guide is a point process of y given its own past and the input of the same step, fitted to
    codes of sequences of its own.
    """
    if not isinstance(process, Blobs):
        return Filters(encoder, process, num_particles, seed)
    address = Noise(seed, GUIDING, torch.arange(GUIDE_SEQUENCES))
    x = simulate(process, address, num_steps).spikes
    y = encoder(x, Noise(seed, GUIDING, address.ids)).spikes
    model = fit(x, y, lags(1), cosines(2, 10), iterations=40)
    return Filters(encoder, process, num_particles, seed, guide_of(model, process.patterns))


def guide_of(model: PointProcess, patterns: Tensor) -> Callable[[Tensor, Tensor | None], Tensor]:
    """`FLATTENED log g` from a point process of the input of the same step."""
    by_pattern = patterns @ model.weight[: patterns.shape[1]]  # E N_y

    def guide(y: Tensor, neurons: Tensor | None) -> Tensor:
        chosen = slice(None) if neurons is None else neurons
        v = model.history_logits(y)[:, :, None, chosen] + by_pattern[:, chosen]
        return FLATTENED * log_prob(v, y[:, :, None, chosen])

    return guide


def ceiling(count: int) -> float:
    """log N, in nats."""
    return math.log(count)
