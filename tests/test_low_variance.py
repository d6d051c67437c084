"""Estimators of low variance, exactly: means and variances over all that may be drawn.

Of a tiny network, in float64: codes, pairs of codes and antithetic pairs are enumerated, and noise
that matters beyond the spike it makes is integrated by quadrature. Ratios of variances are those of
this network; each is stated where it is tested.
"""

import itertools

import numpy as np
import pytest
import tiny
import torch
from suites import disturbed

from vdib.disarm import DisARM
from vdib.estimator import ByScore, LeaveOneOut
from vdib.noise import Noise
from vdib.relax import Relax
from vdib.vimco import VIMCO

STEPS = 2


class Score(ByScore):
    """The score function with one baseline per step, chosen by whoever asks."""

    def __init__(self, baseline=0.0):
        super().__init__()
        self.baseline = baseline

    def advantage(self, returns):
        return returns - self.baseline


def theta(model, flat):
    return flat[: sum(p.numel() for p in model.encoder.parameters())]


def exact(model, loss):
    return theta(model, tiny.gradient(model, loss))


def moments(model, x, r, outcomes, weights):
    """Mean and total variance of the encoder's gradient over outcomes of the noise."""
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0).double())
    grads = torch.stack([exact(model, model.training_loss(x, r, noise)[0]) for noise in outcomes])
    mean = weights @ grads
    return mean, float(weights @ (grads - mean).square().sum(1))


def of_codes(model, x, r, count):
    """`moments` over all tuples of so many independent codes."""
    codes = tiny.all_codes(STEPS)
    p = tiny.log_probability(model, x, codes)[0].exp().detach()
    tuples = [list(some) for some in itertools.product(range(len(codes)), repeat=count)]
    weights = torch.stack([p[some].prod() for some in tuples])
    return moments(model, x, r, [tiny.forcing(codes[some]) for some in tuples], weights)


# --- DisARM -----------------------------------------------------------------------------------


def of_pairs(model, x, r):
    """`moments` over antithetic pairs: of each spike only the first, only the other, both alike."""
    p = torch.sigmoid(tiny.drive(model.encoder, x)[0].detach()[0])  # T, N
    apart = torch.minimum(p, 1 - p)
    outcomes, weights = [], []
    for kinds in itertools.product(range(3), repeat=p.numel()):
        kind = torch.tensor(kinds).view_as(p)
        u = torch.tensor([1e-12, 1 - 1e-12, 0.5]).double()[kind]
        outcomes.append(torch.stack([u, 1 - u]))
        weights.append(torch.where(kind == 2, 1 - 2 * apart, apart).prod())
    return moments(model, x, r, outcomes, torch.stack(weights))


def test_disarm_is_unbiased_and_varies_less_than_two_independent_codes():
    x, r = tiny.example(steps=STEPS)
    model = tiny.bottleneck(DisARM())
    mean, variance = of_pairs(model, x, r)
    torch.testing.assert_close(mean, exact(model, tiny.exact_loss(model, x, r)))
    model.estimator = LeaveOneOut(2)
    other, independent = of_codes(model, x, r, 2)
    torch.testing.assert_close(mean, other)
    model.estimator = Score()
    alone = of_codes(model, x, r, 1)[1] / 2  # of two codes
    assert variance / independent == pytest.approx(0.78, abs=0.01)
    assert variance / alone == pytest.approx(0.30, abs=0.01)


def test_disarm_over_several_pairs_and_inputs_is_their_mean():
    model = tiny.bottleneck(DisARM(2))
    x, r = (torch.cat(both) for both in zip(tiny.example(1), tiny.example(2), strict=True))
    noise = Noise(3, 0, torch.tensor([5, 9]))
    whole = tiny.gradient(model, model.training_loss(x, r, noise)[0])
    u = noise.with_samples(4, antithetic=True).uniform(1, tiny.STEPS, (tiny.READOUT,))
    assert torch.equal(u[:4], noise.with_samples(2).uniform(1, tiny.STEPS, (tiny.READOUT,)))
    assert torch.equal(u[4:], 1 - u[:4])
    model.estimator, parts = DisARM(), []
    for pair, one in itertools.product(range(2), range(2)):
        some, own = slice(one, one + 1), [2 * pair + one, 4 + 2 * pair + one]
        parts.append(tiny.gradient(model, model.training_loss(x[some], r[some], u[own])[0]))
    torch.testing.assert_close(whole, torch.stack(parts).mean(0))


