"""Bounds on information against enumeration, and intervals against SciPy's."""

import importlib.util
import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression

from vdib.information.bounds import of_pairs
from vdib.information.intervals import bootstrap, jackknife, mean
from vdib.information.pairs import leave_one_out, log_likelihoods, multi_sample
from vdib.information.point_process import cosines, features, fit, lags
from vdib.information.rows import Row, combined
from vdib.noise import Noise

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "information.py"


@pytest.fixture(scope="module")
def script():
    """benchmarks/information.py, whose channels are small enough to enumerate."""
    if not BENCHMARK.is_file():
        pytest.skip("an installed package has no benchmarks")
    spec = importlib.util.spec_from_file_location("benchmarks_information", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_intervals_are_those_of_scipy():
    terms = np.random.default_rng(1).exponential(size=40)
    ours = bootstrap(mean(terms), 40, 0.9, seed=0, resamples=40_000)
    theirs = stats.bootstrap(
        (terms,), np.mean, confidence_level=0.9, n_resamples=40_000, method="BCa",
        random_state=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert ours.estimate == pytest.approx(terms.mean())
    assert ours[1:] == pytest.approx(tuple(theirs), abs=0.01)
    assert ours.high - ours.estimate > 1.1 * (ours.estimate - ours.low)  # skewed, as the terms are


def test_intervals_of_pairs_are_those_of_the_jackknife():
    """Of a mean it is Student's interval."""
    terms = np.random.default_rng(1).exponential(size=40)
    half = stats.t.ppf(0.95, 39) * terms.std(ddof=1) / math.sqrt(40)
    expected = (terms.mean(), terms.mean() - half, terms.mean() + half)
    assert jackknife(mean(terms), 40, 0.9) == pytest.approx(expected)


def test_intervals_of_rows_of_pairs_cover_what_they_are_of(script):
    """A mixture over 60 sequences of a code that tells most of them apart."""
    one = script.channel(
        [[6.0, 0, 1, 0], [2, 6, 0, 1], [3, 3, 3, 0]], [1.0, 3, 1], 0.7, 12, {"all": [0, 1, 2]}
    )
    found = []
    for seed in range(60):
        rows = torch.arange(60)
        x = script.simulate(one.chain, Noise(seed, -2, rows), one.num_steps)
        with torch.no_grad():
            code = one.encoder(x.spikes, Noise(seed, -3, rows), drive=True)
        found.append(of_pairs(code, seed)[0].interval)
    expected = sum(interval.estimate for interval in found) / 60
    covered = sum(interval.low <= expected <= interval.high for interval in found)
    assert covered >= 54  # fewer of 60 at a level of 0.95: chance 0.03
    spread = np.std([interval.estimate for interval in found])
    assert np.mean([interval.high - interval.low for interval in found]) < 2 * 3.92 * spread


def test_likelihoods_of_pairs_are_those_of_forced_codes(script):
    one = script.CHANNELS["two populations"]
    x, y = (script.every(3, 2)[rows] for rows in ([3, 40, 60, 11], [5, 33, 20, 9]))
    encoder = one.encoder
    noise = torch.where(y > 0.5, 1e-15, 1 - 1e-15)  # under which just these are emitted
    with torch.no_grad():
        code = encoder(x, noise, drive=True)
        assert torch.equal(code.spikes, y)
        for neurons in (None, torch.tensor([False, True])):
            table = log_likelihoods(code, neurons)
            for i, j in itertools.product(range(4), range(4)):
                own = encoder(x[j : j + 1], noise[i : i + 1])
                towards = torch.where(own.spikes > 0.5, own.logits, -own.logits)
                log_p = torch.nn.functional.logsigmoid(towards).sum((0, 1))
                expected = log_p.sum() if neurons is None else log_p[1]
                assert table[i, j] == pytest.approx(float(expected), abs=1e-9)


def by_hand(log_p, counts):
    """Both statistics of counted sequences, in their plainest form."""
    above = below = 0.0
    for i, own in enumerate(counts):
        others = [(counts[j], log_p[i, j]) for j in range(len(counts)) if j != i]
        number = sum(c for c, _ in others)
        mixture = sum(c * math.exp(value) for c, value in others) / number
        above += own * (log_p[i, i] - math.log(mixture))
        whole = (math.exp(log_p[i, i]) + (len(counts) - 1) * mixture) / len(counts)
        below += own * (log_p[i, i] - math.log(whole))
    return above / sum(counts), below / sum(counts)


def test_statistics_of_pairs():
    log_p = np.random.default_rng(0).normal(-3, 2, (5, 5))
    for counts in ([1, 1, 1, 1, 1], [2, 0, 1, 1, 1], [0, 3, 0, 2, 0]):
        given = np.array([counts], dtype=float)
        found = leave_one_out(log_p)(given)[0], multi_sample(log_p)(given)[0]
        assert found == pytest.approx(by_hand(log_p, counts), abs=1e-12)
    told = np.full((6, 6), -900.0) + 900 * np.eye(6)  # every code tells its input
    assert multi_sample(told)(np.ones((1, 6)))[0] == pytest.approx(math.log(6))
    assert leave_one_out(told)(np.ones((1, 6)))[0] == pytest.approx(900)


def test_pairs_bound_in_expectation(script):
    """Over all samples of two sequences, each weighted with its probability."""
    one = script.channel([[3.0, 2.0]], [2.0], 0.7, 2, {"y": [0]})
    x = y = script.every(2, 1)
    with torch.no_grad():
        drive = one.encoder.readout.drive(x)
        v = drive[:, None] + one.encoder.readout.given(torch.zeros_like(y), y)  # X Y T 1
        log_p = (y * v - torch.nn.functional.softplus(v)).sum((2, 3))
    p_x = one.chain.log_prob(x[..., 0].long()).exp()
    ones, above, below, total = np.ones((1, 2)), 0.0, 0.0, 0.0
    for i, j, a, b in itertools.product(range(4), repeat=4):
        p = float(p_x[i] * p_x[j] * (log_p[i, a] + log_p[j, b]).exp())
        table = np.array([[log_p[i, a], log_p[j, a]], [log_p[i, b], log_p[j, b]]])
        above += p * leave_one_out(table)(ones)[0]
        below += p * multi_sample(table)(ones)[0]
        total += p
    truth = one.truth(torch.tensor([True]))
    assert total == pytest.approx(1)
    assert 0 < below < truth - 0.01
    assert truth + 0.01 < above
    assert below < math.log(2)


def test_the_best_of_many_bounds_pays_for_the_choice():
    generator = np.random.default_rng(0)
    rows = [Row(str(i), "above", mean(generator.normal(1, 1, 50)), 50, 0) for i in range(4)]
    low, high = combined(rows)
    assert low == 0  # information is no less than nothing
    assert high == min(row.at(1 - 0.05 / 4).high for row in rows)
    assert high > min(row.interval.high for row in rows)
    estimate = Row("e", "estimate", mean(np.zeros(50) - 9), 50, 0)
    assert combined([*rows, estimate]) == (low, high)


def test_point_processes_are_penalised_logistic_regressions():
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(20, 30, 2, generator=generator) < 0.4).float()
    y = (torch.rand(20, 30, 2, generator=generator) < 0.2 + 0.5 * x).float()
    bank, history = lags(2), cosines(2, 6)
    rows = features(x, y, bank, history)
    b, t = 3, 7
    assert rows[b, t, :4].tolist() == [x[b, t, 0], x[b, t - 1, 0], x[b, t, 1], x[b, t - 1, 1]]
    past = sum(history[1, lag] * y[b, t - 1 - lag, 1] for lag in range(6))
    assert float(rows[b, t, 7]) == pytest.approx(float(past), abs=1e-6)
    model = fit(x, y, bank, history, ridge=3.0)
    flat = rows.flatten(0, 1)
    scale = flat.square().mean(0).sqrt()
    for neuron in range(2):
        other = LogisticRegression(C=1 / 3, tol=1e-8, max_iter=1000)
        other.fit((flat / scale).numpy(), y[..., neuron].flatten().numpy())
        ours = (model.weight[:, neuron] * scale).numpy()
        np.testing.assert_allclose(ours, other.coef_[0], atol=3e-3)
        assert float(model.bias[neuron]) == pytest.approx(float(other.intercept_[0]), abs=3e-3)
    silent = model.logits(torch.zeros_like(x), y)
    torch.testing.assert_close(model.history_logits(y), silent)


def test_intervals_cover_the_truth(script, capsys):
    """The table of docs/information.md on few repetitions."""
    script.main(["--repetitions", "8", "--sequences", "50", "--particles", "20"])
    table = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if " | " in line]
    assert [row[1] for row in table[2:]] == ["y", "y", "a", "b", "both"]
    for row in table[2:]:
        assert int(row[3].split(",")[0]) >= 5  # fewer of 8 at a level of 0.95: chance 0.0004
        truth, width = float(row[2]), float(row[4].rstrip(" |"))
        assert 0.1 * truth < width < truth  # intervals that say something


def test_rows_of_a_code(script):
    """Those of the product bound a known truth, and the ceiling holds."""
    one = script.CHANNELS["feedback"]
    x = script.simulate(one.chain, Noise(3, -2, torch.arange(300)), one.num_steps)
    with torch.no_grad():
        code = one.encoder(x.spikes, Noise(3, -3, torch.arange(300)), drive=True)
    truth = one.truth(torch.tensor([True]))
    above, below = (row.interval for row in of_pairs(code, seed=0))
    assert below.low < truth < above.high
    assert below.estimate < math.log(300)
    assert above.estimate == pytest.approx(truth, rel=0.2)
    assert below.estimate == pytest.approx(truth, rel=0.2)
