"""The information between two recorded spike trains, where no likelihood is known.

Point processes with and without the other train are fitted to all folds but one and read on that:

    estimate    I(x -> y) ~ E [log q(y || x) - log q(y)],     the same for I(y -> x) by past y only
    above       I(x -> y) <= H(y) <= E -log q(y)
    below       I(x; y)   >= the multi-sample bound with log q(y || x) as its critic, within a fold

The estimate is a difference of two bounds on entropies: too low where q(y || x) misses something of
x, too high where q(y) misses something of the past, and so no bound. The two below and above hold
for any q that has not seen the sequences. What is bounded below is the information between whole
sequences, both directions together, `I(x; y) = I(x -> y) + I(y past -> x)` (Massey & Massey,
"Conservation of mutual and directed information", 2005,
https://doi.org/10.1109/ISIT.2005.1523313); it needs sequences that are independent, of which one
long recording has only one.

Legend: B sequences, T steps, N_x and N_y neurons.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from vdib.dynamics.filters import delayed
from vdib.information.intervals import Array, Statistic, mean
from vdib.information.pairs import multi_sample
from vdib.information.point_process import PointProcess, cosines, fit, log_prob
from vdib.information.rows import Report, Row, Section
from vdib.objective import BITS_PER_NAT
from vdib.runs.command import UserError

BLOCKS = 20
"""Parts of one long recording, as whose resamples its intervals are made."""
FILTERS = 5

Progress = Callable[[Iterable[int], str], Iterable[int]]


def in_blocks(x: Tensor, count: int) -> Tensor:
    """One recording `(T, N)` as parts that follow each other, `(count, T // count, N)`."""
    length = len(x) // count
    return x[: count * length].view(count, length, -1)


def of_trains(
    x: Tensor,
    y: Tensor,
    names: tuple[str, str],
    folds: int,
    memory: int,
    seed: int,
    progress: Progress,
) -> Report:
    """All that is measured of two trains.

    Args:
        x: `(B, T, N_x)` spikes, or `(T, N_x)`.
        y: `(B, T, N_y)`, or `(T, N_y)`.
        names: of x and y.
        folds: of cross-validation.
        memory: steps of the longest filter.
        seed: of resamples and folds.
        progress: wraps the fits.

    Raises:
        UserError: fewer sequences than folds, or steps than filters (one line).
    """
    one = x.dim() == 2
    if one:
        if len(x) < 2 * BLOCKS:
            raise UserError(f"one recording of {len(x)} steps, expected {2 * BLOCKS} or more")
        x, y = in_blocks(x, BLOCKS), in_blocks(y, BLOCKS)
    count, num_steps, _ = x.shape
    if count < 2 * folds:
        raise UserError(f"{count} sequences for {folds} --folds, expected {2 * folds} or more")
    generator = torch.Generator().manual_seed(seed)
    # Parts of one recording stay together: neighbours know of each other.
    order = torch.arange(count) if one else torch.randperm(count, generator=generator)
    parts = torch.tensor_split(order, folds)
    bank = cosines(FILTERS, min(memory, num_steps))
    own = torch.zeros(4, count, dtype=torch.float64)  # q(y), q(y || x), q(x), q(x || y past)
    critics: list[Tensor] = []
    late = delayed(y)
    for i in progress(range(folds), "folds"):
        held = parts[i]
        rest = torch.cat([part for j, part in enumerate(parts) if j != i])
        pairs = ((None, y), (x, y), (None, x), (late, x))
        models = [fit(None if by is None else by[rest], of[rest], bank, bank) for by, of in pairs]
        for j, (model, (by, of)) in enumerate(zip(models, pairs, strict=True)):
            given = None if by is None else by[held]
            own[j, held] = model.log_prob(given, of[held]).double().sum(1)
        if not one:
            critics.append(_of_pairs(models[1], x[held], y[held]))
    q_y, q_y_x, q_x, q_x_y = own.numpy()
    a, b = names
    own_gain, back_gain = q_y_x - q_y, q_x_y - q_x
    forward = [
        Row("fitted with and without the other", "estimate", mean(own_gain), count, seed),
        Row(f"all there is in {b}", "above", mean(-q_y), count, seed),
    ]
    back = [
        Row("fitted with and without the other", "estimate", mean(back_gain), count, seed),
        Row(f"all there is in {a}", "above", mean(-q_x), count, seed),
    ]
    sections = [
        Section(f"I({a} -> {b})", tuple(forward), note=_ESTIMATE),
        Section(f"I(past {b} -> {a})", tuple(back), note=_ESTIMATE),
    ]
    if not one:
        low = _over_folds(critics, parts)
        rows = (
            Row("sum of both estimates", "estimate", mean(own_gain + back_gain), count, seed),
            Row("multi-sample bound", "below", low, count, seed, pairs=True),
        )
        top = sum(len(part) * math.log(len(part)) for part in parts) / count
        sections.append(Section(f"I({a}; {b})", rows, top))
    what = f"one recording in {BLOCKS} parts" if one else f"{count} sequences"
    return Report(
        f"{a} and {b}: {what} of {num_steps} steps, {folds} folds, seed {seed}",
        "bits/step",
        BITS_PER_NAT / num_steps,
        tuple(sections),
        {"num_sequences": count, "num_steps": num_steps, "seed": seed, "folds": folds},
    )


_ESTIMATE = "an estimate: a difference of two bounds, with intervals that know of sequences only"


def _of_pairs(model: PointProcess, x: Tensor, y: Tensor) -> Tensor:
    """`log q(y_i || x_j)` of sequences that the model has not seen, `(B, B)`."""
    fed_back = model.history_logits(y)
    driven = model.logits(x, y) - fed_back
    rows = [log_prob(driven + own, spikes).sum(1) for own, spikes in zip(fed_back, y, strict=True)]
    return torch.stack(rows).double()


def _over_folds(critics: Sequence[Tensor], parts: Sequence[Tensor]) -> Statistic:
    """The multi-sample bound within each fold, as its sequences count.

    Only there are the x_j as new to the critic as x_i is.
    """
    each = [multi_sample(critic.numpy()) for critic in critics]

    def statistic(counts: Array) -> Array:
        some = [counts[:, part.numpy()] for part in parts]
        sums = [bound(own) * own.sum(1) for bound, own in zip(each, some, strict=True)]
        total: Array = sum(sums) / counts.sum(1)
        return total

    return statistic
