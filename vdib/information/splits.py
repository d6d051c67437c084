"""How information splits over lags and between two populations of neurons: estimates.

Parts are differences of bounds, and a difference of bounds bounds nothing. Their intervals say how
far they would move with other sequences, not how far they are from the truth.

Populations a and b of readout neurons, each of which hears itself only, so that `p(a || x)` is as
exact as `p(y || x)`:

    only a      I(x -> ab) - I(x -> b)
    only b      I(x -> ab) - I(x -> a)
    either      I(x -> a) + I(x -> b) - I(x -> ab)     (below 0: more together than apart)

each from the middle between the bounds. Lags, by the chain rule,

    I(x^t; y_t | y^{t-1}) = sum_l I(x_{t-l}; y_t | y^{t-1}, x_{t-l+1}, ..., x_t)

each from the cross-entropies of point processes that see so many lags and all past spikes; what the
last of them does not see is the rest, by the exact likelihood.

Legend: N sequences, T steps, N_x inputs, N_y neurons.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from vdib.information.bounds import Filters
from vdib.information.intervals import Array, Statistic, mean
from vdib.information.pairs import leave_one_out, log_likelihoods, multi_sample
from vdib.information.point_process import cosines, fit, lags, log_prob
from vdib.information.processes import Simulated
from vdib.information.rows import Row
from vdib.spike_code import SpikeCode

LAGS = (1, 2, 4, 8)
"""How many lags, from 0 on, the point processes see; each a row of the split."""
MOST_INPUTS = 64
"""More inputs than this are not split over lags: there would be too many weights to fit."""

Progress = Callable[[Iterable[int]], Iterable[int]]


def over_lags(
    x: Tensor, code: SpikeCode, train_x: Tensor, train: SpikeCode, seed: int, progress: Progress
) -> list[Row]:
    """Estimates of what each further lag adds.

    Args:
        x: inputs `(N, T, N_x)`.
        code: of these.
        train_x: other inputs, to which the point processes are fitted.
        train: their codes.
        seed: of the resamples.
        progress: wraps the fits, to show them.
    """
    history = cosines(3, 20)
    length = x.shape[1]
    counts = [0, *(count for count in LAGS if count < length)]
    costs = []
    for i in progress(range(len(counts))):
        bank = lags(counts[i]) if counts[i] else None
        model = fit(None if bank is None else train_x, train.spikes, bank, history)
        costs.append(-model.log_prob(None if bank is None else x, code.spikes).double().sum(1))
    costs.append(-log_prob(code.logits.double(), code.spikes.double()).sum(1))
    last = counts[-1]
    spans = [(a, b - 1) for a, b in itertools.pairwise(counts)]
    names = [f"lag {a}" if a == b else f"lags {a} to {b}" for a, b in spans]
    names.append(f"lags {last} and more")
    gains = [(a - b).numpy() for a, b in itertools.pairwise(costs)]
    count = len(x)
    return [
        Row(name, "estimate", mean(gain), count, seed)
        for name, gain in zip(names, gains, strict=True)
    ]


def between_populations(
    code: SpikeCode,
    first: Tensor,
    seed: int,
    filters: Filters | None = None,
    x: Simulated | None = None,
    progress: Progress = iter,
) -> tuple[list[Row], float]:
    """Estimates of what two populations say alone and together.

    Args:
        code: of N sequences, with its drive.
        first: `(N_y,)` bool, which neurons are of population a.
        seed: of the resamples.
        filters: where inputs can be simulated; otherwise the bounds are those of pairs.
        x: the inputs, with all that drew them, for the filters.
        progress: wraps the three populations, to show them.

    Returns:
        The rows, and how far bounds lie apart, at most, whose middles they are made of, in nats.
    """
    chosen = [first, ~first, torch.ones_like(first)]
    middles = [_middle(code, chosen[i], filters, x) for i in progress(range(3))]
    a, b, both = (middle for middle, _ in middles)
    of = {
        "a alone": ((1, a),),
        "b alone": ((1, b),),
        "only a": ((1, both), (-1, b)),
        "only b": ((1, both), (-1, a)),
        "either": ((1, a), (1, b), (-1, both)),
    }
    count = len(code.spikes)
    rows = [
        Row(name, "estimate", _sum(parts), count, seed, pairs=filters is None)
        for name, parts in of.items()
    ]
    return rows, max(gap for _, gap in middles)


def _middle(
    code: SpikeCode, neurons: Tensor, filters: Filters | None, x: Simulated | None
) -> tuple[Statistic, float]:
    """The middle between the bounds, and how far they lie apart."""
    if filters is not None and x is not None:
        above, below = (mean(terms.numpy()) for terms in filters.terms(x, code, neurons))
    else:
        log_p = log_likelihoods(code, neurons)
        above, below = leave_one_out(log_p), multi_sample(log_p)
    every = np.ones((1, len(code.spikes)))
    return _sum(((0.5, above), (0.5, below))), float((above(every) - below(every))[0])


def _sum(parts: Sequence[tuple[float, Statistic]]) -> Statistic:
    def statistic(counts: Array) -> Array:
        values: Array = sum(factor * part(counts) for factor, part in parts)  # type: ignore[assignment]
        return values

    return statistic
