"""Killed, stopped, spoilt: what a run loses, what it says, and that it goes on exactly."""

import itertools
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import TINY, rows, run, said, same, weights

from vdib import fit
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.guard import why_gradient, why_loss
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.schedule import Cosine, cosine, follow_length
from vdib.runs.folder import Run

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
LAST = ["--ckpt_path", "last", "--experiment", "naturalise_digits"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in an empty folder, and hears Ctrl-C even where a script started pytest."""
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Killed(BaseException):
    """As a SIGKILL is, but that the process goes on."""


def at(monkeypatch, epoch, batch, what):
    """Have `what(module)` done before a training step."""
    step = NaturalisationModule.training_step

    def patched(module, inputs, batch_idx):
        if (module.current_epoch, batch_idx) == (epoch, batch):
            what(module)
        return step(module, inputs, batch_idx)

    monkeypatch.setattr(NaturalisationModule, "training_step", patched)


def kill(module):
    raise Killed


def position(folder):
    """Epochs, and batches of the next, of which the last checkpoint is."""
    loops = torch.load(Run(folder).last, weights_only=True)["loops"]["fit_loop"]
    batches = loops["epoch_loop.batch_progress"]["current"]["completed"]
    return loops["epoch_progress"]["current"]["completed"], batches


# --- going on ---------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_processes_go_on_bit_identically():
    """`docs/reliability.md` has fifty of them."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "kills.py")]
    command += ["--kills", "3", "--cases", "score function (its baseline)"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("| 3 of 3 |")


@pytest.mark.parametrize(
    ("words", "epoch", "batch", "found"),
    [
        ("--trainer.max_steps 8", 1, 2, (1, 2)),
        ("--trainer.check_val_every_n_epoch 3", 1, 0, (1, 0)),
        ("--trainer.accumulate_grad_batches 2", 2, 2, (2, 2)),
        ("--model.estimator leave_one_out --model.prior past", 0, 1, (0, 1)),
    ],
)
def test_a_run_goes_on_from_within_an_epoch(words, epoch, batch, found, monkeypatch):
    more = [*words.split(), "--data.coding", "rate", "--checkpoint_every_minutes", "1e-9"]
    whole = run("whole", *more, epochs=3)
    with monkeypatch.context() as patch:
        at(patch, epoch, batch, kill)
        with pytest.raises(Killed):
            run("killed", *more, epochs=3)
    killed = whole.with_name("killed")
    assert position(killed) == found
    assert fit.main([*LAST, "--name", "killed"]) == 0
    for which in ("last", "best"):
        assert same(weights(whole, which), weights(killed, which))
    assert rows(whole) == rows(killed)


def test_a_run_without_a_checkpoint_begins_again(monkeypatch, capsys):
    whole = run("whole")
    with monkeypatch.context() as patch:
        at(patch, 0, 2, kill)
        with pytest.raises(Killed):
            run("killed", "--checkpoint_every_minutes", "0")
    killed = whole.with_name("killed")
    capsys.readouterr()
    assert fit.main([*LAST, "--name", "killed"]) == 0
    assert said(capsys) == f"{killed} has no checkpoint yet: it begins again"
    assert same(weights(whole), weights(killed))
    assert rows(whole) == rows(killed)


def test_what_a_signal_ends_is_saved_first(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        at(patch, 0, 1, lambda module: signal.raise_signal(signal.SIGTERM))
        folder = run("x", status=143)
    assert said(capsys).startswith("interrupted; go on with --experiment naturalise_digits")
    assert position(folder) == (0, 2)
    assert fit.main([*LAST, "--name", "x"]) == 0
    assert same(weights(folder), weights(run("whole")))


def test_minutes_are_checked(capsys):
    run("x", "--checkpoint_every_minutes", "-1", status=2)
    assert said(capsys) == "--checkpoint_every_minutes: got -1.0, expected 0 or more"


# --- the rate of a run that goes on for longer ------------------------------------------------


def falling(step, steps):
    return (1 + math.cos(math.pi * step / steps)) / 2


@pytest.mark.parametrize("stopped", [30, 59, 60])
def test_a_longer_run_has_no_jump(stopped):
    schedule = Cosine(60)
    before = schedule(stopped)
    assert before == pytest.approx(falling(stopped, 60), abs=1e-15)
    schedule.last(stopped, 120)
    after = [schedule(step) for step in range(stopped, 121)]
    assert after[0] == before
    assert after[-1] == 0
    assert max(b - a for a, b in itertools.pairwise(after)) <= 1 / stopped
    assert max(after) > 0.05  # it learns
    for step, factor in enumerate(after, stopped):
        down = before * falling(step - stopped, 120 - stopped)
        assert down - 1e-15 <= factor <= max(down, falling(step, 120)) + 1e-15
    late = falling(120 - 1, 120) * min(1, (119 - stopped) / stopped)
    assert schedule(119) == pytest.approx(max(late, before * falling(119 - stopped, 120 - stopped)))


def test_a_schedule_of_the_same_length_is_left_alone():
    schedule = Cosine(60)
    expected = [schedule(step) for step in range(61)]
    schedule.last(20, 60)
    assert [schedule(step) for step in range(61)] == expected


def test_a_longer_run_that_is_killed_keeps_its_schedule():
    def made(steps):
        return cosine(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0), steps)

    first = made(10)
    for _ in range(10):
        first.optimizer.step()
        first.step()
    second = made(30)
    second.load_state_dict(first.state_dict())
    follow_length(second, 30)
    third = made(30)
    rates = []
    for step in range(10, 30):
        rates.append(second.lr_lambdas[0](step))
        if step == 17:
            third.load_state_dict(second.state_dict())
            follow_length(third, 30)
    assert rates == [third.lr_lambdas[0](step) for step in range(10, 30)]
    assert rates[0] == 0 < max(rates)


def test_a_finished_run_is_warmed_up_again(monkeypatch):
    run("x")
    rates = []
    step = NaturalisationModule.training_step

    def seen(module, inputs, batch_idx):
        rates.append(module.optimizers().param_groups[0]["lr"])
        return step(module, inputs, batch_idx)

    monkeypatch.setattr(NaturalisationModule, "training_step", seen)
    assert fit.main([*LAST, "--name", "x", "--trainer.max_epochs", "3"]) == 0
    expected = [2e-3 * falling(step, 9) * min(1, (step - 3) / 3) for step in range(3, 9)]
    assert rates == pytest.approx(expected)


# --- numbers that are not finite --------------------------------------------------------------


def spoil(module):
    module.vdib.encoder.readout.bias.register_hook(lambda grad: grad * math.inf)


def test_a_gradient_that_is_not_finite_stops_before_the_step(monkeypatch, capsys):
    whole = weights(run("whole"))
    at(monkeypatch, 1, 1, spoil)
    folder = run("spoilt", epochs=2, status=2)
    line = said(capsys)
    assert line.startswith("the gradient of encoder.readout.bias reaches ")
    assert " at step 4: a lower --model.lr, or --trainer.gradient_clip_val 1; go on" in line
    kept = weights(folder)
    assert whole.keys() == kept.keys()
    assert all(bool(weight.isfinite().all()) for weight in kept.values())
    assert position(folder) == (1, 0)


def test_weights_that_are_not_finite_are_not_saved(monkeypatch, capsys):
    ended = NaturalisationModule.on_validation_epoch_end

    def spoilt(module):
        ended(module)
        if module.current_epoch == 1:
            with torch.no_grad():
                module.vdib.decoder.head.bias[0] = math.inf

    monkeypatch.setattr(NaturalisationModule, "on_validation_epoch_end", spoilt)
    folder = run("x", epochs=2, status=2)
    assert said(capsys).startswith("vdib.decoder.head.bias is not finite at step 6: not saved; ")
    assert position(folder) == (1, 0)
    assert bool(weights(folder)["vdib.decoder.head.bias"].isfinite().all())


def batch(target):
    ids = torch.arange(7, 7 + len(target))
    return SpikeBatch(torch.zeros(len(target), 2, 3), target, torch.zeros(len(target)), ids)


def test_the_likely_cause_is_named():
    good, bad = torch.ones(2), torch.tensor([1.0, math.nan])
    fine = batch(torch.ones(3, 4))
    line = why_loss(5, math.nan, [("a", good), ("b.c", bad)], fine, "32-true")
    assert line.startswith("the loss is nan at step 5: b.c is not finite after the step before: ")
    target = torch.ones(3, 4)
    target[1, 2] = math.inf
    line = why_loss(5, math.inf, [("a", good)], batch(target), "32-true")
    assert line == "the loss is inf at step 5: the target of example 8 is not finite: " + (
        "look at the data"
    )
    labels = batch(torch.tensor([1, 2]))
    line = why_loss(5, math.inf, [("a", good)], labels, "bf16-mixed")
    assert line.endswith("--trainer.gradient_clip_val 1, or --trainer.precision 32-true")


def test_gradients_too_large_to_add_up_are_named():
    first, second = torch.ones(2), torch.ones(2)
    first.grad, second.grad = torch.ones(2), torch.full((2,), 3e30)
    assert why_gradient(3, [("a", first)]) is None
    line = why_gradient(3, [("a", first), ("b", second)])
    assert line is not None
    assert line.startswith("the gradient of b reaches 3e+30 at step 3: a lower --model.lr")


# --- layers that are silent, or fire all the time ---------------------------------------------


@pytest.mark.parametrize(
    ("layer", "bias", "line"),
    [
        ("hidden", -100, "hidden layer 1 is silent at step 1 (0 spikes per neuron and step): "),
        ("readout", -100, "the readout is silent at step 1 (0 spikes per neuron and step): "),
        ("readout", 100, "the readout is restless at step 1 (1 spikes per neuron and step): "),
    ],
)
def test_layers_that_say_nothing_are_told_once(layer, bias, line, monkeypatch, capsys):
    def spoil(module):
        encoder = module.vdib.encoder
        with torch.no_grad():
            (encoder.readout if layer == "readout" else encoder.layers[0]).bias.fill_(bias)

    at(monkeypatch, 0, 0, spoil)
    assert fit.main([*TINY, "--name", "x", "--trainer.max_epochs", "2"]) == 0
    remedies = {
        ("hidden", -100): "a lower --model.encoder_lr (now 0.002)",
        ("readout", -100): "a lower --model.beta (now 0.01) makes spikes cheaper",
        ("readout", 100): "a higher --model.beta (now 0.01) makes spikes dearer",
    }
    assert said(capsys) == line + remedies[layer, bias]
