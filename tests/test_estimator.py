"""Every estimator against the exact gradient, by enumerating all codes of a tiny network."""

import itertools

import pytest
import tiny
import torch

from vdib.drawn import returns
from vdib.dynamics.filters import RaisedCosines
from vdib.dynamics.firing import Bernoulli, Concrete
from vdib.estimator import (
    ByScore,
    LeaveOneOut,
    RelaxedBernoulli,
    ScoreFunction,
    StraightThrough,
)
from vdib.lightning_modules.choices import PENALTIES
from vdib.network_prior import NetworkPrior
from vdib.noise import Noise


def expected_gradient(model, x, r):
    """`E_y g(y)` of a single-sample estimator's gradient g, every code weighted exactly."""
    codes = tiny.all_codes()
    weights = tiny.log_probability(model, x, codes)[0].exp().detach()
    total = 0
    for code, weight in zip(codes, weights, strict=True):
        loss, out = model.training_loss(x, r, tiny.forcing(code[None]))
        assert torch.equal(out.code.spikes[0], code)
        total = total + weight * tiny.gradient(model, loss)
    return total


def cosine(a, b):
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def theta(model, flat):
    """The encoder's part of a flat gradient."""
    return flat[: sum(p.numel() for p in model.encoder.parameters())]


class FixedBaseline(ByScore):
    """A score function whose baseline is frozen, to take expectations over single codes."""

    def __init__(self, baseline):
        super().__init__()
        self.fixed = baseline

    def advantage(self, returns):
        return returns - self.fixed


def test_score_function_has_the_exact_gradient_in_expectation():
    x, r = tiny.example()
    for baseline in (0.0, torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)):
        model = tiny.bottleneck(FixedBaseline(baseline))
        exact = tiny.gradient(model, tiny.exact_loss(model, x, r))
        assert exact.norm() > 0.1
        torch.testing.assert_close(expected_gradient(model, x, r), exact, rtol=1e-9, atol=1e-9)


def under_an_ordered_prior(estimator):
    """Whose rate of a step is taken given the spikes that were drawn in it."""
    model = tiny.bottleneck(estimator)
    model.prior = NetworkPrior(tiny.READOUT, 0.3, 4, RaisedCosines(2, 3), ordered=True).double()
    for weight in model.prior.parameters():
        torch.nn.init.normal_(weight, std=1.5)
    return model


