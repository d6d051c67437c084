"""Intervals over sequences: by the bootstrap for means, by the jackknife for statistics of pairs.

A statistic is a function of how often each of N sequences counts.

- Means: resampling N sequences with replacement makes the counts multinomial. Bias-corrected and
  accelerated (BCa): Efron, "Better Bootstrap Confidence Intervals", 1987,
  https://doi.org/10.1080/01621459.1987.10478410.
- Mixtures over the sample: a resample has fewer different members than a sample, and says
  systematically something else. Each sequence is left out once instead: Arvesen, "Jackknifing
  U-Statistics", 1969, https://doi.org/10.1214/aoms/1177697287.

Legend: R resamples, N sequences.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit  # type: ignore[import-untyped]

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""From counts `(R, N)` to values `(R,)`."""

RESAMPLES = 4_000


class Interval(NamedTuple):
    """An estimate between the ends of its interval, all in one unit."""

    estimate: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        """The same in another unit; the factor is above 0."""
        return Interval(*(factor * value for value in self))


def mean(terms: Array) -> Statistic:
    """The mean of one term a sequence, `(N,)`."""
    return lambda counts: counts @ terms / counts.sum(1)


def bootstrap(
    statistic: Statistic, count: int, level: float, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """The BCa interval of a statistic of independent sequences.

        alpha = Phi(z0 + (z0 + z) / (1 - a (z0 + z))),   z = Phi^-1((1 -+ level) / 2)

    with `z0 = Phi^-1(share of resamples below the estimate)` and the acceleration `a` from the
    jackknife. Statistics without spread have an interval without width.

    Args:
        statistic: of the sequences, a mean.
        count: N, at least 2.
        level: in (0, 1), of the two-sided interval.
        seed: of the resamples.
        resamples: R.

    >>> bootstrap(mean(np.array([1.0, 1.0, 1.0])), 3, 0.95, seed=0)
    Interval(estimate=1.0, low=1.0, high=1.0)
    """
    estimate = float(statistic(np.ones((1, count)))[0])
    left_out = statistic(1.0 - np.eye(count))
    away = left_out.mean() - left_out
    if not np.abs(away).max() > 1e-12 * max(1.0, abs(estimate)):
        return Interval(estimate, estimate, estimate)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(count, np.full(count, 1 / count), resamples)
    values = statistic(counts.astype(np.float64))
    below = ((values < estimate).mean() + (values <= estimate).mean()) / 2
    z0 = ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples))
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    z = z0 + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(values, ndtr(z0 + z / (1 - acceleration * z)))
    return Interval(estimate, float(low), float(high))


def jackknife(statistic: Statistic, count: int, level: float) -> Interval:
    """The interval of a statistic of pairs of sequences, about its expectation in samples of N.

        estimate -+ t se,   se^2 = (N - 1) / N sum_i (value without i - their mean)^2

    with t the quantile of Student's distribution of N - 1 degrees of freedom.

    Args:
        statistic: of the sequences.
        count: N, at least 2.
        level: in (0, 1), of the two-sided interval.
    """
    estimate = float(statistic(np.ones((1, count)))[0])
    left_out = statistic(1.0 - np.eye(count))
    se = np.sqrt((count - 1) * left_out.var())
    width = float(stdtrit(count - 1, (1 + level) / 2) * se)
    return Interval(estimate, estimate - width, estimate + width)
