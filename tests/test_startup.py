"""Commands import what they need, when they need it: every one in a process of its own."""

import os
import subprocess
import sys

import pytest
from test_imports import COMMANDS

import vdib

NEVER = {"tonic", "wandb", "pandas", "sklearn", "mlxtend", "tensorboard", "optuna"}
COMPILER = {"numba", "llvmlite"}
# What Lightning's metrics bring along, needed or not.
LIGHTNING = {"pytorch_lightning", "torchmetrics", "torchvision", "scipy", "matplotlib", "sympy"}
LIGHT = NEVER | COMPILER | LIGHTNING | {"torch"}
"""What a command's help does without, where nothing else is said."""
HELP = {
    "fit": NEVER | COMPILER,
    "judge": NEVER | COMPILER | LIGHTNING - {"sympy"},  # of torch
    "evaluate": LIGHT | {"numpy"},
    "sweep": LIGHT | {"numpy"},
}
CODE = """
import runpy, sys
command, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(f"vdib.{command}", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    assert not stop.code, stop.code
print(*sys.modules)
"""


def imported(folder, *words):
    """The top-level packages that a command has imported by its end."""
    command = [sys.executable, "-c", CODE, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("command", sorted(name.removeprefix("vdib.") for name in COMMANDS))
def test_help_imports_nothing_it_does_not_need(command, tmp_path):
    assert imported(tmp_path, command, "--help") & HELP.get(command, LIGHT) == set()


def test_a_default_run_imports_nothing_it_does_not_need(tmp_path):
    limits = [
        *("--model.hidden", "[20]", "--model.num_readout", "8", "--data.num_steps", "6"),
        *("--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"),
        *("--trainer.limit_test_batches", "1", "--trainer.max_epochs", "1"),
        *("--trainer.enable_progress_bar", "false", "--figures_every", "-1"),
    ]
    assert imported(tmp_path, "fit", *limits) & NEVER == set()


@pytest.mark.parametrize("own", [None, "active"])
def test_in_commands_waiting_threads_leave_the_cores_to_others(own):
    # Of use only while torch is not there yet.
    code = """
import os, sys
before = dict(os.environ)
from vdib.runs.command import run
assert os.environ == before
run(lambda: print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules))
"""
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    env |= {} if own is None else {"OMP_WAIT_POLICY": own}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split() == [own or "passive", "False"]


def test_import_vdib_is_quick_and_changes_nothing():
    code = """
import os, sys, time
before, start = dict(os.environ), time.perf_counter()
import vdib
print(time.perf_counter() - start)
assert os.environ == before
assert not {"torch", "numpy"} & set(sys.modules)
"""
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True) for _ in range(3)]
    assert all((done.returncode, done.stderr) == (0, "") for done in runs)
    assert min(float(done.stdout) for done in runs) < 0.1


def test_public_names_are_those_of_the_stub():
    for name, module in vdib._public().items():
        assert name in dir(vdib)
        assert getattr(vdib, name) is getattr(sys.modules[module], name)
    with pytest.raises(AttributeError, match="no attribute 'VIDB'"):
        _ = vdib.VIDB
