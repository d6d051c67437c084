"""Predictive coding: what counts, what is measured, and the commands."""

import csv
import json
import math
from importlib.resources import files
from pathlib import Path

import pytest
import torch
import yaml

import vdib
from vdib import evaluate, fit
from vdib.datasets.drifting_blobs import spikes
from vdib.encoder import SpikeCode
from vdib.lightning_modules.predictive_coding import reference
from vdib.lightning_modules.predictive_coding.data import BlobData
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.lightning_modules.predictive_coding.signals import EachInput, Pattern, scored_steps
from vdib.noise import Noise
from vdib.objective import bernoulli_kl

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TINY = [
    *("--config", "predictive_coding", "--figures_every", "-1", "--model.reference", "false"),
    *("--data.num_train", "32", "--data.num_validation", "4", "--data.num_test", "4"),
    *("--data.num_steps", "40", "--data.num_long", "60", "--trainer.log_every_n_steps", "1"),
    *("--trainer.enable_progress_bar", "false"),
]


SETTINGS = yaml.safe_load((files("vdib.configs") / "predictive_coding.yaml").read_text("utf-8"))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def data(lag=0, **settings):
    small = {"num_train": 6, "num_validation": 4, "num_test": 4, "num_steps": 40, "num_long": 0}
    return BlobData(lag, **{**small, **settings})


def module(blobs, **settings):
    torch.manual_seed(0)
    from_data = {name: getattr(blobs, name) for name in PredictiveCodingModule.TAKES}
    return PredictiveCodingModule(**from_data, **{**SETTINGS["model"]["init_args"], **settings})


# --- data and what counts ---------------------------------------------------------------------


@pytest.mark.parametrize("lag", [-3, 0, 4])
def test_the_target_is_the_input_at_t_plus_lag(lag):
    blobs = data(lag)
    batch = blobs.examples("train", 6)
    now = spikes(blobs.split("train").bins, 20)
    assert torch.equal(batch.spikes, now)
    then = blobs.signal.active(batch.target)
    for t in scored_steps(40, lag, 20).nonzero()[:, 0]:
        assert torch.equal(then[:, t], now[:, t + lag])
    assert torch.equal(blobs.targets("train"), batch.target)
    every = data(lag, target="inputs").examples("train", 6)
    assert torch.equal(every.target, then)


def test_scored_steps_have_a_target_and_a_past():
    for lag in range(-4, 5):
        t = scored_steps(100, lag, 20).nonzero()[:, 0]
        assert t.tolist() == [s for s in range(20, 100) if 0 <= s + lag < 100]
    assert scored_steps(10, -5, 0).nonzero()[:, 0].tolist() == [5, 6, 7, 8, 9]


def test_splits_are_disjoint_and_only_training_follows_the_seed():
    first, second = data(seed=0), data(seed=1)
    same = {
        name: torch.equal(first.split(name).bins, second.split(name).bins)
        for name in ("train", "validation", "test")
    }
    assert same == {"train": False, "validation": True, "test": True}
    rows = [row.tobytes() for name in same for row in first.split(name).bins.numpy()]
    assert len(set(rows)) == len(rows)
    assert torch.equal(first.common("train")[0], second.common("train")[0])


@pytest.mark.parametrize("kind", [Pattern, EachInput])
def test_targets(kind):
    target, bins = kind(6, 2), torch.tensor([[0, 3], [3, 0], [2, 2], [5, 0]])
    assert torch.equal(target.active(target.of(bins)), spikes(bins, 6))
    outputs = target.constant(target.of(bins))
    assert outputs.shape == (target.num_outputs,)
    favoured = torch.zeros(target.num_outputs)
    if kind is Pattern:
        favoured[target.of(torch.tensor([0, 3]))] = 9
    else:
        favoured[:] = -9
        favoured[[0, 3]] = 9
    decoded = target.likelihood(favoured)
    truth = spikes(torch.tensor([0, 3]), 6)
    assert torch.equal(target.guess(decoded), truth)
    torch.testing.assert_close(target.activity(decoded), truth, atol=0.01, rtol=0)
    assert set(target.by_neuron(favoured).topk(2).indices.tolist()) == {0, 3}
    assert float(decoded.log_prob(target.of(torch.tensor([3, 0])))) > -0.01


# --- the module -------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["patterns", "inputs"])
def test_the_loss_is_a_mean_over_scored_steps(target):
    blobs = data(lag=2, target=target)
    built, batch = module(blobs, beta=0.3), blobs.examples("train", 6)
    built.vdib.encoder.calibrate(batch.spikes, 0.2)
    _, out = built.training_loss(batch, Noise(0, 0, batch.id))
    costs = -built.vdib.decode(out.code).log_prob(batch.target)
    kl = bernoulli_kl(out.code.logits, torch.logit(torch.tensor(0.2))).sum(-1)
    expected = (costs + 0.3 * kl)[:, 20:38].mean()
    torch.testing.assert_close(out.loss(0.3), expected)


def test_without_spikes_it_costs_the_entropy():
    """A decoder that starts from the training frequencies, and a code that says nothing."""
    blobs = data(num_train=400, num_validation=200, unscored=5)
    built = module(blobs, decoder="logistic", decoder_settings=None)
    name, nats = built.constant(blobs)
    assert name == "best constant answer"
    built.vdib.decoder.start_from(blobs.constant())
    with torch.no_grad():
        silent = built.vdib.decode(SpikeCode(torch.zeros(1, 40, 10), None))
    log_q = silent.logits[0, 0][blobs.targets("validation")[:, 5:]]
    assert nats == pytest.approx(-float(log_q.mean()), abs=1e-5)
    assert 5.1 < nats < math.log(210)


