"""Prior codes: where they start, what they may see, and that they learn."""

import math

import pytest
import tiny
import torch

from vdib.dynamics.filters import RaisedCosines
from vdib.noise import EVALUATION, PRIOR, Noise
from vdib.objective import code_length
from vdib.prior import AutoregressivePrior, BernoulliPrior, MarginalPrior, draw_spikes

BATCH, STEPS, NEURONS = 3, 9, 4
RHO = 0.2
LOGIT = math.log(0.2 / 0.8)


def spike_train():
    return tiny.spike_train(BATCH, STEPS, NEURONS, rate=0.4)


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def autoregressive(scrambled=True):
    prior = AutoregressivePrior(NEURONS, RHO, RaisedCosines(count=2, duration=5)).double()
    if scrambled:
        with torch.no_grad():
            prior.linear.weight.copy_(draw(2 * NEURONS, NEURONS))
            prior.logit.copy_(draw(NEURONS, seed=2))
    return prior


def test_the_bernoulli_prior_has_nothing_to_learn():
    prior = BernoulliPrior(RHO)
    assert not list(prior.parameters())
    assert float(prior.state_dict()["logit"]) == pytest.approx(LOGIT)


@pytest.mark.parametrize("num_steps", [1, STEPS])
def test_the_marginal_is_one_number_per_step_and_neuron(num_steps):
    prior = MarginalPrior(NEURONS, RHO, num_steps).double()
    own = draw(num_steps, NEURONS)
    with torch.no_grad():
        prior.logit.copy_(own)
    upstream = draw(BATCH, STEPS, NEURONS, seed=3)
    logits = prior(spike_train()).expand(BATCH, STEPS, NEURONS)
    assert torch.equal(logits, own.expand(BATCH, STEPS, NEURONS))
    (grad,) = torch.autograd.grad((logits * upstream).sum(), prior.logit)
    expected = upstream.sum(0) if num_steps > 1 else upstream.sum((0, 1))[None]
    torch.testing.assert_close(grad, expected)


def test_a_marginal_fits_the_rates_it_is_shown():
    # The best logits of an independent prior are those of the empirical rates.
    spikes = spike_train()
    prior = MarginalPrior(NEURONS, RHO).double()
    rates = spikes.mean((0, 1))
    with torch.no_grad():
        prior.logit.copy_(torch.log(rates / (1 - rates))[None])
    nats = torch.nn.functional.binary_cross_entropy_with_logits(
        prior(spikes).expand_as(spikes), spikes, reduction="sum"
    )
    (grad,) = torch.autograd.grad(nats, prior.logit)
    torch.testing.assert_close(grad, torch.zeros_like(grad), rtol=0, atol=1e-12)


def past(spikes, kernel):
    """`(nu_k * y_j)[t - 1]`, `(K, B, T, N)`."""
    out = torch.zeros(len(kernel), *spikes.shape, dtype=spikes.dtype)
    for k, nu in enumerate(kernel):
        for t in range(spikes.shape[1]):
            for lag in range(min(t, len(nu))):
                out[k, :, t] += nu[lag] * spikes[:, t - 1 - lag]
    return out


def test_the_autoregressive_prior_is_its_equation():
    prior, spikes = autoregressive(), spike_train()
    filtered = past(spikes, prior.filter.impulse_response(STEPS))
    a = prior.linear.weight.view(2, NEURONS, NEURONS)  # k, i, j
    expected = prior.logit + torch.einsum("kij,kbtj->bti", a, filtered)
    torch.testing.assert_close(prior(spikes), expected)


def test_the_autoregressive_prior_sees_the_past_only():
    prior, spikes = autoregressive(), spike_train()
    before = prior(spikes)
    for t in range(STEPS):
        for j in range(NEURONS):
            changed = spikes.clone()
            changed[:, t, j] = 1 - changed[:, t, j]
            moved = (prior(changed) - before).abs()
            torch.testing.assert_close(
                moved[:, : t + 1], torch.zeros(BATCH, t + 1, NEURONS).double()
            )
            if t + 1 < STEPS:
                assert (moved[:, t + 1] > 1e-3).all()


