"""The rows of a run: which examples priors are fitted to and read on, and what is told of r.

The splits of the tiny data fire at rates that lie far apart, so that a figure of one is none of
another.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch

from vdib.decoder import MLPDecoder
from vdib.estimator import StraightThrough
from vdib.information import of_run as module
from vdib.information import told as telling
from vdib.information.told import told
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.lightning_modules.predictive_coding.signals import Pattern
from vdib.model import VDIB
from vdib.noise import EVALUATION, Noise
from vdib.prior import AutoregressivePrior, MarginalPrior
from vdib.prior_fitting import fit_prior
from vdib.runs.command import UserError
from vdib.signal import Label
from vdib.spike_code import SpikeCode
from vdib.window import FullWindow

STEPS, SEED = 4, 3
RATES = {"train": 0.9, "validation": 0.15, "test": 0.5}


class Split:
    """Examples of one rate, with ids of their own."""

    def __init__(self, name, count, target):
        number = list(RATES).index(name)
        x = tiny.spike_train(count, STEPS, 3, rate=RATES[name], seed=number).float()
        ids = 100 * number + torch.arange(count)
        self.batch = SpikeBatch(x, target(count, number), ids, ids)

    def __len__(self):
        return len(self.batch.id)

    def __getitems__(self, rows):
        return SpikeBatch(*(field[list(rows)] for field in self.batch[:4]))


def data(signal, target):
    splits = {
        name: Split(name, count, target)
        for name, count in (("train", 40), ("validation", 30), ("test", 25))
    }
    return SimpleNamespace(
        signal=signal,
        num_steps=STEPS,
        split=splits.__getitem__,
        code=lambda batch, step: batch,
        targets=lambda name: splits[name].batch.target,
    )


def labels(count, number):
    """Of three classes, whose shares are the splits' own."""
    return (torch.arange(count) % (4 + number)).clamp(max=2)


def a_run():
    """Labels decoded once, at the end."""
    torch.manual_seed(0)
    decoder = MLPDecoder(FullWindow(2), tiny.READOUT, Label(3), num_hidden=5)
    for weight in decoder.parameters():
        torch.nn.init.normal_(weight)
    prior = AutoregressivePrior(tiny.READOUT, 0.3)
    model = VDIB(tiny.encoder().float(), decoder, prior, StraightThrough()).requires_grad_(False)
    return SimpleNamespace(
        model=SimpleNamespace(vdib=model, rho=0.1),
        datamodule=data(Label(3), labels),
        config=SimpleNamespace(
            experiment="e",
            name="n",
            seed=SEED,
            model=SimpleNamespace(init_args={"prior": "past"}),
        ),
    )


def code_of(cli, name, count):
    """The first examples' code, encoded all at once."""
    batch = cli.datamodule.split(name).__getitems__(range(count))
    with torch.no_grad():
        code = cli.model.vdib.encoder(batch.spikes, Noise(SEED, EVALUATION, batch.id))
    return SpikeCode(code.spikes, code.logits)


def charged(prior, code):
    """Mean KL of each spike's probability given the past to the prior's, in nats a sequence."""
    p, q = torch.sigmoid(code.logits).double(), torch.sigmoid(prior(code.spikes)).double()
    kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    return float(kl.sum((1, 2)).mean())


@pytest.fixture
def measured(monkeypatch):
    """A run, and what is said of 20 of its 25 test examples, in parts of 7."""
    cli = a_run()
    for name, stand_in in (
        ("rebuild", lambda run: cli),
        ("prepare", lambda cli: None),
        ("take_best", lambda cli, run: None),
    ):
        monkeypatch.setattr(module, name, stand_in)
    for place in (module, telling):
        monkeypatch.setattr(place, "BATCH", 7)
    words = ["marginal", "past"]
    report = module.of_run(
        SimpleNamespace(folder="x"), 20, 2, SEED, words, lambda items, words: items
    )
    return cli, report


def values(section):
    return {row.name: float(row.statistic(np.ones((1, row.count)))[0]) for row in section.rows}