def test_hidden_layers_learn_more_slowly_unless_told():
    kinds = ({}, {"mode": "online"}, {"hidden": [4]})
    assert [module(data(), **own).encoder_lr for own in kinds] == [0.03, 0.01, 0.003]
    assert module(data(), hidden=[4], encoder_lr=0.5).encoder_lr == 0.5
    paper = yaml.safe_load((files("vdib.configs") / "predictive_coding_paper.yaml").read_text())
    told = paper["model"]["init_args"]
    assert {"lr": 0.03, "encoder_lr": 0.1, "decoder": "logistic"}.items() <= told.items()
    assert set(told) - set(SETTINGS["model"]["init_args"]) == {"lr", "encoder_lr"}


def test_errors():
    with pytest.raises(ValueError, match="leave nothing of 22 steps: longer sequences"):
        data(lag=2, num_steps=22)
    with pytest.raises(ValueError, match="num_test: got 0"):
        data(num_test=0)
    with pytest.raises(ValueError, match="num_long: got 10, expected 0, or at least 40"):
        data(num_long=10)
    with pytest.raises(ValueError, match="online needs the estimator straight_through or relaxed"):
        module(data(), mode="online", estimator="score")
    with pytest.raises(ValueError, match="got credit BPTT, expected eprop"):
        module(data(), mode="online", hidden=[4])
    with pytest.raises(ValueError, match="mode online has no penalties: got readout_spikes"):
        module(data(), mode="online", penalties={"readout_spikes": 1.0})


# --- the reference ----------------------------------------------------------------------------


def test_the_reference_learns_what_can_be_known():
    """At lag 0 the input is in its history: it can be told for certain."""
    blobs = data(num_neurons=5, num_train=600)
    splits = {name: blobs.common(name) for name in ("train", "validation", "test")}
    small = {"num_neurons": 5, "widths": (32,), "batch": 64, "rate": 0.02}
    nats = reference.reference_nats(splits, scored_steps(40, 0, 20), Pattern(5, 2), **small)
    assert nats < 0.1


def test_histories_end_at_the_step_of_the_decoding():
    bins = torch.arange(40).view(1, 40, 1).repeat(2, 1, 2)
    scored = scored_steps(40, 3, 5)
    history, target = reference.histories(bins, (bins + 3).clamp(max=39), scored)
    assert torch.equal(history[:, -1] + 3, target)
    assert torch.equal(history[:, 0], history[:, -1] - 13)
    assert history[0, -1, 0] == 13  # the first step whose history is full
    assert len(history) == 2 * (37 - 13)


def test_a_reference_is_computed_once(elsewhere):
    asked = []

    def compute():
        asked.append(1)
        return 1.5

    values = [reference.remembered(name, compute) for name in ("a", "a", "b")]
    assert (values, len(asked)) == ([1.5] * 3, 2)


# --- the commands -----------------------------------------------------------------------------


def run(name, *args):
    assert fit.main([*TINY, "--name", name, *args]) == 0
    folder = Path("runs", "predictive_coding", name)
    return folder, json.loads((folder / "summary.json").read_text())


def test_a_run_and_its_folder(elsewhere, capsys):
    args = ["--data.lag", "-2", "--model.reference", "true", "--figures_every", "0"]
    folder, summary = run("one", *args)
    assert capsys.readouterr().err == ""
    assert summary["lag"] == -2
    assert summary["window"] == "full"
    assert summary["scored_steps"] == 4 * 20
    for key in (
        *("nats_per_step", "mse", "rate_bits_per_step", "rate_bits_marginal_per_step"),
        *("reference_nats_per_step", "marginal_nats_per_step", "long_nats_per_step"),
    ):
        assert math.isfinite(summary[key])
    loss = summary["nats_per_step"] + 0.01 * summary["rate_bits_per_step"] * math.log(2)
    assert summary["loss_nats"] == pytest.approx(loss, rel=1e-4)
    figures = {path.stem for path in (folder / "figures").iterdir()}
    assert figures == {"prediction", "meaning", "rate_distortion"}
    assert evaluate.main([str(folder)]) == 0
    assert json.loads((folder / "summary.json").read_text()) == summary


def test_online_learns_and_streams(elsewhere):
    online = ["--model.mode", "online", "--data.batch_size", "8"]
    folder, _ = run("both", *online, "--trainer.max_epochs", "2")
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 2 * 4 * 20  # epochs, batches, scored steps
    with (folder / "metrics.csv").open(newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert len(losses) == 8
    assert losses[-1] < losses[0]

    # What is measured in between does not change what is learnt.
    other, _ = run("other", *online, "--trainer.max_epochs", "2", "--data.num_validation", "2")
    again = torch.load(other / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    kept = [name for name in again if name.startswith("vdib")]
    assert all(torch.equal(state["state_dict"][name], again[name]) for name in kept)

    stream = vdib.load(folder).stream(seed=0)
    assert stream.push(torch.zeros(20)).outputs.shape == (210,)


def test_the_other_settings_run(elsewhere):
    for name, args in {
        "inputs": ["--data.target", "inputs", "--data.num_blobs", "3", "--data.num_neurons", "12"],
        "hidden": ["--model.hidden", "[8]", "--model.credit", "eprop", "--model.mode", "online"],
        "frozen": ["--model.frozen_encoder", "true", "--model.window", "rate"],
        "unit": ["--data.amplitude", "unit", "--model.decoder", "mlp", "--model.window", "basis"],
        "score": ["--model.estimator", "score", "--model.prior", "past"],
    }.items():
        _, summary = run(name, *args)
        assert math.isfinite(summary["loss_nats"])
        assert "reference_nats_per_step" not in summary
