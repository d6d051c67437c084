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
        parts = [_nats(prior, some, weights).double() for some in _batches(code)]
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
    given, independent = copy.deepcopy(prior), copy.deepcopy(prior)
    independent.start_from(_probabilities(train))
    starts = [(mean_nats(start, validation, weights), start) for start in (given, independent)]
    best_nats, fitted = min(starts, key=lambda start: start[0])
    best, since = copy.deepcopy(fitted), 0
    fitted.requires_grad_(True)
    parameters = list(fitted.parameters())
    if parameters:
        optimizer = torch.optim.Adam(parameters, lr)
        order = torch.Generator().manual_seed(seed)
    for _ in range(max_epochs if parameters else 0):
        shuffled = torch.randperm(len(train.spikes), generator=order)
        for some in _batches(train, shuffled):
            optimizer.zero_grad()
            torch.autograd.backward(_nats(fitted, some, weights).mean())
            optimizer.step()
        nats, since = mean_nats(fitted, validation, weights), since + 1
        if nats < best_nats:
            best, best_nats, since = copy.deepcopy(fitted), nats, 0
        if since == patience:
            break
    return best.requires_grad_(False).eval()


def _nats(prior: Prior, code: SpikeCode, weights: Tensor | None) -> Tensor:
    nats = code.cost(prior(code.spikes))
    return (nats if weights is None else weights * nats).sum(1)


def _batches(code: SpikeCode, order: Tensor | None = None) -> Iterator[SpikeCode]:
    """Codes a batch at a time, in some order."""
    rows = torch.arange(len(code.spikes)) if order is None else order
    for some in torch.split(rows.to(code.spikes.device), BATCH):
        v = None if code.v is None else code.v[some]
        yield SpikeCode(code.spikes[some], v, stochastic=code.stochastic)


def _probabilities(code: SpikeCode) -> Tensor:
    """How often each neuron fires at each step, `(T, N)`."""
    if not code.stochastic:
        return code.spikes.mean(0)
    return torch.sigmoid(code.logits).mean(0)
