"""Particle filters against the forward algorithm, and for what each claims in expectation."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from vdib.datasets.drifting_blobs import PUBLISHED, DriftingBlobs
from vdib.dynamics.filters import RaisedCosines
from vdib.encoder import SpikingEncoder
from vdib.information.bounds import FLATTENED, Filters, filters, guide_of
from vdib.information.encoder_state import Given, batch_axes, take
from vdib.information.particles import ancestors_of, log_marginal
from vdib.information.point_process import PointProcess, cosines, lags
from vdib.information.processes import Blobs, MarkovChain, simulate, symmetric_chain
from vdib.neurons.srm import srm, stochastic_srm
from vdib.neurons.synapses import dense
from vdib.noise import Noise

CHAIN = symmetric_chain(1, 0.8, torch.float64)


def encoder(num_inputs=1, num_readout=2, seed=0, hidden=()):
    """Strong weights and feedback, a memory of three steps, float64."""
    torch.manual_seed(seed)
    layers, below = [], num_inputs
    for size in hidden:
        layers.append(srm(*dense((below,), size)))
        below = size
    readout = stochastic_srm(*dense((below,), num_readout), RaisedCosines(2, 3))
    for weight in readout.parameters():
        torch.nn.init.normal_(weight, std=2.0)
    return SpikingEncoder(layers, readout).double()


@torch.no_grad()
def forward_algorithm(network, y):
    """`log p(y^T)` of one sequence, exactly: the state is the input of the last three steps."""
    response = network.readout.expansion(100).response[0]  # L N_y
    assert len(response) == 3
    own = network.readout.given(torch.zeros_like(y)[None], y[None])[0]
    constant = network.readout.drive(torch.zeros(1, 1, 1, dtype=torch.float64))[0, 0]
    states = list(itertools.product((0, 1), repeat=3))  # x[t], x[t-1], x[t-2]
    alpha = dict.fromkeys(states, 0.0)
    for t in range(len(y)):
        after = dict.fromkeys(states, 0.0)
        for now, last, before in states:
            if t == 0:
                p = 0.5 if (last, before) == (0, 0) else 0.0
            else:
                p = sum(alpha[last, before, oldest] for oldest in (0, 1))
                p = p * float(CHAIN.transition[last, now])
            v = constant + own[t] + now * response[0] + last * response[1] + before * response[2]
            after[now, last, before] = p * float((y[t] * v - softplus(v)).sum().exp())
        alpha = after
    return math.log(sum(alpha.values()))


def drawn(network, process, count, num_steps, seed=0):
    x = simulate(process, Noise(seed, -2, torch.arange(count)), num_steps)
    with torch.no_grad():
        return x, network(x.spikes, Noise(seed, -3, torch.arange(count))).spikes


def test_filters_enclose_the_forward_algorithm():
    network, count = encoder(seed=1), 100
    x, y = drawn(network, CHAIN, count, 30)
    exact = torch.tensor([forward_algorithm(network, one) for one in y[:12]], dtype=torch.float64)

    def estimates(num_particles):
        return [
            log_marginal(
                network, CHAIN, y, num_particles, Noise(0, step, torch.arange(count)), kept
            )
            for step, kept in ((-4, None), (-5, x))
        ]

    (low, high), (lower, higher) = estimates(200), estimates(3)
    for found in (low, high):
        assert (found[:12] - exact).abs().max() < 0.9  # of 33 nats
        assert abs(float((found[:12] - exact).mean())) < 0.25
    assert lower.mean() + 0.1 < low.mean() < high.mean() + 0.05
    assert high.mean() < higher.mean() - 0.1


def test_estimates_are_without_bias_where_they_claim_it():
    """`E p^ = p` of the bootstrap filter, `E 1 / p^ = 1 / p` of the conditional one; 4 sigma."""
    network, count = encoder(seed=1), 3000
    x, y = drawn(network, CHAIN, count, 5)
    codes, which = torch.unique(y.flatten(1), dim=0, return_inverse=True)
    known = [forward_algorithm(network, one.view(5, 2)) for one in codes]
    exact = torch.tensor(known, dtype=torch.float64)[which]
    for step, kept, sign in ((-4, None, 1), (-5, x, -1)):
        found = log_marginal(network, CHAIN, y, 3, Noise(0, step, torch.arange(count)), kept)
        ratio = (sign * (found - exact)).exp()
        assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(count)
        wrong = (-sign * (found - exact)).exp().mean()
        assert wrong > 1.02  # few particles: the other one is far off


def test_rows_of_filters_lie_on_their_sides_of_the_truth():
    """With three particles both miss what the same codes tell, each its own way; 4 sigma."""
    network, count = encoder(seed=1), 300
    x, y = drawn(network, CHAIN, count, 5)
    with torch.no_grad():
        code = network(x.spikes, Noise(0, -3, torch.arange(count)), drive=True)
    codes, which = torch.unique(y.flatten(1), dim=0, return_inverse=True)
    marginal = torch.tensor([forward_algorithm(network, one.view(5, 2)) for one in codes])
    exact = (code.log_prob().sum(1) - marginal[which]).numpy()
    both = Filters(network, CHAIN, 3, seed=0)
    ones = np.ones((1, count))
    for row, terms, side in zip(both.rows(x, code), both.terms(x, code), (1, -1), strict=True):
        away = side * (terms.numpy() - exact)
        assert away.mean() > 4 * away.std() / math.sqrt(count)
        assert row.side == ("above" if side == 1 else "below")
        assert float(row.statistic(ones)[0]) == pytest.approx(float(terms.mean()))


def test_sequences_are_filtered_alike_in_parts(monkeypatch):
    """Whatever goes through the encoder at a time: inputs, codes and noise stay together."""
    network = encoder(seed=1)
    x, _ = drawn(network, CHAIN, 7, 5)
    with torch.no_grad():
        code = network(x.spikes, Noise(0, -3, torch.arange(7)), drive=True)
    both = Filters(network, CHAIN, 4, seed=0)
    whole = both.terms(x, code)
    monkeypatch.setattr("vdib.information.bounds.ROWS", 12)  # three sequences of four particles
    for found, expected in zip(both.terms(x, code), whole, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_particle_that_is_kept_is_kept():
    w = torch.tensor([[1e-9, 0.5, 0.5], [0.2, 0.8, 0.0]])
    u = torch.tensor([[0.9, 0.9, 0.1], [0.1, 0.1, 0.99]])
    assert ancestors_of(w, u, True).tolist() == [[0, 2, 1], [0, 0, 1]]
    assert ancestors_of(w, u, False).tolist() == [[2, 2, 1], [0, 0, 1]]


def test_rows_of_any_state_follow_their_particles():
    """Hidden layers keep the batch first, raised cosines second: both go with their rows."""
    network = encoder(2, hidden=(4,))
    x = (torch.rand(5, 6, 2, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    y = (torch.rand(5, 6, 2, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    at = torch.tensor([4, 4, 0, 2, 1])
    axes, state = batch_axes(network), None
    with torch.no_grad():
        for t in range(3):
            _, state = network.step(x[:, t], state, y[:, t], Given())
        moved, expected = take(state, axes, at), None
        for t in range(3, 6):
            code, moved = network.step(x[at, t], moved, y[at, t], Given())
        for t in range(6):
            own, expected = network.step(x[at, t], expected, y[at, t], Given())
    torch.testing.assert_close(code.logits, own.logits)


BLOBS = Blobs(DriftingBlobs(num_neurons=6, num_blobs=2))


def test_emissions_are_how_often_blobs_hit():
    x = simulate(BLOBS, Noise(0, -2, torch.arange(2)), 30)
    for time in (0, 12, 29):
        hidden = tuple(field[:1].expand(20_000, -1).clone() for field in x.hidden[time])
        theta, _, amplitude = hidden
        normal = torch.randn(theta.shape, generator=torch.Generator().manual_seed(time))
        place = (amplitude * (theta + 0.45 * normal) + math.pi) * 6 / (2 * math.pi)
        hit = torch.remainder(place.round(), 6).long()
        p = BLOBS.emission(tuple(field[:1] for field in x.hidden[time]))[0]
        torch.testing.assert_close(p.sum(1), torch.ones(2))
        for blob in range(2):
            often = torch.bincount(hit[:, blob], minlength=6) / 20_000
            torch.testing.assert_close(often, p[blob], atol=0.015, rtol=0)  # 4 sigma
    assert PUBLISHED.start == 0.5


def test_guides_and_fresh_starts_leave_distributions():
    """Over all codes, `E p^(y)` sums to 1 for any guide, and with parts that begin anew; 4 sigma.

    A guide does not change what a filter estimates, a renewal does.
    """
    network = encoder(6, seed=2)
    codes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=torch.float64)
    y, often = codes.view(64, 3, 2), 60
    many, address = y.repeat(often, 1, 1), torch.arange(64 * often)
    guide = torch.randn(64, 3, 36, generator=torch.Generator().manual_seed(0))
    same = (BLOBS.patterns[:, None] == BLOBS.patterns[None]).all(2).float()
    guide = guide @ (same / same.sum(1))  # patterns of the same spikes are worth the same
    means = {}
    for name, g, renewal in (("plain", None, 0.0), ("guided", guide, 0.0), ("renewed", guide, 0.3)):
        given = None if g is None else g.repeat(often, 1, 1)
        log_p = log_marginal(
            network, BLOBS, many, 8, Noise(0, -4, address), guide=given, renewal=renewal
        )
        p = log_p.exp().view(often, 64)
        total = p.sum(1)
        assert abs(float(total.mean()) - 1) < 4 * float(total.std()) / math.sqrt(often)
        means[name] = p.mean(0), p.std(0) / math.sqrt(often)
    (plain, error), (guided, other), (renewed, third) = means.values()
    assert ((plain - guided).abs() < 4.5 * (error.square() + other.square()).sqrt()).all()
    assert ((plain - renewed).abs() > 4 * (error.square() + third.square()).sqrt()).any()


def test_a_guide_is_a_point_process_of_each_pattern_in_turn():
    generator = torch.Generator().manual_seed(0)
    history = cosines(2, 4)
    weight = torch.randn(6 + 2 * len(history), 2, generator=generator).double()
    model = PointProcess(weight, torch.tensor([-1.0, 0.5]).double(), lags(1), history)
    y = (torch.rand(3, 5, 2, generator=generator) < 0.5).double()
    patterns = BLOBS.patterns.double()
    for neurons in (None, torch.tensor([False, True])):
        found = guide_of(model, patterns)(y, neurons)
        for at, pattern in enumerate(patterns):
            v = model.logits(pattern.expand(3, 5, -1), y)
            p = torch.where(y > 0.5, torch.sigmoid(v), 1 - torch.sigmoid(v))
            log_g = p.log().sum(2) if neurons is None else p[..., 1].log()
            torch.testing.assert_close(found[..., at], FLATTENED * log_g)


def test_filters_of_blobs_enclose_each_other():
    """Guided by a fitted point process, as the command does; the kept input has its own weight."""
    network = encoder(6, seed=3).float()
    both = filters(network, BLOBS, 64, seed=0, num_steps=20)
    x, _ = drawn(network, BLOBS, 24, 20)
    with torch.no_grad():
        code = network(x.spikes, Noise(0, -3, torch.arange(24)), drive=True)
    above, below = both.terms(x, code)
    assert below.mean() < above.mean() < below.mean() + 0.25 * abs(above.mean())
    few = filters(network, BLOBS, 4, seed=0, num_steps=20).terms(x, code)
    assert few[1].mean() < below.mean() < above.mean() < few[0].mean()
    part, _ = both.terms(x, code, torch.tensor([True, False]))
    assert part.mean() < above.mean()


def test_chains_walk_as_often_as_they_say():
    """Paths of three steps over three states that are not alike; 4 sigma of 20,000."""
    start = torch.tensor([0.5, 0.3, 0.2]).double()
    transition = torch.tensor([[0.1, 0.6, 0.3], [0.0, 0.2, 0.8], [0.7, 0.1, 0.2]]).double()
    patterns = torch.tensor([[0.0, 0], [1, 0], [1, 1]]).double()
    chain, count = MarkovChain(start, transition, patterns), 20_000
    x = simulate(chain, Noise(0, -2, torch.arange(count)), 3)
    states = torch.cat([hidden[0] for hidden in x.hidden], 1)
    torch.testing.assert_close(x.spikes, patterns[states])
    for path in itertools.product(range(3), repeat=3):
        p = float(start[path[0]] * transition[path[0], path[1]] * transition[path[1], path[2]])
        often = float((states == torch.tensor(path)).all(1).double().mean())
        assert abs(often - p) <= 4 * math.sqrt(p * (1 - p) / count)
        log_p = float(chain.log_prob(torch.tensor([path])))
        assert math.exp(log_p) == pytest.approx(p)


def test_chains_of_neurons_that_go_their_own_ways():
    """Each of two neurons changes with probability 0.2, whatever the other does."""
    chain = symmetric_chain(2, 0.8, torch.float64)
    torch.testing.assert_close(chain.transition.sum(1), torch.ones(4).double())
    for a, b in itertools.product(range(4), repeat=2):
        changed = int((chain.patterns[a] != chain.patterns[b]).sum())
        assert float(chain.transition[a, b]) == pytest.approx(0.2**changed * 0.8 ** (2 - changed))


def test_chains_refuse_what_is_no_chain():
    with pytest.raises(ValueError, match="a chain of 2 states"):
        type(CHAIN)(CHAIN.start, torch.eye(3), CHAIN.patterns)
    with pytest.raises(ValueError, match="sum to 1"):
        type(CHAIN)(CHAIN.start * 2, CHAIN.transition, CHAIN.patterns)