def test_disarm_refuses_spikes_that_feed_back():
    with pytest.raises(ValueError, match=r"own spikes: --model.readout_settings '\{feedback: fals"):
        DisARM().check(tiny.encoder().readout)
    with pytest.raises(ValueError, match="in pairs, got 0"):
        DisARM(0)
    drive, noise = torch.randn(2, 64, 5, 2).double(), torch.rand(64, 5, 2).double()
    felt, free = (
        tiny.encoder(feedback=feedback).readout.respond(drive[0], None, noise)[1]
        for feedback in (True, False)
    )
    assert torch.equal(free, drive[0])
    assert not torch.equal(felt, drive[0])


# --- VIMCO ------------------------------------------------------------------------------------


class Unaided(VIMCO):
    """The same objective, and no baseline."""

    def without(self, costs):
        return torch.zeros_like(costs)


def test_vimco_has_the_gradient_of_its_bound_and_varies_less_for_its_baseline():
    x, r = tiny.example(steps=STEPS)
    model = tiny.bottleneck(VIMCO(2))
    bounds = [tiny.exact_bound(model, x, r, count) for count in (1, 2, 4)]
    torch.testing.assert_close(bounds[0], tiny.exact_loss(model, x, r))
    assert bounds[0] > bounds[1] + 0.01 > bounds[2] + 0.02
    wanted = exact(model, bounds[1])
    mean, variance = of_codes(model, x, r, 2)
    torch.testing.assert_close(mean, wanted)
    assert (wanted - exact(model, bounds[0])).norm() > 0.1 * wanted.norm()
    model.estimator = Unaided(2)
    same, unaided = of_codes(model, x, r, 2)
    torch.testing.assert_close(same, wanted)
    assert variance / unaided == pytest.approx(0.09, abs=0.005)


def test_vimco_leaves_each_code_out_step_by_step():
    generator = torch.Generator().manual_seed(0)
    costs = 2 * torch.rand(3, 2, 4, generator=generator, dtype=torch.float64)
    found = VIMCO(3).without(costs)
    for k, b, t in itertools.product(range(3), range(2), range(4)):
        others = [j for j in range(3) if j != k]
        instead = costs[k, b, :t].sum() + costs[others, b, t:].sum() / 2
        totals = torch.stack([*costs[others, b].sum(1), instead])
        torch.testing.assert_close(found[k, b, t], -torch.exp(-totals).mean().log())


def test_a_batch_of_vimco_is_the_mean_over_its_inputs():
    """Each with codes of its own, which stay together."""
    model = tiny.bottleneck(VIMCO(3))
    x, r = (torch.cat(both) for both in zip(tiny.example(1), tiny.example(2), strict=True))
    whole, out = model.training_loss(x, r, Noise(3, 0, torch.tensor([5, 9])))
    assert len(out.rate) == 6
    torch.testing.assert_close(
        out.loss(0.7), (out.distortion.sum(1) + 0.7 * out.rate.sum(1)).mean()
    )
    parts = [
        model.training_loss(x[i : i + 1], r[i : i + 1], Noise(3, 0, torch.tensor([id])))[0]
        for i, id in enumerate((5, 9))
    ]
    mean = torch.stack([tiny.gradient(model, part) for part in parts]).mean(0)
    torch.testing.assert_close(tiny.gradient(model, whole), mean)
    with pytest.raises(ValueError, match="at least two codes, got 1"):
        VIMCO(1)


# --- RELAX ------------------------------------------------------------------------------------


def quadrature(model, x, count):
    """Noise `(R, T, N)` and weights `(R,)` that integrate what is smooth but for the spikes."""
    at, weight = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(count))
    at, weight = (at + 1) / 2, weight / 2
    drive = tiny.drive(model.encoder, x)[0].detach()
    noise, weights = torch.full((1, STEPS, tiny.READOUT), 0.5).double(), torch.ones(1).double()
    for t, n in itertools.product(range(STEPS), range(tiny.READOUT)):
        rows = drive.expand(len(noise), -1, -1)
        _, v = model.encoder.readout.respond(rows, None, noise)
        p = torch.sigmoid(v[:, t, n]).detach()[:, None]
        u = torch.cat([p * at, p + (1 - p) * at], 1)
        w = torch.cat([p * weight, (1 - p) * weight], 1)
        noise = noise[:, None].repeat(1, 2 * count, 1, 1)
        noise[:, :, t, n] = u
        noise, weights = noise.flatten(0, 1), (weights[:, None] * w).flatten()
    return noise, weights


