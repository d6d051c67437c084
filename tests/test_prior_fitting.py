"""Priors fitted to frozen codes: what they come to, and which codes decide what."""

import pytest
import torch

from vdib.dynamics.filters import RaisedCosines
from vdib.noise import EVALUATION, Noise
from vdib.objective import code_length, rate
from vdib.prior import AutoregressivePrior, BernoulliPrior, MarginalPrior, draw_spikes
from vdib.prior_fitting import fit_prior, mean_nats
from vdib.spike_code import SpikeCode

STEPS, NEURONS = 12, 3


def source(seed=0):
    """A prior of strong dependences on the past, whose codes are to be described."""
    prior = AutoregressivePrior(NEURONS, 0.3, RaisedCosines(count=2, duration=5)).double()
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2 * NEURONS, NEURONS, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        prior.linear.weight.copy_(2 * weight)
    return prior.requires_grad_(False)


def fresh(rho=0.5):
    return AutoregressivePrior(NEURONS, rho, RaisedCosines(count=2, duration=5)).double()


def codes(num, first=0, prior=None):
    noise = Noise(0, EVALUATION, torch.arange(first, first + num))
    spikes = draw_spikes(prior or source(), num, STEPS, NEURONS, noise)
    return SpikeCode(spikes, None, stochastic=False)


def sampled(num, first=0):
    """Codes that also say how likely each spike was: a random walk of logits."""
    generator = torch.Generator().manual_seed(first)
    steps = torch.randn(num, STEPS, NEURONS, generator=generator, dtype=torch.float64)
    v = steps.cumsum(1) - 1
    u = torch.rand(v.shape, generator=generator, dtype=torch.float64)
    return SpikeCode((u < v.sigmoid()).double(), v)


def test_the_length_of_codes_comes_down_to_their_entropy():
    train, validation, test = codes(2000), codes(500, 2000), codes(1000, 2500)
    fitted = fit_prior(fresh(), train, validation, seed=0, lr=0.02)
    entropy = mean_nats(source(), test)  # its estimate from the same codes
    marginal = mean_nats(fit_prior(MarginalPrior(NEURONS).double(), train, validation, 0), test)
    assert mean_nats(fitted, test) < 1.01 * entropy
    assert marginal > 1.1 * entropy
    assert not any(parameter.requires_grad for parameter in fitted.parameters())


def test_a_marginal_of_a_sampled_code_is_the_mean_of_its_probabilities():
    train, validation = sampled(400), sampled(200, 1)
    fitted = fit_prior(MarginalPrior(NEURONS, num_steps=STEPS).double(), train, validation, 0)
    mean = train.logits.sigmoid().mean(0)
    logits = train.logits
    best = rate(logits, torch.logit(mean)).sum(1).mean()
    assert mean_nats(fitted, train) == pytest.approx(float(best), rel=1e-2)
    assert mean_nats(fitted, train) >= float(best) - 1e-9  # there is none better


def test_costs_are_means_over_codes_of_sums_over_weighted_steps():
    """Batches are of 100 codes: the last, smaller one counts as much per code."""
    prior, weights = source(), torch.linspace(0, 1, STEPS, dtype=torch.float64)
    code = codes(130)
    lengths = code_length(code.spikes, prior(code.spikes))
    assert mean_nats(prior, code) == pytest.approx(float(lengths.sum(1).mean()))
    weighted = float((weights * lengths).sum(1).mean())
    assert mean_nats(prior, code, weights) == pytest.approx(weighted)
    drawn = sampled(130)
    nats = rate(drawn.logits, prior(drawn.spikes)).sum(1).mean()
    assert mean_nats(prior, drawn) == pytest.approx(float(nats))


def test_sampled_codes_move_a_prior_as_their_rate_does():
    """What is minimised leaves out the code's own entropy: the updates are the rate's."""
    code, weights = sampled(80), torch.linspace(0.5, 1, STEPS, dtype=torch.float64)
    fitted = fit_prior(fresh(), code, code, 0, weights, max_epochs=5, lr=0.01)
    expected = fresh()
    expected.start_from(code.logits.sigmoid().mean(0))
    optimizer = torch.optim.Adam(expected.parameters(), 0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (weights * rate(code.logits, expected(code.spikes))).sum(1).mean().backward()
        optimizer.step()
    for got, wanted in zip(fitted.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(got, wanted.detach(), rtol=1e-6, atol=1e-9)


def test_only_weighted_steps_are_fitted():
    """The first half of every code is silent, the second is loud; only the first counts."""
    spikes = torch.zeros(200, STEPS, NEURONS, dtype=torch.float64)
    spikes[:, STEPS // 2 :] = 1
    spikes[::4, : STEPS // 2] = 1
    code = SpikeCode(spikes, None, stochastic=False)
    weights = (torch.arange(STEPS) < STEPS // 2).double()
    prior = fit_prior(
        MarginalPrior(NEURONS).double(), code, code, 0, weights, max_epochs=200, lr=0.05
    )
    torch.testing.assert_close(
        prior.logit.sigmoid(), torch.full_like(prior.logit, 0.25), rtol=0.02, atol=0
    )


def test_the_epoch_is_chosen_on_the_validation_codes():
    """Where those come from what it starts from, nothing that it learns is kept."""
    start = source(seed=1)
    same = fit_prior(start, codes(500), codes(500, prior=start), 0)
    assert torch.equal(same.linear.weight, start.linear.weight)
    moved = fit_prior(start, codes(500), codes(500, 500), 0)
    assert not torch.equal(moved.linear.weight, start.linear.weight)


def test_it_ends_when_nothing_gets_better(monkeypatch):
    passes = []
    permute = torch.randperm
    monkeypatch.setattr(torch, "randperm", lambda *a, **k: (passes.append(a), permute(*a, **k))[1])
    start = source(seed=1)
    fit_prior(start, codes(300), codes(300, prior=start), 0, patience=3)
    assert len(passes) == 3
    passes.clear()
    fit_prior(fresh(), codes(300), codes(300, 300), 0, max_epochs=4)
    assert len(passes) == 4


def test_the_seed_decides_and_the_given_prior_is_left_alone():
    train, validation, prior = codes(300), codes(100, 300), fresh()
    state = torch.get_rng_state()
    before = prior.linear.weight.clone()
    one, same, other = (
        fit_prior(prior, train, validation, seed, max_epochs=2) for seed in (0, 0, 1)
    )
    assert torch.equal(one.linear.weight, same.linear.weight)
    assert not torch.equal(one.linear.weight, other.linear.weight)
    assert torch.equal(prior.linear.weight, before)
    assert prior.linear.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


def test_what_has_nothing_to_learn_is_returned_as_it_is():
    fitted = fit_prior(BernoulliPrior(0.3), codes(100), codes(100, 100), 0)
    assert float(fitted.logit) == float(BernoulliPrior(0.3).logit)


def test_the_codes_of_one_class_make_a_prior_of_that_class():
    classes = [source(seed) for seed in (0, 1)]
    fits = [
        fit_prior(fresh(), codes(1000, prior=own), codes(300, 1000, own), 0, lr=0.02)
        for own in classes
    ]
    for own, other in ((0, 1), (1, 0)):
        seen = codes(500, 1300, classes[own])
        assert mean_nats(fits[own], seen) < mean_nats(fits[other], seen) - 1
