"""Rates under priors fitted to the code of a finished run: which examples decide what."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import run, said, summary

import vdib
from vdib import evaluate
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.predictive_coding.data import BlobData
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.noise import EVALUATION, Noise
from vdib.prior import AutoregressivePrior
from vdib.prior_fitting import fit_prior
from vdib.runs import fitted_priors

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SINGLE = ["--trainer.precision", "32-true"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def codes(folder, split, count):
    """The codes of the first digits of a split, as the run's evaluation draws them."""
    model, batch = vdib.load(folder), ImageData(num_steps=6).examples(split, count)
    with torch.no_grad():
        return model.encode(batch.spikes, Noise(0, EVALUATION, batch.id))


def bits(code, prior):
    """What codes cost on average, by NumPy."""
    with torch.no_grad():
        q = 1 / (1 + np.exp(-prior(code.spikes).double().numpy()))
    y = code.spikes.double().numpy()
    if not code.stochastic:
        return -(y * np.log2(q) + (1 - y) * np.log2(1 - q)).sum((1, 2)).mean()
    p = 1 / (1 + np.exp(-code.logits.double().numpy()))
    return (p * np.log2(p / q) + (1 - p) * np.log2((1 - p) / (1 - q))).sum((1, 2)).mean()


@pytest.mark.parametrize("readout", ["sampled", "threshold"])
def test_the_figures_by_hand(readout, monkeypatch):
    """Fitting sees training codes only, stopping validation codes only, and test codes are read."""
    seen = []

    def spy(prior, train, validation, *rest):
        seen.append((train, validation))
        return fit_prior(prior, train, validation, *rest)

    monkeypatch.setattr(fitted_priors, "fit_prior", spy)
    monkeypatch.setattr(fitted_priors, "WORK", 600 * 6 * 8**2)  # 600 codes
    folder = run("one", "--model.readout", readout, *SINGLE)
    found = summary(folder)
    (given,) = seen
    assert (found["validation_samples"], found["test_samples"]) == (500, 500)
    own = [codes(folder, *which) for which in (("train", 600), ("validation", 500))]
    for code, expected in zip(given, own, strict=True):
        assert torch.equal(code.spikes, expected.spikes)
        assert code.stochastic == expected.stochastic == (readout == "sampled")
        if code.stochastic:
            torch.testing.assert_close(code.logits, expected.logits)
    fitted = fit_prior(AutoregressivePrior(8, 0.1), *own, seed=0)
    word = "rate" if readout == "sampled" else "code_length"
    test = codes(folder, "test", 500)
    expected = {
        f"{word}_bits_fitted_past": bits(test, fitted),
        f"validation_{word}_bits_fitted_past": bits(own[1], fitted),
        f"{word}_bits_best": bits(test, fitted),
        f"{word}_bits_bernoulli": bits(test, lambda y: torch.full_like(y, math.log(1 / 9))),
        f"{word}_bits": bits(test, vdib.load(folder).prior),
        f"validation_{word}_bits": bits(own[1], vdib.load(folder).prior),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-3), name
    assert found[f"{word}_prior_best"] == "past"
    assert found[f"{word}_bits_best"] < 0.97 * found[f"{word}_bits"]


def test_the_best_is_chosen_on_validation_codes():
    """The order on the test codes is another one."""
    blobs = BlobData(2, num_train=6, num_validation=4, num_test=4, num_steps=40, num_long=0)
    module = PredictiveCodingModule(
        **{name: getattr(blobs, name) for name in PredictiveCodingModule.TAKES},
        hidden=[], num_readout=5, window_steps=5, decoder="logistic",
    )  # fmt: skip
    costs = {"": (9.0, 5.0), "_fitted_past": (7.0, 6.0), "_fitted_network": (8.0, 1.0)}
    found = {}
    for name, (validation, test) in costs.items():
        found[f"validation_rate_bits{name}_per_step"] = validation
        found[f"rate_bits{name}_per_step"] = test
    best = fitted_priors._best(module, found)
    assert best == {"rate_bits_best_per_step": 6.0, "rate_prior_best": "past"}
    found["validation_rate_bits_per_step"] = 2.0
    best = fitted_priors._best(module, found)
    assert best == {"rate_bits_best_per_step": 5.0, "rate_prior_best": "as_trained"}


