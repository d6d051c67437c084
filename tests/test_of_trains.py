"""Information between recorded trains: who is fitted to whom, on which steps, in which unit.

Where trains fire in the last step of a sequence only, no past spike tells of another, a point
process without inputs is a rate, and what it charges has a closed form.

B sequences, T steps, N neurons.
"""

import math

import numpy as np
import pytest
import torch
from tiny import spike_train

from vdib.information.of_trains import BLOCKS, FILTERS, _of_pairs, _over_folds, of_trains
from vdib.information.point_process import cosines, fit, lags

FITTED = "fitted with and without the other"


def at_the_end(count, num_steps, rates, seed=0):
    """Trains `(B, T, N)` of neurons that fire in the last step with these probabilities."""
    y = torch.zeros(count, num_steps, len(rates))
    y[:, -1] = torch.cat([spike_train(count, 1, rate=p, seed=seed) for p in rates], 1).float()
    return y


def measured(x, y, folds=3, seed=0):
    """Sections by their titles, what their rows say in nats a sequence, and the whole report."""
    report = of_trains(x, y, ("x", "y"), folds, 4, seed, lambda items, words: items)
    ones = np.ones((1, report.facts["num_sequences"]))
    said = {
        (section.title, row.name): float(row.statistic(ones)[0])
        for section in report.sections
        for row in section.rows
    }
    return {section.title: section for section in report.sections}, said, report


def charged(y, parts):
    """`E -log q(y)` in nats a sequence, by rates that are those of all other parts."""
    nats = 0.0
    for held in parts:
        p = y[[i for i in range(len(y)) if i not in held]].mean((0, 1))
        nats -= float((y[held] * p.log() + (1 - y[held]) * (1 - p).log()).sum())
    return nats / len(y)


def folds_of(seed, count=20, folds=3):
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return [part.tolist() for part in torch.tensor_split(order, folds)]


def test_models_are_of_the_other_folds_and_the_seed_says_which_these_are():
    x, y = at_the_end(20, 2, [0.7], 1), at_the_end(20, 2, [0.3, 0.6], 2)
    by_seed = []
    for seed in (0, 1):
        _, said, _ = measured(x, y, seed=seed)
        parts = folds_of(seed)  # the same ones for both trains
        assert said["I(x -> y)", "all there is in y"] == pytest.approx(charged(y, parts), rel=1e-4)
        back = said["I(past y -> x)", "all there is in x"]
        assert back == pytest.approx(charged(x, parts), rel=1e-4)
        by_seed.append(back)
    p = x.mean()
    on_themselves = -2 * float(p * p.log() + (1 - p) * (1 - p).log())
    assert min(by_seed) > 1.001 * on_themselves
    assert abs(by_seed[0] - by_seed[1]) > 1e-3 * by_seed[0]


def test_what_comes_back_from_y_is_of_its_past():
    """Spikes of the same step are told of to y alone, earlier ones of y to x alone."""
    x = at_the_end(60, 3, [0.5])
    p = float(x.mean())
    most = -3 * (p * math.log(p) + (1 - p) * math.log(1 - p))
    _, said, _ = measured(x, x)
    assert said["I(past y -> x)", FITTED] == pytest.approx(0, abs=1e-5)
    assert 0.75 * most < said["I(x -> y)", FITTED] < most
    _, said, _ = measured(x, torch.roll(x, -1, 1))  # y a step before x
    assert 0.75 * most < said["I(past y -> x)", FITTED] < most
    assert said["I(x -> y)", FITTED] == pytest.approx(0, abs=0.05 * most)


def test_one_recording_is_parts_that_follow_each_other():
    """Neighbours stay in a fold; the steps that are left over are passed over."""
    y = torch.zeros(2 * BLOCKS + 1, 1)
    y[1::2, 0] = (torch.arange(BLOCKS) % 7 < 3).float()
    y[-1] = 1
    sections, said, report = measured(y, y, folds=4)
    assert list(sections) == ["I(x -> y)", "I(past y -> x)"]
    assert (report.facts["num_sequences"], report.facts["num_steps"]) == (BLOCKS, 2)
    parts = [list(range(5 * i, 5 * i + 5)) for i in range(4)]
    expected = charged(y[:-1].view(BLOCKS, 2, 1), parts)
    assert said["I(x -> y)", "all there is in y"] == pytest.approx(expected, rel=1e-4)
    assert report.factor == pytest.approx(1 / (2 * math.log(2)))  # nats of a part to bits a step


def test_likelihoods_of_pairs_are_those_of_each_code_under_each_input():
    x, y = spike_train(4, 6, 2).float(), spike_train(4, 6, 3, seed=1).float()
    model = fit(x, y, lags(2), lags(3))
    table = _of_pairs(model, x, y)
    for i in range(4):
        for j in range(4):
            expected = model.log_prob(x[j : j + 1], y[i : i + 1]).sum()
            assert float(table[i, j]) == pytest.approx(float(expected), rel=1e-5)


def test_critics_have_seen_no_sequence_of_their_fold():
    """Each y among the inputs of its own fold, by the point process of all other folds."""
    x, y = at_the_end(20, 2, [0.5], 4), at_the_end(20, 2, [0.5], 5)
    _, said, _ = measured(x, y)
    bank, nats = cosines(FILTERS, 2), 0.0
    for held in folds_of(0):
        rest = [i for i in range(20) if i not in held]
        model = fit(x[rest], y[rest], bank, bank)
        for i in held:
            own = [float(model.log_prob(x[j : j + 1], y[i : i + 1]).sum()) for j in held]
            mixture = sum(map(math.exp, own)) / len(held)
            nats += own[held.index(i)] - math.log(mixture)
    assert said["I(x; y)", "multi-sample bound"] == pytest.approx(nats / 20, abs=1e-5)


def test_the_bound_over_folds_is_one_within_each():
    """Three folds of 3, 2 and 2: more than log N of its own fold no sequence can tell."""
    parts = [torch.tensor(part) for part in ([4, 0, 6], [1, 5], [3, 2])]
    generator = torch.Generator().manual_seed(0)
    critics = [torch.randn(len(p), len(p), generator=generator).double() for p in parts]
    nats = 0.0
    for critic in critics:
        nats += float((critic.diagonal() - torch.logsumexp(critic, 1)).sum())
        nats += len(critic) * math.log(len(critic))
    bound = _over_folds(critics, parts)
    assert bound(np.ones((1, 7)))[0] == pytest.approx(nats / 7)
    first = torch.zeros(7, dtype=torch.float64)
    first[parts[0]] = 1
    alone = float((critics[0].diagonal() - torch.logsumexp(critics[0], 1)).mean()) + math.log(3)
    assert bound(first[None].numpy())[0] == pytest.approx(alone)
    sections, said, _ = measured(at_the_end(7, 2, [0.5]), at_the_end(7, 2, [0.5], 3))
    top = (3 * math.log(3) + 4 * math.log(2)) / 7
    assert sections["I(x; y)"].ceiling == pytest.approx(top)
    both = said["I(x -> y)", FITTED] + said["I(past y -> x)", FITTED]
    assert said["I(x; y)", "sum of both estimates"] == pytest.approx(both)