def relaxed_model():
    """With averages of earlier batches, and a network of any weights."""
    estimator = disturbed(Relax(STEPS, tiny.READOUT), 0.7)
    for name, value in (("mean", [3.0, 1.0]), ("square", [13.0, 5.0]), ("weight", 1.0)):
        setattr(estimator, name, torch.tensor(value))
    return tiny.bottleneck(estimator)


def test_relax_is_unbiased_whatever_its_network():
    x, r = tiny.example(steps=STEPS)
    model = relaxed_model()
    noise, weights = quadrature(model, x, 8)
    many = [given.expand(len(noise), -1, -1) for given in (x, r)]
    drawn, _ = model.draw(*many, noise)
    c = drawn.returns - model.estimator.signal(drawn, drawn.returns, torch.ones(2)).sum(2)
    assert c.std() > 0.1
    found = exact(model, weights @ model.estimator.loss(drawn))
    wanted = exact(model, tiny.exact_loss(model, x, r))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_relax_learns_to_vary_less_than_the_score_function():
    """At the logits, whose variance it is that the network makes small; exactly, by quadrature."""
    x, r = tiny.example(steps=STEPS)
    model = relaxed_model()

    def drawn(count):
        """Codes, weights, and returns less the best baselines that know no code."""
        noise, weights = quadrature(model, x, count)
        codes, _ = model.draw(*(given.expand(len(noise), -1, -1) for given in (x, r)), noise)
        return codes, weights, codes.returns - weights @ codes.returns

    codes, weights, returns = drawn(4)
    deviation = (weights @ returns.square()).sqrt()
    optimiser = torch.optim.Adam(model.estimator.parameters(), 0.02)
    for _ in range(150):
        signal = model.estimator.signal(codes, returns, deviation)
        second = weights @ signal.square().sum((1, 2))
        optimiser.zero_grad()
        second.backward()
        optimiser.step()
    codes, weights, returns = drawn(7)
    signal = model.estimator.signal(codes, returns, deviation).detach().flatten(1)
    score = (codes.code.spikes - codes.code.logits.sigmoid()) * returns[:, :, None]
    score = score.detach().flatten(1)
    mean = weights @ score
    torch.testing.assert_close(weights @ signal, mean, rtol=1e-3, atol=1e-3)
    variances = [float(weights @ (part - mean).square().sum(1)) for part in (signal, score)]
    assert variances[0] / variances[1] == pytest.approx(0.58, abs=0.01)


def test_relax_learns_along_with_the_model_and_moves_nothing_else():
    """Its term of the loss has a gradient for its network alone."""
    x, r = tiny.example(steps=STEPS)
    model = relaxed_model()
    drawn, _ = model.draw(x, r, Noise(0, 0, torch.tensor([1])))
    own = list(model.estimator.parameters())
    deviation = torch.tensor([2.0, 2.0]).double()
    centred = drawn.returns - torch.tensor([3.0, 1.0])
    signal = model.estimator.signal(drawn, centred, deviation)
    wanted = torch.autograd.grad((signal / deviation[:, None]).square().sum(), own)
    loss = model.estimator.loss(drawn).sum()
    found = torch.autograd.grad(loss, own, retain_graph=True)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
    through = drawn.costs.sum() + (drawn.code.logits * signal.detach()).sum()
    left = tiny.gradient(model, loss - through)  # of what moves the model
    torch.testing.assert_close(left, torch.zeros_like(left))
    with pytest.raises(ValueError, match="num_steps: got 2, the data have 3"):
        model.training_loss(*tiny.example(), Noise(0, 0, torch.tensor([1])))
    with pytest.raises(ValueError, match="the temperature must be positive, got 0"):
        Relax(2, 2, temperature=0)