def test_steps_that_do_not_count_are_not_charged():
    words = [
        "--config",
        "predictive_coding",
        "--data.lag",
        "2",
        "--data.num_train",
        "40",
        "--data.num_test",
        "5",
    ]
    words += ["--data.num_validation", "5", "--data.num_steps", "30", "--data.num_long", "0"]
    words += ["--model.reference", "false", "--fit_priors", "[past,marginal]", *SINGLE]
    run("blobs", *words, "--model.hidden", "[]", "--model.num_readout", "4", status=0)
    folder = Path("runs", "predictive_coding", "blobs")
    found, model = summary(folder), vdib.load(folder)
    settings = {"num_train": 40, "num_validation": 5, "num_test": 5, "num_steps": 30}
    data = BlobData(2, **settings, num_long=0)
    weights = data.scored.double() / data.scored.sum()
    made = {}
    for split, count in (("train", 40), ("validation", 5), ("test", 5)):
        batch = data.examples(split, count)
        with torch.no_grad():
            made[split] = model.encode(batch.spikes, Noise(0, EVALUATION, batch.id))
    fitted = fit_prior(
        AutoregressivePrior(4), made["train"], made["validation"], 0, weights.float()
    )
    code = made["test"]
    with torch.no_grad():
        nats = code.cost(fitted(code.spikes)).double()
    per_step = float((weights * nats).sum(1).mean()) / math.log(2)
    assert found["rate_bits_fitted_past_per_step"] == pytest.approx(per_step, rel=1e-3)
    assert "rate_bits_fitted_marginal_per_step" in found
    names = ("as_trained", "past", "marginal")
    assert found["rate_prior_best"] in names


def test_priors_are_added_to_a_finished_run(capsys):
    folder = run("one", "--fit_priors", "[]")
    before = summary(folder)
    assert before["rate_bits_best"] == before["rate_bits"]
    assert before["rate_prior_best"] == "as_trained"
    assert not any("fitted" in name for name in before)
    kept = {path: path.read_bytes() for path in (folder / "checkpoints").iterdir()}
    capsys.readouterr()
    assert evaluate.main([str(folder), "--prior", "marginal", "past"]) == 0
    after, told = summary(folder), capsys.readouterr().out
    best, other = sorted(
        ("marginal", "past"), key=lambda name: after[f"validation_rate_bits_fitted_{name}"]
    )
    assert f"best prior fitted to the code: {best} (bits/sample)" in told
    assert re.search(rf"under {other}, fitted +{after[f'rate_bits_fitted_{other}']:.4g}\n", told)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"rate_bits_best", "rate_prior_best"}
    added = {"rate_bits_fitted_past", "rate_bits_fitted_marginal"}
    assert after.keys() - before.keys() == added | {f"validation_{name}" for name in added}
    assert after["rate_bits_best"] == min(after[name] for name in added)
    assert {path: path.read_bytes() for path in (folder / "checkpoints").iterdir()} == kept
    assert evaluate.main([str(folder), "--prior", "pasta"]) == 2
    assert "past" in said(capsys)
    assert summary(folder) == after
    assert evaluate.main([str(folder), "--prior", "network"]) == 0
    once = summary(folder)
    assert once["rate_bits_fitted_network"] != after["rate_bits_fitted_past"]
    assert evaluate.main([str(folder), "--prior", "network"]) == 0
    assert summary(folder) == once  # what is drawn follows from the run's seed
    # Measured anew for something else, the fits are still there, and so is the best of them.
    assert evaluate.main([str(folder), "--importance", "2"]) == 0
    anew = summary(folder)
    assert anew.pop("negative_elbo_nats_2") > 0
    assert anew == pytest.approx(once)
    assert evaluate.main([str(folder)]) == 0
    assert "negative_elbo_nats_2" in summary(folder)
    # Of other weights they are not.
    (folder / "summary.json").write_text(json.dumps(once | {"loss_nats": 1.1 * once["loss_nats"]}))
    assert evaluate.main([str(folder)]) == 0
    assert not any("fitted" in name for name in summary(folder))


def test_a_fit_begins_where_training_left_the_same_prior(monkeypatch):
    starts = []

    def spy(prior, *rest):
        starts.append(prior)
        return fit_prior(prior, *rest)

    monkeypatch.setattr(fitted_priors, "fit_prior", spy)
    folder = run("one", "--model.prior", "past", "--fit_priors", "[past,marginal]")
    trained, fresh = starts
    assert torch.equal(trained.linear.weight, vdib.load(folder).prior.linear.weight)
    assert float(fresh.logit.detach()[0, 0]) == pytest.approx(math.log(0.1 / 0.9))
    assert summary(folder)["rate_bits_best"] <= summary(folder)["rate_bits"]
