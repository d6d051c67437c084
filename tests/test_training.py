"""What a Trainer is told is done, refused in one line before anything is written, or said."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_runs import TINY, rows, run, said, summary, weights

from vdib import fit
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.runs.cli import build
from vdib.runs.folder import Run

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in an empty folder, and hears Ctrl-C even where a script started pytest."""
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# --- when training ends -----------------------------------------------------------------------


def test_training_ends_in_time(monkeypatch):
    """Each batch takes a second of a clock of our own; three of them are one epoch."""
    clock = iter(range(10**6))
    monkeypatch.setattr("pytorch_lightning.callbacks.timer.time.monotonic", lambda: next(clock))
    folder = run("timed", "--trainer.max_time", "00:00:00:20", epochs=1000)
    assert 1 <= len([row for row in rows(folder) if row["val/loss"]]) <= 10
    assert 20 <= summary(folder)["train_seconds"] < 40


def test_a_timer_of_the_users_is_the_only_one():
    timer = ["--trainer.callbacks", "Timer", "--trainer.callbacks.duration", "00:00:10:00"]
    folder = run("own", *timer)
    assert summary(folder)["train_seconds"] > 0


def test_training_without_an_end_keeps_its_rate(monkeypatch):
    stop = ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val/loss"]
    stop += ["--trainer.callbacks.patience", "1", "--trainer.callbacks.min_delta", "1000"]
    folder = run("endless", *stop, epochs=-1)
    state = torch.load(Run(folder).last, weights_only=True)
    assert state["epoch"] == 1
    assert {group["lr"] for group in state["optimizer_states"][0]["param_groups"]} == {0.002}


def test_a_metric_that_is_not_there_is_one_line(capsys):
    stop = ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val/los"]
    run("typo", *stop, status=2)
    assert "val/los" in said(capsys)


# --- resuming with other settings -------------------------------------------------------------


def test_a_resumed_run_takes_the_learning_rate_it_is_told():
    folder = run("lr")
    before = weights(folder)
    told = ["--ckpt_path", "last", "--trainer.max_epochs", "2", "--name", "lr"]
    assert fit.main([*told, "--model.lr", "0", "--model.encoder_lr", "0"]) == 2  # refused
    assert fit.main([*told, "--model.lr", "1e-30", "--model.encoder_lr", "1e-30"]) == 0
    after = weights(folder)
    for name in (name for name in before if name.startswith("vdib")):
        torch.testing.assert_close(before[name], after[name], rtol=0, atol=1e-20)
    settings = Run(folder).config()["model"]["init_args"]
    assert (settings["lr"], settings["encoder_lr"]) == (1e-30, 1e-30)


@pytest.mark.parametrize("words", ["--model.rho 0.3", "--seed 4", "--model.init_from x"])
def test_what_a_checkpoint_restores_over_is_refused(words, capsys):
    folder = run("kept")
    before = Run(folder).config_file.read_bytes()
    capsys.readouterr()
    told = ["--ckpt_path", "last", "--trainer.max_epochs", "2", "--name", "kept"]
    assert fit.main([*told, *words.split()]) == 2
    name, value = words.split()
    assert said(capsys).startswith(f"{name}: got {value}, but the run that goes on began with ")
    assert Run(folder).config_file.read_bytes() == before


# --- before anything is written ---------------------------------------------------------------

LIMITS = {
    "--trainer.limit_val_batches 0": "expected some: the best epoch is chosen on validation data",
    "--trainer.limit_val_batches 0.0": "expected some: the best epoch is chosen",
    "--trainer.limit_test_batches 0": "expected some: the summary is of test data",
    "--trainer.limit_train_batches 0": "expected some: weights are to be trained",
    "--trainer.check_val_every_n_epoch 5": "got 5 of 1 epochs, expected 1 at most",
}