def test_spikes_are_credited_with_their_own_step_under_an_ordered_prior():
    x, r = tiny.example()
    model = under_an_ordered_prior(FixedBaseline(0.5))
    exact = tiny.gradient(model, tiny.exact_loss(model, x, r))
    torch.testing.assert_close(expected_gradient(model, x, r), exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_are_credited_to_the_spikes(name):
    """Of which some cause them: the gradient is that of the expected penalty, by enumeration."""
    x, r = tiny.example()
    model, plain = (
        tiny.bottleneck(FixedBaseline(1.5), penalties=penalties)
        for penalties in ({name: (PENALTIES[name].part, 0.8)}, None)
    )
    exact = tiny.gradient(model, tiny.exact_loss(model, x, r))
    torch.testing.assert_close(expected_gradient(model, x, r), exact, rtol=1e-9, atol=1e-9)
    without = tiny.gradient(plain, tiny.exact_loss(plain, x, r))
    assert (exact - without).norm() > 0.05


def test_the_full_gradient_needs_both_terms():
    """Dropping what spikes do to later rates, or the pathwise term, is visibly wrong."""
    x, r = tiny.example()

    class NoLaterRates(FixedBaseline):
        def advantage(self, returns):
            return super().advantage(returns - self.rates_to_come)

    model = tiny.bottleneck(NoLaterRates(0.0))
    exact = theta(model, tiny.gradient(model, tiny.exact_loss(model, x, r)))
    codes = tiny.all_codes()
    weights = tiny.log_probability(model, x, codes)[0].exp().detach()
    total = 0
    for code, weight in zip(codes, weights, strict=True):
        noise = tiny.forcing(code[None])
        with torch.no_grad():
            kl = model(x, r, noise).rate
        model.estimator.rates_to_come = returns(torch.zeros_like(kl), model.beta * kl)
        total = total + weight * tiny.gradient(model, model.training_loss(x, r, noise)[0])
    assert (theta(model, total) - exact).norm() > 0.01 * exact.norm()


@pytest.mark.parametrize("make", [tiny.bottleneck, under_an_ordered_prior])
def test_leave_one_out_has_the_exact_gradient_in_expectation(make):
    x, r = tiny.example(steps=2)  # pairs of codes: 16 x 16
    model = make(LeaveOneOut(2))
    exact = tiny.gradient(model, tiny.exact_loss(model, x, r))
    codes = tiny.all_codes(steps=2)
    weights = tiny.log_probability(model, x, codes)[0].exp().detach()
    total = 0
    for i, j in itertools.product(range(len(codes)), repeat=2):
        loss, _ = model.training_loss(x, r, tiny.forcing(codes[[i, j]]))
        total = total + weights[i] * weights[j] * tiny.gradient(model, loss)
    torch.testing.assert_close(total, exact, rtol=1e-9, atol=1e-9)


def test_leave_one_out_varies_less_where_inputs_differ_in_cost():
    """By 40 nats a step, whatever the code: an average over inputs leaves that to every spike."""
    x, r = (given.expand(8, -1, -1) for given in tiny.example())

    def own_cost(code):
        dear = torch.arange(len(code.hidden[0])) % 2
        return dear.double()[:, None].expand(-1, tiny.STEPS)

    variances = []
    for estimator in (ScoreFunction(3), LeaveOneOut(2)):
        model = tiny.bottleneck(estimator, penalties={"own_cost": (own_cost, 40.0)})
        some = slice(0, 8 // estimator.num_samples)  # eight codes a step for both
        ids = torch.arange(8)[some]
        grads = [
            theta(model, tiny.gradient(model, model.training_loss(x[some], r[some], noise)[0]))
            for noise in (Noise(0, step, ids) for step in range(120))
        ]
        variances.append(float(torch.stack(grads[20:]).var(0).sum()))
    assert variances[1] < 0.7 * variances[0]


def test_straight_through_is_biased_but_points_the_right_way():
    """Measured cosine with the exact encoder gradient on this network: see the bounds."""
    x, r = tiny.example()
    model = tiny.bottleneck(StraightThrough())
    exact = tiny.gradient(model, tiny.exact_loss(model, x, r))
    expected = expected_gradient(model, x, r)
    angle = cosine(theta(model, expected), theta(model, exact))
    assert 0.5 < angle < 0.9999
    # The decoder's and the prior's gradients are not approximated, the encoder's is.
    own = len(theta(model, exact))
    prior = sum(p.numel() for p in model.prior.parameters())
    torch.testing.assert_close(expected[own:-prior], exact[own:-prior], rtol=1e-9, atol=1e-9)


def test_relaxed_spikes_tend_to_the_hard_ones_on_the_same_noise():
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(1000, generator=generator, dtype=torch.float64)
    noise = torch.rand(1000, generator=generator, dtype=torch.float64)
    soft = Concrete(1e-4)(v, noise)
    assert ((soft - Bernoulli()(v, noise)).abs() < 1e-6).float().mean() > 0.99


def test_returns_count_what_spikes_may_still_change():
    d = torch.tensor([[1.0, 2.0, 4.0]])
    kl = torch.tensor([[10.0, 20.0, 40.0]])
    torch.testing.assert_close(returns(d, 0.5 * kl), torch.tensor([[37.0, 26.0, 4.0]]))


def test_the_baseline_holds_earlier_batches_only():
    estimator = ScoreFunction(1, momentum=0.5)
    seen = [estimator.advantage(torch.tensor([a, b])) for a, b in (([4.0], [8.0]), ([7.0], [9.0]))]
    assert seen[0].flatten().tolist() == [4.0, 8.0]  # nothing seen yet
    assert seen[1].flatten().tolist() == [1.0, 3.0]  # mean of 6 alone
    expected = 1.0 - (0.25 * 6 + 0.5 * 8) / 0.75
    assert estimator.advantage(torch.ones(2, 1)).tolist() == [[pytest.approx(expected)]] * 2


def test_errors_name_the_setting():
    with pytest.raises(ValueError, match="at least two codes"):
        LeaveOneOut(1)
    with pytest.raises(ValueError, match="temperature"):
        RelaxedBernoulli(0.0)
