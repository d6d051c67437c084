"""`log p(y^T)` by sequential Monte Carlo, from below and from above.

Particles are inputs that are drawn from their process; each goes through the encoder, given the
past of y, and is weighted with the exact `w_t = p(y_t | y^{t-1}, x^t)`. Where weights have become
uneven, particles are drawn anew in proportion to theirs, and

    p^(y^T) = prod over such times of the mean weight gathered since the last.

*Bootstrap filter*: `E p^ = p(y^T)`, so that `E log p^ <= log p(y^T)` by Jensen's inequality, and
information comes out too high in expectation. *Conditional filter*: one particle is the input that
y came from, and survives. It is a draw from p(x | y), so that `E 1 / p^ = 1 / p(y^T)`,
`E log p^ >= log p(y^T)`, and information comes out too low. The gap bounds the error of both.

Where the input is one of E patterns given the state h of its process, it is not drawn blindly but
from `p(x | h) g_t(x) / S_t(h)`, with a guide g of any kind and `S_t(h) = sum_x p(x | h) g_t(x)`.
Then `w_t = p(y_t | y^{t-1}, x^t) S_t(h) / g_t(x)`, which leaves both bounds what they are, and
hardly varies where g is about `p(y_t | x)`.

What bounds H(y) from above is the cross-entropy under any distribution. So the bootstrap filter may
also take inputs of which each part begins anew with a small probability, as others of the process
stand by now: with that probability p it costs `-D T log(1 - p)` nats at most, and particles that
have lost a part find it again. The conditional filter has to keep to the true process.

Andrieu, Doucet & Holenstein, "Particle Markov chain Monte Carlo methods", 2010,
https://doi.org/10.1111/j.1467-9868.2009.00736.x; Grosse, Ghahramani & Adams, "Sandwiching the
marginal likelihood using bidirectional Monte Carlo", 2015, https://arxiv.org/abs/1511.02543.

Legend: B sequences, K particles, R = K B rows, T steps, N_x inputs, N_y readout neurons.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vdib.encoder import SpikingEncoder
from vdib.information.encoder_state import Given, batch_axes, take
from vdib.information.processes import Emitting, Hidden, InputProcess, Simulated
from vdib.noise import Noise

RESAMPLING, GUIDED, RENEWED = -2, -3, -4
"""The layer numbers of the noise that chooses ancestors, inputs, and what begins anew."""
OTHERS = 1_000
"""By how much the step of the noise of fresh inputs is another."""
UNEVEN = 0.75
"""Particles are drawn anew where `(sum w)^2 / sum w^2` falls below this share of K."""
FAINTEST = -30.0
"""What a guide may say of a pattern at least, in nats below the likeliest."""

Progress = Callable[[Iterable[int]], Iterable[int]]


@torch.no_grad()
def log_marginal(
    encoder: SpikingEncoder,
    process: InputProcess,
    y: Tensor,
    num_particles: int,
    noise: Noise,
    kept: Simulated | None = None,
    guide: Tensor | None = None,
    neurons: Tensor | None = None,
    renewal: float = 0.0,
    progress: Progress = iter,
) -> Tensor:
    """An estimate of `log p(y^T)`, `(B,)` float64 in nats: too low, or with `kept` too high.

    Args:
        encoder: with a stochastic readout.
        process: of its inputs.
        y: `(B, T, N_y)` spikes.
        num_particles: K, at least 2.
        noise: the address of the B sequences; particles are its samples.
        kept: the inputs that y came from: they take part and survive.
        guide: log g, `(B, T, E)`, where the process is `Emitting`.
        neurons: `(N_y,)` bool, those that are looked at; all by default.
        renewal: probability that a part of the input begins anew in a step (without `kept`).
        progress: wraps the steps, to show them.
    """
    count, num_steps, _ = y.shape
    rows = noise.with_samples(num_particles)  # sample-major: row k B + b
    chosen = slice(None) if neurons is None else neurons
    axes = batch_axes(encoder)
    log_w = y.new_zeros(count, num_particles, dtype=torch.float64)
    log_p = log_w.new_zeros(count)
    others = replace(rows, step=rows.step - OTHERS)
    hidden: Hidden | None = None
    fresh: Hidden | None = None
    state: Any = None
    for time in progress(range(num_steps)):
        x, hidden = process.advance(rows, time, hidden)  # R N_x
        own = None
        if renewal:
            _, fresh = process.advance(others, time, fresh)
            u = rows.uniform(RENEWED, 1, (hidden[0].shape[1],), time)[:, 0]
            pairs = zip(hidden, fresh, strict=True)
            hidden = tuple(torch.where(u < renewal, new, now) for now, new in pairs)
        if kept is not None:  # sample 0 of every sequence: the first B rows
            own = kept.spikes[:, time]
            x[:count] = own
            for now, true in zip(hidden, kept.hidden[time], strict=True):
                now[:count] = true
        if guide is not None:
            u = rows.uniform(GUIDED, 1, (hidden[0].shape[1],), time)[:, 0]
            x, log_ratio = guided(cast(Emitting, process), hidden, guide[:, time], u, own)
            log_w += log_ratio.view(num_particles, count).T
        given = y[:, time].repeat(num_particles, 1)
        code, state = encoder.step(x.to(y), state, given, Given())
        v = torch.where(given > 0.5, code.logits, -code.logits)[:, chosen]
        log_w += logsigmoid(v).sum(1, dtype=torch.float64).view(num_particles, count).T
        if time == num_steps - 1:
            break
        w = torch.softmax(log_w, 1)
        uneven = w.square().sum(1) * num_particles * UNEVEN > 1
        if not uneven.any():
            continue
        log_p += torch.where(uneven, _log_mean(log_w), 0)
        log_w[uneven] = 0
        u = rows.uniform(RESAMPLING, 1, (1,), time).view(num_particles, count).T.double()
        if kept is None:  # systematic: one number for all, which scatters less
            u = (torch.arange(num_particles) + u[:, :1]) / num_particles
        ancestors = ancestors_of(w, u, kept is not None)
        ancestors[~uneven] = torch.arange(num_particles)
        at = (ancestors * count + torch.arange(count)[:, None]).T.flatten()
        hidden = tuple(field[at] for field in hidden)
        state = take(state, axes, at)
    return log_p + _log_mean(log_w)


def guided(
    process: Emitting, hidden: Hidden, guide: Tensor, u: Tensor, own: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Inputs from `p(x | h) g(x) / S(h)`, part by part, and `log S(h) - log g(x)`.

    Args:
        process: of the inputs.
        hidden: h of R rows.
        guide: log g, `(B, N^D)`.
        u: uniform in (0, 1), `(R, D)`.
        own: what the first B rows are to be instead, `(B, N_x)`.

    Returns:
        `(R, N_x)` and `(R,)` in nats.
    """
    sequences = len(guide)
    p = process.emission(hidden)
    parts, number = p.shape[1:]
    p = p.view(-1, sequences, parts, number)  # K B D N
    log_g = (guide - guide.max(1, keepdim=True).values).clamp_min(FAINTEST)
    # g summed over the later parts, as a function of the first D, D - 1, ... 1.
    worth = [log_g.exp().reshape(1, sequences, -1, number)]  # 1 B N^(D-1) N
    for part in reversed(range(1, parts)):
        whole = worth[-1]
        given = p[:, :, part]
        left = (
            torch.einsum("bmn,kbn->kbm", whole[0], given)
            if len(whole) == 1
            else torch.einsum("kbmn,kbn->kbm", whole, given)
        )
        worth.append(left.reshape(*left.shape[:2], -1, number))
    u = u.view(-1, sequences, parts)
    row = torch.arange(sequences)
    drawn = torch.zeros(p.shape[:2], dtype=torch.int64)
    for part, whole in enumerate(reversed(worth)):
        sample = torch.arange(len(whole))[:, None]
        edges = (p[:, :, part] * whole[sample, row, drawn]).cumsum(2)
        if part == 0:
            log_total = edges[..., -1].log()
        at = torch.searchsorted(edges, (u[:, :, part, None] * edges[..., -1:]), right=True)
        drawn = drawn * number + at[..., 0].clamp_(max=number - 1)
    if own is not None:  # g is a function of the spikes: any pattern that has them
        drawn[0] = (process.patterns != own[:, None]).sum(2).argmin(1)
    log_ratio = log_total - log_g[row, drawn]
    return process.patterns[drawn.flatten()], log_ratio.flatten()


def ancestors_of(w: Tensor, u: Tensor, keep_first: bool) -> Tensor:
    """Which particle each one goes on from, drawn in proportion to weights.

    Args:
        w: weights `(B, K)`, of any sum.
        u: uniform in (0, 1), `(B, K)`.
        keep_first: particle 0 goes on from itself.

    Returns:
        `(B, K)` int64.
    """
    edges = w.cumsum(1)
    ancestors = torch.searchsorted(edges, (u * edges[:, -1:]).contiguous(), right=True)
    ancestors.clamp_(max=w.shape[1] - 1)
    if keep_first:
        ancestors[:, 0] = 0
    return ancestors


def _log_mean(log_w: Tensor) -> Tensor:
    return torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])
