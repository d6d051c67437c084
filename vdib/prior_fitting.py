"""A prior fitted to a frozen code: the tighter it is, the less the rate overstates.

    min over q of E sum_t KL(p_theta(y_t | y^{t-1}, x^t) || q(y_t | y^{t-1}))

over codes of training examples, or of some of them: those of one class make a prior of that class.
The encoder is not touched. Of a deterministic code it is the length that is made small. Whatever q
comes out, its rate on other examples is an upper bound, as under any prior.

Legend: B batch, T steps, N readout neurons.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from vdib.objective import code_length
from vdib.prior import Prior
from vdib.spike_code import SpikeCode

BATCH = 100
"""Codes of an update."""


def mean_nats(prior: Prior, code: SpikeCode, weights: Tensor | None = None) -> float:
    """What codes cost under a prior, in nats a code, the mean over them.

    Args:
        prior: of their neurons.
        code: `(B, T, N)` spikes, and their logits unless it is deterministic.
        weights: `(T,)`, what each step counts; 1 by default.
    """
    with torch.no_grad():
        parts = [
            _weighted(some.cost(prior(some.spikes)), weights).double() for some in _batches(code)
        ]
    return float(torch.cat(parts).mean())


def fit_prior(
    prior: Prior,
    train: SpikeCode,
    validation: SpikeCode,
    seed: int,
    weights: Tensor | None = None,
    max_epochs: int = 30,
    patience: int = 2,
    lr: float = 3e-3,
) -> Prior:
    """A prior like the given one, fitted by Adam until other codes are described no better.

    Args:
        prior: from which to start, or from independent spikes of the codes' rates, whichever
            describes the validation codes better; it is left alone.
        train: codes to fit, spikes `(B, T, N)`.
        validation: codes of other examples, which say when to stop and which epoch is taken.
        seed: of the order of the codes.
        weights: `(T,)`, what each step counts; 1 by default.
        max_epochs: passes over the training codes, at most.
        patience: passes without improvement before it stops.
        lr: of Adam.

    Returns:
        The best epoch's, in evaluation mode and without gradients.
    """
    fired = _fired(train)
    given, independent = copy.deepcopy(prior), copy.deepcopy(prior)
    independent.start_from(fired.mean(0))
    starts = [(mean_nats(start, validation, weights), start) for start in (given, independent)]
    best_nats, fitted = min(starts, key=lambda start: start[0])
    best, since = copy.deepcopy(fitted), 0
    fitted.requires_grad_(True)
    parameters = list(fitted.parameters())
    if parameters:
        optimizer = torch.optim.Adam(parameters, lr)
        order = torch.Generator().manual_seed(seed)
    for _ in range(max_epochs if parameters else 0):
        shuffled = torch.randperm(len(fired), generator=order).to(fired.device)
        for rows in torch.split(shuffled, BATCH):
            # the rate, less the code's own entropy, which moves no prior
            cross = code_length(fired[rows], fitted(train.spikes[rows]))
            optimizer.zero_grad()
            torch.autograd.backward(_weighted(cross, weights).mean())
            optimizer.step()
        nats, since = mean_nats(fitted, validation, weights), since + 1
        if nats < best_nats:
            best, best_nats, since = copy.deepcopy(fitted), nats, 0
        if since == patience:
            break
    return best.requires_grad_(False).eval()


def _weighted(nats: Tensor, weights: Tensor | None) -> Tensor:
    """Nats `(B, T)`, summed over the steps, `(B,)`."""
    return (nats if weights is None else weights * nats).sum(1)


def _batches(code: SpikeCode) -> Iterator[SpikeCode]:
    """Codes a batch at a time."""
    for start in range(0, len(code.spikes), BATCH):
        some = slice(start, start + BATCH)
        v = None if code.v is None else code.v[some]
        yield SpikeCode(code.spikes[some], v, stochastic=code.stochastic)


def _fired(code: SpikeCode) -> Tensor:
    """With what probability each neuron fires at each step, given the past, `(B, T, N)`."""
    return torch.sigmoid(code.logits) if code.stochastic else code.spikes
