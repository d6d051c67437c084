"""What follows the share of a training that is over, in whole runs; and neurons that have died."""

import itertools
import math
import signal
from pathlib import Path

import pytest
import torch
from tiny_runs import rows, run, said, same, summary, weights

import vdib
from vdib import fit
from vdib.dynamics.feedback import NoFeedback
from vdib.lightning_modules.measured_module import MeasuredModule
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.model import VDIB

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HARDENING = ["--model.estimator", "RelaxedBernoulli", "--model.estimator.end", "0.1"]
PRICED = [*HARDENING, "--model.warmup", "0.9", "--model.free_bits", "2", "--model.beta", "1"]
FREE = ["--model.readout_settings", "{feedback: false}"]
BLOBS = [
    *("--config", "predictive_coding", "--figures_every", "-1", "--model.reference", "false"),
    *("--trainer.enable_progress_bar", "false", "--data.num_train", "8", "--data.num_steps", "30"),
    *("--data.num_validation", "4", "--data.num_test", "4", "--data.num_long", "0"),
    *("--data.batch_size", "4", "--model.mode", "online", "--model.beta", "1"),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in an empty folder, and hears Ctrl-C even where a script started pytest."""
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_run_anneals_by_the_share_of_its_training_that_is_over(monkeypatch):
    """And is chosen and measured at the full price."""
    seen, loss = [], VDIB.training_loss

    def look(model, x, r, noise, weights, progress, looks):
        seen.append(progress)
        return loss(model, x, r, noise, weights, progress, looks)

    monkeypatch.setattr(VDIB, "training_loss", look)
    folder = run("annealed", *PRICED, "--trainer.precision", "32-true", epochs=2)
    assert seen == pytest.approx([step / 6 for step in range(6)])
    found = summary(folder)
    nats = found["distortion_nats"] + found["rate_bits"] * math.log(2)
    assert found["loss_nats"] == pytest.approx(nats, rel=1e-5)
    validated = [row for row in rows(folder) if row["val/loss"]]
    for row in validated:
        nats = float(row["val/distortion_nats"]) + float(row["val/rate_bits"]) * math.log(2)
        assert float(row["val/loss"]) == pytest.approx(nats, rel=1e-5)
    assert len(validated) == 2


@pytest.mark.parametrize(
    "own",
    [PRICED, ["--model.estimator", "relax", "--model.prior", "past"]],
    ids=["annealed", "a learned control variate"],
)
def test_a_resumed_run_ends_as_if_uninterrupted(monkeypatch, capsys, own):
    whole = run("whole", *own, epochs=2)
    train = NaturalisationModule.training_step

    def stop(module, inputs, batch_idx):
        if module.current_epoch == 1 and batch_idx == 1:
            signal.raise_signal(signal.SIGINT)
        return train(module, inputs, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(NaturalisationModule, "training_step", stop)
        broken = run("broken", *own, epochs=2, status=130)
    assert fit.main(said(capsys).split(" with ")[1].split()) == 0
    assert same(weights(whole), weights(broken))
    assert (whole / "metrics.csv").read_text() == (broken / "metrics.csv").read_text()


def test_online_learning_warms_up_and_has_free_bits_too():
    found = []
    free = ["--model.free_bits", "5"]
    for name, words in (("warm", ["--model.warmup", "1"]), ("at once", []), ("free", free)):
        told = [*BLOBS, "--name", name, "--trainer.max_epochs", "1", *words]
        assert fit.main(told) == 0
        found.append(weights(Path("runs", "predictive_coding", name)))
    assert not any(same(*pair) for pair in itertools.combinations(found, 2))


@pytest.mark.parametrize(
    ("words", "name"), [(["--model.warmup", "0.5"], "warmup"), (HARDENING, "estimator")]
)
def test_what_anneals_needs_an_end(capsys, words, name):
    run("endless", *words, epochs=-1, status=2)
    assert said(capsys).startswith(f"{name}: when does training end? set --trainer.max_epochs;")


def test_dead_neurons_never_fire_or_always():
    model = MeasuredModule()
    model.vdib = torch.nn.Module()
    model.vdib.encoder = torch.nn.Module()
    model.vdib.encoder.readout = torch.nn.Module()
    model.vdib.encoder.readout.stochastic = True
    model.marginal = torch.tensor(
        [[0.0, 0.0, 0.9995, 0.9995, 0.5, 0.0011], [9e-4, 0.3, 0.9995, 0.998, 0.5, 0.0]]
    )
    assert model.dead_neurons() == 2  # the first and the third
    model.vdib.encoder.readout.stochastic = False
    assert model.dead_neurons() is None
    folder = run("alive")
    assert summary(folder)["dead_neurons"] == 0
    assert "dead_neurons" not in summary(run("counted", "--model.readout", "threshold"))


def test_a_readout_without_feedback_by_name(capsys):
    run("refused", "--model.estimator", "disarm", status=2)
    assert said(capsys) == (
        "DisARM needs readout neurons that do not feel their own spikes: "
        "--model.readout_settings '{feedback: false}'"
    )
    folder = run("free", *FREE, "--model.estimator", "disarm")
    readout = vdib.load(folder).encoder.readout
    assert isinstance(readout.feedback, NoFeedback)
    drive, noise = torch.randn(2, 3, 6, 8).unbind(0)
    _, v = readout.respond(drive, None, noise.sigmoid())
    torch.testing.assert_close(v, drive, rtol=0, atol=0)