@pytest.mark.parametrize("words", LIMITS)
def test_limits_that_leave_nothing_are_refused(words, capsys):
    run("none", *words.split(), status=2)
    line = said(capsys)
    assert line.startswith(f"{words.split()[0]}: got ")
    assert LIMITS[words] in line
    assert not Path("runs").exists()


def test_several_tasks_of_slurm_are_one_line(monkeypatch, capsys):
    for name, value in {"NTASKS": "4", "JOB_ID": "1", "JOB_NAME": "x", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    run("slurm", status=2)
    assert "--ntasks" in said(capsys)
    assert not Path("runs").exists()


def test_a_rehearsal_leaves_nothing_in_the_way(capsys):
    assert fit.main([*TINY, "--name", "x", "--trainer.fast_dev_run", "true"]) == 0
    assert "rehearsal" in capsys.readouterr().out
    assert list(Path().iterdir()) == []
    folder = run("x")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert fit.main([*TINY, "--name", "x", "--trainer.fast_dev_run", "true"]) == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


# --- processes and signals --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
@pytest.mark.parametrize("hook", ["training_step", "test_step", "validation_step"])
def test_signals_end_a_run_in_one_line(monkeypatch, capsys, signum, status, hook):
    step = getattr(NaturalisationModule, hook)

    def stop(module, batch, batch_idx):
        if module.current_epoch == (2 if hook == "test_step" else 1):
            signal.raise_signal(signum)
        return step(module, batch, batch_idx)

    monkeypatch.setattr(NaturalisationModule, hook, stop)
    folder = run("x", epochs=2, status=status)
    advice = {
        "training_step": "go on with --experiment naturalise_digits --name x --ckpt_path last",
        "validation_step": "go on with --experiment naturalise_digits --name x --ckpt_path last",
        "test_step": f"it is trained: python -m vdib.evaluate {folder}",
    }
    assert said(capsys) == f"interrupted; {advice[hook]}"
    assert not (folder / "summary.json").exists()
    assert list(folder.rglob(".*")) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("command", ["fit", "evaluate", "naturalise", "judge", "sweep"])
def test_signals_end_every_command_while_it_imports(command):
    module = f"vdib.{command}" + (".__main__" if command in ("naturalise", "sweep") else "")
    words = {
        "evaluate": ["x"],
        "naturalise": ["x.npz", "--run", "x", "--out", "y"],
        "sweep": ["--over", "model.beta=1,2"],
    }
    code = f"""
import builtins, signal, sys
sys.argv[1:] = {words.get(command, [])!r}
find = builtins.__import__

def interrupted(name, *args, **kwargs):
    if name == "torch":
        signal.raise_signal(signal.SIGTERM)
    return find(name, *args, **kwargs)

builtins.__import__ = interrupted
from importlib import import_module
sys.exit(import_module({module!r}).main())
"""
    Path("x.npz").touch()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (143, "vdib: interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_helper_says_nothing():
    """Ctrl-C reaches all processes of a terminal; what is forked off ends as others do."""
    code = """
import os, signal, sys
from vdib.runs.command import run

def main():
    child = os.fork()
    if child == 0:
        signal.raise_signal(signal.SIGTERM)
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])

sys.exit(run(main))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (signal.SIGTERM, "")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_sweep_ends_with_its_runs():
    pytest.importorskip("optuna", reason="optuna is not installed: pip install optuna")
    words = [*TINY, "--over", "model.beta=1,2", "--name", "s", "--trainer.max_epochs", "1000"]
    command = [sys.executable, "-W", "ignore", "-m", "vdib.sweep", *words]
    folder = Path("runs", "naturalise_digits", "s")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list(folder.glob("*/checkpoints/last.ckpt")):
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert process.returncode == 143
    assert told.splitlines()[-1] == "vdib: interrupted; go on with --name s"
    assert "Traceback" not in told
    with Run(next(folder.glob("beta=*"))).resumed():  # nobody trains there any more
        pass


def test_a_run_that_is_only_built_leaves_nothing():
    build([*TINY, "--name", "x"])
    assert list(Path().iterdir()) == []
