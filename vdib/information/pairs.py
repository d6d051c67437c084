"""Bounds from the likelihood of every code under every input of a sample.

With `L[i, j] = log p(y_i || x_j)`, which is exact here, N independent sequences give, in
expectation over the sample,

    above   (1/N) sum_i [ L_ii - log (1/(N-1)) sum_{j != i} exp L_ij ]  >=  I(x -> y)
    below   (1/N) sum_i [ L_ii - log (1/N) sum_j exp L_ij ]             <=  min(I(x -> y), log N)

Above: the mixture of the others is a distribution over codes that knows nothing of y_i, and no
distribution is shorter in expectation than the true marginal ("leave one out": Poole et al., "On
Variational Bounds of Mutual Information", 2019, https://arxiv.org/abs/1905.06922). Below: the
multi-sample bound (InfoNCE) with the exact likelihood as its critic. No sample of N can say more
than log N, by whatever bound that holds for every distribution: McAllester & Stratos, "Formal
Limitations on the Measurement of Mutual Information", 2020, https://arxiv.org/abs/1811.04251.

Legend: N sequences, T steps, N_y neurons.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from vdib.information.intervals import Array, Statistic
from vdib.spike_code import SpikeCode

CHUNK = 20_000_000
"""Potentials computed at a time."""

Progress = Callable[[Iterable[int]], Iterable[int]]


def log_likelihoods(
    code: SpikeCode, neurons: Tensor | None = None, progress: Progress = iter
) -> Array:
    """`log p(y_i || x_j)` in nats, `(N, N)` with i down and j across.

    What the neurons' own spikes do to v is the difference of logits and drive, so that v of any
    pair is a sum.

    Args:
        code: one of each input, with its drive.
        neurons: `(N_y,)` bool, those that count; all by default. Each hears itself only, so that a
            part of them has a likelihood of its own.
        progress: wraps the rows, to show them.
    """
    assert code.drive is not None
    chosen = slice(None) if neurons is None else neurons
    y, drive = code.spikes[..., chosen], code.drive[..., chosen]
    fed_back = code.logits[..., chosen] - drive
    count = len(y)
    rows = max(1, CHUNK // max(1, y[0].numel() * count))
    # log p = y v - log(1 + e^v), elementwise; the first part is a product of matrices.
    linear = y.flatten(1).double() @ drive.flatten(1).double().T
    linear += (y * fed_back).flatten(1).double().sum(1, keepdim=True)
    out = np.empty((count, count))
    for start in progress(range(0, count, rows)):
        v = drive + fed_back[start : start + rows, None]  # i j T N_y
        normaliser = softplus(v).sum((2, 3), dtype=torch.float64)
        out[start : start + rows] = (linear[start : start + rows] - normaliser).numpy()
    return out


def leave_one_out(log_p: Array) -> Statistic:
    """The bound from above, in nats, of `(N, N)` log-likelihoods."""
    own, others = _own_and_others(log_p)
    return lambda counts: _weighted(counts, own - np.log(others(counts)))


def multi_sample(log_p: Array) -> Statistic:
    """The bound from below, in nats, of `(N, N)` log-likelihoods; at most log N."""
    own, others = _own_and_others(log_p)
    share = 1 / len(log_p)

    def statistic(counts: Array) -> Array:
        # -log(share + (1 - share) others / exp(own)), stable where either is the larger.
        contrast = np.log(others(counts)) - own + np.log1p(-share)
        return _weighted(counts, -np.logaddexp(np.log(share), contrast))

    return statistic


def _own_and_others(log_p: Array) -> tuple[Array, Statistic]:
    """`L_ii - m_i`, `(N,)`, and the mean of `exp(L_ij - m_i)` over the others as they count.

    m_i is the largest of the others. No sequence is another to itself: it would find its own
    likelihood in the mixture, which no new sequence does.
    """
    largest = np.where(np.eye(len(log_p), dtype=bool), -np.inf, log_p).max(1)
    own = np.diagonal(log_p) - largest
    ratio = np.exp(np.minimum(log_p - largest[:, None], 0))
    np.fill_diagonal(ratio, 0)

    def others(counts: Array) -> Array:
        number = np.maximum(counts.sum(1, keepdims=True) - counts, 1)
        # Where the only likely one is left out, the rest is below the smallest number.
        out: Array = np.maximum(counts @ ratio.T / number, 1e-300)
        return out

    return own, others


def _weighted(counts: Array, terms: Array) -> Array:
    out: Array = (counts * terms).sum(1) / np.maximum(counts.sum(1), 1)
    return out
