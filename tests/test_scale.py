"""One run on several processes is the run on one: the same batches, losses, weights and figures."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_runs import rows, summary, weights

from vdib import fit
from vdib.lightning_modules.order import Batches, Order, Place, Rank

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed"),
]

BLOBS = [
    *("--config", "predictive_coding", "--figures_every", "0", "--model.reference", "false"),
    *("--data.num_validation", "5", "--data.num_test", "3", "--data.num_steps", "30"),
    *("--data.num_long", "0", "--data.batch_size", "8", "--trainer.log_every_n_steps", "1"),
    *("--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"),
    *("--model.estimator", "score", "--trainer.precision", "64-true"),
]
TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def begin(*args, launcher=()):
    """`vdib.fit`, in processes of its own."""
    command = [sys.executable, "-W", "ignore", *launcher, "-m", "vdib.fit", *BLOBS, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["lightning", "torchrun"])
def test_two_processes_make_the_run_of_one(launcher):
    """Batches of 8, 8 and 1: in the last, the second process has no example of its own."""
    words = ["--data.num_train", "17", "--trainer.max_epochs", "2"]
    with begin(*words, *TWO, launcher=launcher) as process:
        assert fit.main([*BLOBS, *words, "--name", "one"]) == 0
        told, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints[-2000:]
    assert told.count("vdib: training in ") == 1
    folder = Path("runs", "predictive_coding")
    one = folder / "one"
    (two,) = set(folder.iterdir()) - {one}  # each process has its own idea of the time
    assert summary(two)["name"] == two.name
    for first, second in zip(rows(one), rows(two), strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert float(second[name] or 0) == pytest.approx(float(value or 0), rel=1e-8), name
    first, second = weights(one), weights(two)  # the baseline and the marginal are among them
    assert first["vdib.estimator.baseline"].abs().max() > 1
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=1e-8, atol=1e-8)
    figures = summary(one)
    for name, value in summary(two).items():
        if isinstance(value, float) and name != "train_seconds":
            assert value == pytest.approx(figures[name], rel=1e-8), name
    assert {path.name for path in (one / "figures").iterdir()} == {
        path.name for path in (two / "figures").iterdir()
    }


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_lost_process_ends_the_job_and_leaves_its_checkpoint():
    endless = ["--data.num_train", "16", "--trainer.max_epochs", "100000", "--name", "lost"]
    with begin(*endless, *TWO, "--trainer.check_val_every_n_epoch", "1000") as process:
        folder = Path("runs", "predictive_coding", "lost")
        while not (folder / "checkpoints" / "last.ckpt").exists():
            assert process.poll() is None, process.stderr.read()[-2000:]
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        _, complaints = process.communicate(timeout=120)
    if process.returncode == -signal.SIGABRT:  # seen once: only where C++ ends the process
        assert "terminate called" in complaints, complaints[-2000:]
    else:
        assert process.returncode == 2, complaints[-2000:]
        assert complaints.splitlines()[-1] == (
            "vdib: a process of this run is gone; "
            "go on with --experiment predictive_coding --name lost --ckpt_path last"
        )
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(bool(weight.isfinite().all()) for weight in state["state_dict"].values())


# --- whose examples ---------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize("training", [True, False])
def test_every_example_comes_once(processes, training):
    """13 in batches of 4; in training, a process without an example counts one 0 times."""
    order = Order(13, seed=3, epoch=2)
    whole = list(Batches(order, 4))
    parts = [Batches(order, 4, Rank(number, processes), training) for number in range(processes)]
    lists = [list(part) for part in parts]
    assert [len(part) for part in parts] == [len(found) for found in lists]
    assert not training or {len(found) for found in lists} == {4}
    for i, batch in enumerate(whole):
        seen = []
        for part, found in zip(parts, lists, strict=True):
            if not training and i >= len(found):
                continue
            share = part.weight(i) * len(batch) / processes
            assert share == pytest.approx(len(found[i]) if share else 0)
            seen += found[i] if share else []
        assert sorted(seen) == sorted(batch)
    assert sorted(example for batch in whole for example in batch) == list(range(13))


def test_weighted_means_of_parts_are_the_mean():
    values = torch.arange(13, dtype=torch.float64) ** 2
    for processes in (2, 3, 5):
        parts = [
            Batches(Order(13), 4, Rank(number, processes), True) for number in range(processes)
        ]
        for i, batch in enumerate(Batches(Order(13), 4)):
            means = [p.weight(i) * values[list(p)[i]].mean() for p in parts]
            torch.testing.assert_close(sum(means) / processes, values[batch].mean())


def test_batches_begin_where_the_run_is():
    order = Order(13, seed=3, epoch=2)
    later = Batches(order, 4, begin=Place(2, 3))
    assert list(later) == list(Batches(order, 4))[3:]
    assert len(later) == 4  # Lightning counts those before
    order.set_epoch(3)
    assert list(later) == list(Batches(Order(13, seed=3, epoch=3), 4))
    assert len(list(Batches(order, 4, drop_last=True))) == 3
