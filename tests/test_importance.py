"""Bounds on the likelihood against the likelihood itself, by enumeration of all 64 codes."""

import math
from dataclasses import replace

import pytest
import tiny
import torch

from vdib.estimator import StraightThrough
from vdib.importance import binarised, importance_bound, log_weights
from vdib.noise import EVALUATION, Noise
from vdib.objective import code_length, distortion

PIXELS = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)


def model():
    """Of three steps and two neurons, decoded once, from the last two steps."""
    made = tiny.bottleneck(StraightThrough())
    made.every_step, made.beta = False, 1.0
    return made.requires_grad_(False)


def joint(model, codes, r):
    """`log q(y) q(r | y)`, `(C,)`, from probabilities."""
    prior = torch.sigmoid(model.prior(codes))
    log_prior = torch.where(codes > 0.5, prior, 1 - prior).log().sum((1, 2))
    windows = codes[:, -2:].flatten(1)
    decoder = model.decoder
    hidden = torch.relu(windows @ decoder.hidden.weight.T + decoder.hidden.bias)
    p = torch.sigmoid(hidden @ decoder.head.weight.T + decoder.head.bias)
    return log_prior + torch.where(r > 0.5, p, 1 - p).log().sum(1)


def test_the_generative_model_sums_to_one():
    made, codes = model(), tiny.all_codes()
    images = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 3)
    total = sum(joint(made, codes, image).exp().sum() for image in images)
    assert float(total) == pytest.approx(1, abs=1e-12)


def test_weights_of_given_codes_are_their_ratios():
    made, codes = model(), tiny.all_codes()
    x, _ = tiny.example()
    log_p, _ = tiny.log_probability(made, x, codes)
    weights = log_weights(made, x, PIXELS, tiny.forcing(codes))
    assert weights.shape == (64, 1)
    torch.testing.assert_close(weights[:, 0], joint(made, codes, PIXELS) - log_p)


def test_one_code_costs_distortion_and_rate_on_average_over_codes():
    made, codes = model(), tiny.all_codes()
    x, _ = tiny.example()
    log_p, _ = tiny.log_probability(made, x, codes)
    each = [importance_bound(made, x, PIXELS, tiny.forcing(code[None])) for code in codes]
    mean = float(log_p.exp() @ torch.cat(each))
    # by the closed-form KL of every step, given the past
    _, code = tiny.log_probability(made, x, codes)
    kl = torch.special.xlogy  # p log p/q + (1 - p) log (1 - p)/(1 - q)
    p, q = torch.sigmoid(code.logits), torch.sigmoid(made.prior(codes))
    rate = (kl(p, p / q) + kl(1 - p, (1 - p) / (1 - q))).sum((1, 2))
    cost = distortion(made.decode(code), PIXELS.expand(64, -1)).sum(1)
    assert mean == pytest.approx(float(log_p.exp() @ (cost + rate)), rel=1e-9)
    assert mean > -float(torch.logsumexp(joint(made, codes, PIXELS), 0)) + 0.05


def test_several_codes_bound_the_likelihood_and_many_reach_it():
    made, codes = model(), tiny.all_codes()
    x, _ = tiny.example()
    exact = -float(torch.logsumexp(joint(made, codes, PIXELS), 0))
    ids = torch.arange(400)

    def bounds(num_codes):
        noise = Noise(0, EVALUATION, ids, num_codes)
        return importance_bound(made, x.expand(400, -1, -1), PIXELS.expand(400, -1), noise)

    few, more = bounds(2), bounds(50)
    for some in (few, more):  # above, but for four standard errors
        assert float(some.mean()) > exact - 4 * float(some.std()) / math.sqrt(400)
    assert float(few.mean()) > float(more.mean()) + 4 * float(few.std()) / math.sqrt(400)
    many = importance_bound(made, x, PIXELS, Noise(0, EVALUATION, ids[:1], 200_000))
    log_p, _ = tiny.log_probability(made, x, codes)
    square = float((2 * joint(made, codes, PIXELS) - log_p).exp().sum())  # E w^2; E w is p(r)
    error = math.sqrt((square * math.exp(2 * exact) - 1) / 200_000)
    assert error < 0.02
    assert float(many) == pytest.approx(exact, abs=4 * error)


def test_codes_are_compared_with_the_image_of_their_own_input():
    made = model()
    x, _ = tiny.example()
    both = torch.cat([x, tiny.example(seed=5)[0]])
    r = torch.cat([PIXELS, 1 - PIXELS])
    noise = Noise(3, EVALUATION, torch.tensor([4, 9]), 7)
    together = importance_bound(made, both, r, noise)
    for i in range(2):
        alone = replace(noise, ids=noise.ids[i : i + 1])
        torch.testing.assert_close(
            importance_bound(made, both[i : i + 1], r[i : i + 1], alone), together[i : i + 1]
        )


def test_binary_images_are_grey_ones_on_average():
    grey = torch.tensor([[0.0, 0.25, 0.9, 1.0]])
    noise = Noise(1, EVALUATION, torch.arange(4_000))
    drawn = binarised(grey.expand(4_000, -1), noise)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    error = torch.sqrt(grey[0] * (1 - grey[0]) / 4_000)
    assert ((drawn.mean(0) - grey[0]).abs() <= 4 * error).all()
    assert torch.equal(drawn[7:8], binarised(grey, replace(noise, ids=noise.ids[7:8])))
    # neither the pixels of an example nor its codes are each other's
    assert (drawn[:, 1].mul(drawn[:, 2]).mean() - 0.225).abs() < 0.03
    assert not torch.equal(drawn, binarised(grey.expand(4_000, -1), replace(noise, seed=2)))


def test_grey_cross_entropy_is_the_mean_over_binary_images():
    made = model()
    x, _ = tiny.example()
    grey = torch.tensor([[0.3, 0.9, 0.6]], dtype=torch.float64)
    noise = Noise(0, EVALUATION, torch.tensor([5]))
    mean = 0.0
    for image in torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 3):
        share = float(torch.where(image > 0.5, grey, 1 - grey).prod())
        mean += share * float(importance_bound(made, x, image[None], noise))
    code = made.encode(x, noise)
    log_ratio = code.log_prob().sum() + code_length(code.spikes, made.prior(code.spikes)).sum()
    grey_nats = distortion(made.decode(code), grey).sum()
    assert mean == pytest.approx(float(grey_nats + log_ratio), rel=1e-9)


def test_what_has_no_weights_is_refused():
    made = model()
    x, _ = tiny.example()
    noise = Noise(0, EVALUATION, torch.tensor([5]), 2)
    made.every_step = True
    with pytest.raises(ValueError, match="decoded once at the end"):
        log_weights(made, x, PIXELS, noise)
    made.every_step = False
    made.decoder.PROBABILITY = False
    with pytest.raises(ValueError, match="MLPDecoder has none"):
        log_weights(made, x, PIXELS, noise)