def test_the_autoregressive_prior_learns_from_its_past():
    prior, spikes = autoregressive(scrambled=False), spike_train()
    upstream = draw(BATCH, STEPS, NEURONS, seed=3)
    grads = torch.autograd.grad((prior(spikes) * upstream).sum(), list(prior.parameters()))
    by_name = dict(zip((name for name, _ in prior.named_parameters()), grads, strict=True))
    filtered = past(spikes, prior.filter.impulse_response(STEPS))
    weight = torch.einsum("bti,kbtj->kij", upstream, filtered).flatten(0, 1)
    torch.testing.assert_close(by_name["linear.weight"], weight)
    torch.testing.assert_close(by_name["logit"], upstream.sum((0, 1)))


def test_soft_spikes_receive_the_gradient_of_later_steps():
    prior, spikes = autoregressive(), spike_train().requires_grad_()
    upstream = draw(BATCH, STEPS, NEURONS, seed=3)
    (grad,) = torch.autograd.grad((prior(spikes) * upstream).sum(), spikes)
    kernel = prior.filter.impulse_response(STEPS)
    a = prior.linear.weight.detach().view(2, NEURONS, NEURONS)
    expected = torch.zeros_like(grad)
    for t in range(STEPS):
        for later in range(t + 1, min(STEPS, t + 1 + kernel.shape[1])):
            for k in range(2):
                expected[:, t] += kernel[k, later - 1 - t] * (upstream[:, later] @ a[k])
    torch.testing.assert_close(grad, expected)


def test_a_marginal_per_step_refuses_other_lengths():
    with pytest.raises(ValueError, match=f"the prior has 5 steps, the code {STEPS}"):
        MarginalPrior(NEURONS, RHO, num_steps=5)(spike_train())


def test_draws_come_as_often_as_the_prior_says():
    """A chi-square test over all codes of three steps of two neurons, alpha = 1e-3."""
    prior = AutoregressivePrior(2, 0.4, RaisedCosines(count=2, duration=3)).double()
    with torch.no_grad():
        prior.linear.weight.copy_(draw(4, 2))
    prior.requires_grad_(False)
    codes = tiny.all_codes()
    expected = torch.exp(-code_length(codes, prior(codes)).sum(1))
    num = 20_000
    drawn = draw_spikes(prior, num, 3, 2, Noise(0, EVALUATION, torch.arange(num)))
    place = (drawn.flatten(1) @ 2.0 ** torch.arange(5, -1, -1, dtype=torch.float64)).long()
    assert torch.equal(codes[place], drawn)
    counts = torch.bincount(place, minlength=64)
    statistic = ((counts - num * expected).square() / (num * expected)).sum()
    assert float(statistic) < 103.4  # of 63 degrees of freedom
    uniform = num / 64
    assert float(((counts - uniform).square() / uniform).sum()) > 1000  # it would notice


def test_noise_of_another_number_of_codes_is_refused():
    noise = Noise(0, EVALUATION, torch.arange(3))
    with pytest.raises(ValueError, match="got 3 rows, expected 4"):
        draw_spikes(BernoulliPrior(RHO), 4, STEPS, NEURONS, noise)


def test_a_marginal_per_step_draws_each_step_and_no_more():
    prior = MarginalPrior(NEURONS, RHO, num_steps=2).double()
    with torch.no_grad():
        prior.logit.copy_(draw(2, NEURONS))
    noise = Noise(0, EVALUATION, torch.arange(50))
    drawn = draw_spikes(prior, 50, 2, NEURONS, noise)
    assert torch.equal(
        drawn, (noise.uniform(PRIOR, 2, (NEURONS,)) < prior.logit.sigmoid()).double()
    )
    with pytest.raises(ValueError, match="the prior has 2 steps, the code more"):
        draw_spikes(prior, 50, 3, NEURONS, noise)
