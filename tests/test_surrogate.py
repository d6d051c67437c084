"""Surrogate derivatives against their formulas, and where the scan's backward uses them."""

import math

import pytest
import torch

from vdib.dynamics.feedback import ExponentialFeedback
from vdib.dynamics.firing import Threshold
from vdib.dynamics.scan import scan
from vdib.dynamics.surrogate import arctan, boxcar, exponential, fast_sigmoid, gaussian, sigmoid


def logistic(z):
    return 1 / (1 + math.exp(-z))


# (surrogate, its parameters, its formula with those parameters written in, its integral)
CASES = {
    "boxcar": (boxcar, {}, lambda v: 1.0 if abs(v) <= 0.5 else 0.0, 1),
    "wide boxcar": (boxcar, {"width": 2.0}, lambda v: 0.25 if abs(v) <= 2 else 0.0, 1),
    "sigmoid": (sigmoid, {}, lambda v: 4 * logistic(4 * v) * logistic(-4 * v), 1),
    "steep sigmoid": (sigmoid, {"slope": 9.0}, lambda v: 9 * logistic(9 * v) * logistic(-9 * v), 1),
    "arctan": (arctan, {}, lambda v: 1 / (1 + (math.pi * v) ** 2), 1),
    "wide arctan": (arctan, {"alpha": 0.5}, lambda v: 0.25 / (1 + (math.pi * v / 4) ** 2), 1),
    "fast sigmoid": (fast_sigmoid, {}, lambda v: 1 / (1 + 5 * abs(v)) ** 2, 2 / 5),
    "steep fast sigmoid": (
        fast_sigmoid,
        {"slope": 25.0},
        lambda v: 1 / (1 + 25 * abs(v)) ** 2,
        2 / 25,
    ),
    "gaussian": (
        gaussian,
        {},
        lambda v: math.exp(-(v**2) / 0.32) / math.sqrt(2 * math.pi * 0.16),
        1,
    ),
    "wide gaussian": (
        gaussian,
        {"std": 2.0},
        lambda v: math.exp(-(v**2) / 8) / math.sqrt(8 * math.pi),
        1,
    ),
    "exponential": (exponential, {}, lambda v: math.exp(-2 * abs(v)), 1),
    "scaled exponential": (
        exponential,
        {"a": 3.0, "b": 0.5},
        lambda v: 3 * math.exp(-abs(v) / 2),
        12,
    ),
}
cases = pytest.mark.parametrize(
    ("surrogate", "parameters", "formula", "integral"), CASES.values(), ids=list(CASES)
)


@cases
def test_surrogate_is_its_formula(surrogate, parameters, formula, integral):
    points = [-30.0, -2.0, -1.0, -0.51, -0.5, -0.1, 0.0, 0.03, 0.5, 0.7, 2.0, 4.0, 30.0]
    value = surrogate(torch.tensor(points, dtype=torch.float64), **parameters)
    expected = torch.tensor([formula(v) for v in points], dtype=torch.float64)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-15)


@cases
def test_surrogate_integrates_to_what_its_name_says(surrogate, parameters, formula, integral):
    # Midpoint rule in z with v = tan(pi z / 2), which reaches the Cauchy tails; the boxcar's jump
    # limits it to one cell.
    cells = 200_001
    z = (torch.arange(cells, dtype=torch.float64) + 0.5) * 2 / cells - 1
    v = torch.tan(math.pi / 2 * z)
    mass = surrogate(v, **parameters) * (math.pi / 2) * (1 + v**2) * (2 / cells)
    assert float(mass.sum()) == pytest.approx(integral, rel=1e-4)


def test_threshold_fires_strictly_above_it():
    v = torch.tensor([-1.0, -1e-300, 0.0, 1e-300, 5.0], dtype=torch.float64)
    spikes = Threshold()(v, noise=torch.full_like(v, 0.5))
    assert spikes.tolist() == [0, 0, 0, 1, 1]
    assert spikes.dtype == torch.float64


@cases
def test_scan_goes_backward_through_the_surrogate(surrogate, parameters, formula, integral):
    points = [-1.7, -0.3, 0.0, 0.2, 0.9]
    drive = torch.tensor(points, dtype=torch.float64)[None, None].requires_grad_()
    upstream = torch.tensor([1.0, -2.0, 0.5, 3.0, 1.5], dtype=torch.float64)

    def bound(v):
        return surrogate(v, **parameters)

    spikes, _ = scan(
        drive, torch.ones(5, dtype=torch.float64), ExponentialFeedback(), Threshold(bound)
    )
    (grad,) = torch.autograd.grad((spikes * upstream).sum(), drive)
    expected = [float(g) * formula(v) for g, v in zip(upstream, points, strict=True)]
    torch.testing.assert_close(grad[0, 0], torch.tensor(expected, dtype=torch.float64))
