"""Optimisers by their words, against the updates that their papers give."""

import pytest
import torch

from vdib.lightning_modules import choices
from vdib.lightning_modules.choosing import chosen

GRADIENTS = [3.0, 0.5, -0.2, 0.1]
LR, BETA_1, BETA_2, EPS = 0.1, 0.9, 0.999, 1e-8


def adam(largest):
    """Kingma & Ba's updates; of Reddi et al. with the largest second moment so far."""
    x = m = v = most = 0.0
    for t, g in enumerate(GRADIENTS, 1):
        m, v = BETA_1 * m + (1 - BETA_1) * g, BETA_2 * v + (1 - BETA_2) * g * g
        most = max(most, v) if largest else v
        x -= LR * m / (1 - BETA_1**t) / ((most / (1 - BETA_2**t)) ** 0.5 + EPS)
        yield x


def nadam():
    """Dozat's, with his schedule of the momentum."""
    x = m = v = 0.0
    product = 1.0
    for t, g in enumerate(GRADIENTS, 1):
        mu, coming = (BETA_1 * (1 - 0.5 * 0.96 ** (0.004 * k)) for k in (t, t + 1))
        product *= mu
        m, v = BETA_1 * m + (1 - BETA_1) * g, BETA_2 * v + (1 - BETA_2) * g * g
        ahead = coming * m / (1 - product * coming) + (1 - mu) * g / (1 - product)
        x -= LR * ahead / ((v / (1 - BETA_2**t)) ** 0.5 + EPS)
        yield x


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("word", "expected"),
    [("adam", [*adam(False)]), ("amsgrad", [*adam(True)]), ("nadam", [*nadam()])],
)
def test_updates_are_those_of_the_paper(word, expected, fused):
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = chosen("optimizer", word, choices.OPTIMIZERS)([{"params": [x]}], LR, fused)
    found = []
    for gradient in GRADIENTS:
        x.grad = torch.full_like(x, gradient)
        optimizer.step()
        found.append(x.item())
    assert found == pytest.approx(expected, rel=1e-7)