def test_priors_are_fitted_to_training_codes_and_read_on_test_codes(measured):
    cli, report = measured
    train, validation = code_of(cli, "train", 40), code_of(cli, "validation", 30)
    test = code_of(cli, "test", 20)
    rows = values(report.sections[0])
    own = charged(cli.model.vdib.prior, test)
    assert rows["prior of training"] == pytest.approx(own, rel=1e-5)
    # The prior of training goes on from where it stands.
    for word, start in (("marginal", MarginalPrior(2)), ("past", cli.model.vdib.prior)):
        expected = charged(fit_prior(start, train, validation, SEED), test)
        assert rows[f"prior {word}, fitted"] == pytest.approx(expected, rel=1e-5)
        for some in ((test, test), (validation, validation)):  # would say something else
            other = charged(fit_prior(start, *some, SEED), test)
            assert abs(other - expected) > 0.01 * expected
    stopped_on_test = charged(fit_prior(start, train, test, SEED), test)
    assert abs(stopped_on_test - expected) > 0.005 * expected
    assert {row.count for row in report.sections[0].rows} == {20}
    assert report.sections[0].ceiling == pytest.approx(math.log(20))


def test_figures_of_one_decoding_are_bits_a_sample_and_of_many_bits_a_step(measured):
    cli, report = measured
    assert (report.unit, report.factor) == ("bits/sample", pytest.approx(1 / math.log(2)))
    cli.model.vdib.every_step = True
    again = module.of_run(SimpleNamespace(folder="x"), 20, 2, SEED, [], lambda items, words: items)
    assert (again.unit, again.factor) == ("bits/step", pytest.approx(1 / STEPS / math.log(2)))
    assert again.facts["num_steps"] == STEPS


def test_of_a_label_is_told_what_its_entropy_leaves(measured):
    cli, report = measured
    (section,) = (one for one in report.sections if one.title == "I(y -> r)")
    shares = torch.bincount(labels(40, 0), minlength=3) / 40  # of training examples
    entropy = float(-(shares * shares.log()).sum())
    test, code = cli.datamodule.split("test").batch, code_of(cli, "test", 20)
    decoder = cli.model.vdib.decoder
    window = code.spikes[:, -2:].flatten(1)
    hidden = torch.relu(window @ decoder.hidden.weight.T + decoder.hidden.bias)
    logits = hidden @ decoder.head.weight.T + decoder.head.bias
    nats = torch.nn.functional.cross_entropy(logits, test.target[:20])
    assert values(section) == {"H(r) - distortion": pytest.approx(entropy - float(nats), abs=1e-5)}
    assert section.note == f"H(r) {entropy / math.log(2):.4g} bits"


def test_of_patterns_is_told_the_mean_over_scored_steps():
    """At lag 1, with one step unscored: steps 1 and 2 of four count, for half each."""
    torch.manual_seed(0)
    signal = Pattern(3, 1)
    sizes = {"num_steps": STEPS, "input_shape": (3,), "hidden": [], "num_readout": 2}
    made = PredictiveCodingModule(lag=1, unscored=1, signal=signal, **sizes)
    made.vdib.requires_grad_(False)
    torch.nn.init.normal_(made.vdib.decoder.head.weight)

    def patterns(count, number):
        drawn = torch.rand(count, STEPS, generator=torch.Generator().manual_seed(number))
        return (3 * drawn**2).long()

    cli = SimpleNamespace(model=made, datamodule=data(signal, patterns))
    (section,) = told(cli, 25, SEED)
    batch, train = cli.datamodule.split("test").batch, patterns(40, 0)
    code = made.vdib.encode(batch.spikes, Noise(SEED, EVALUATION, batch.id))
    log_q = made.vdib.decode(code).logits.log_softmax(-1).double()
    bits = 0.0
    for t in (1, 2):
        shares = torch.bincount(train[:, t], minlength=3).double() / 40
        entropy = -(shares * shares.log()).sum()
        bits += (entropy + log_q[range(25), t, batch.target[:, t]].mean()) / 2
    # The table divides by the steps of a sequence.
    assert values(section)["H(r) - distortion"] / STEPS == pytest.approx(float(bits), abs=1e-6)


def test_few_sequences_have_no_intervals(measured):
    with pytest.raises(UserError, match=r"^9 test sequences, expected 10 or more$"):
        module.of_run(SimpleNamespace(folder="x"), 9, 2, SEED, [], lambda items, words: items)
