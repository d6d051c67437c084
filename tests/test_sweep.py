"""Sweeps: what they vary, that nothing finished is run again, and what they leave behind."""

import builtins
import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vdib.figures import sweep as plot_sweep
from vdib.sweep import __main__ as sweep
from vdib.sweep import study, trials
from vdib.sweep.journal import journal, mend
from vdib.sweep.space import Choice, Range, over, search

optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install optuna")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TINY = [
    *("--config", "predictive_coding", "--figures_every", "-1", "--model.reference", "false"),
    *("--data.num_train", "16", "--data.num_validation", "2", "--data.num_test", "2"),
    *("--data.num_steps", "30", "--data.num_long", "0", "--trainer.log_every_n_steps", "1"),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# --- what varies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("data.lag=-2:2", ("-2", "-1", "0", "1", "2")),
        ("data.lag=0:7:3", ("0", "3", "6")),
        ("model.window=full,rate", ("full", "rate")),
        ("model.beta=1e-3", ("1e-3",)),
        ("model.hidden=[],[20,30],[4]", ("[]", "[20,30]", "[4]")),
        ("model.decoder.num_hidden=8,9", ("8", "9")),
    ],
)
def test_values(text, values):
    assert over(text) == Choice(text.split("=")[0], values)


def test_ranges():
    assert search("model.beta=1e-3:10:log") == Range("model.beta", 1e-3, 10, log=True)
    assert search("model.num_readout=4:32:log") == Range("model.num_readout", 4, 32, True, True)
    assert search("model.lr=0.1:0.2") == Range("model.lr", 0.1, 0.2)
    assert search("model.window=full,rate") == Choice("model.window", ("full", "rate"))


WRONG = {
    "--over data.lag": "--over data.lag: expected key=values, such as model.beta=0.01,1",
    "--over lag=1": "--over lag=1: expected key=values",
    "--over data.lag=2:1": "--over data.lag=2:1: expected low <= high",
    "--over data.lag=1,1": "--over data.lag=1,1: expected distinct values",
    "--search model.beta=0:1:log": "--search model.beta: got 0 to 1, expected 0 < low < high",
    "--search model.beta=1:2:lin": "--search model.beta=1:2:lin: expected model.beta=low:high or",
    "--search model.beta=a:b": "--search model.beta=a:b: the ends are to be numbers",
    "--over data.lagg=1,2": "--data.lagg: no such setting; did you mean lag?",
    "--over model.window=odd,full": "--model.window: got 'odd', expected full, basis, rate",
    "--over model.lag=1": "--model.lag: follows from --data.lag",
    "--over data.lag=1 --seeds 0": "--seeds: got 0, expected at least 1",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_is_one_line(words, capsys):
    assert sweep.main([*TINY, *words.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vdib: {WRONG[words]}")
    assert list(Path().iterdir()) == []


def test_without_optuna_it_is_said_what_to_install(monkeypatch, capsys):
    find = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "optuna":
            raise ImportError(name)
        return find(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert sweep.main([*TINY, "--over", "data.lag=1"]) == 2
    assert capsys.readouterr().err == "vdib: sweeps need Optuna: pip install optuna\n"


# --- with runs that only pretend --------------------------------------------------------------


@pytest.fixture
def pretended(monkeypatch):
    """Runs within this process that cost (lag - 1)^2 + seed / 10; the arguments of each."""
    began = []

    def fit(args):
        given = dict(zip(args[::2], args[1::2], strict=True))
        began.append(given)
        lag = float(given["--data.lag"])
        if lag == 3:
            return 2, "vdib: no luck"
        folder = Path("runs", "predictive_coding", given["--name"])
        folder.mkdir(parents=True)
        loss = (lag - 1) ** 2 + int(given["--seed"]) / 10
        summary = {"name": given["--name"], "seed": int(given["--seed"])}
        text = json.dumps({**summary, "validation_loss_nats": loss, "nats_per_step": 2 * loss})
        (folder / "summary.json").write_text(text)
        return 0, ""

    monkeypatch.setattr(trials, "_fit", fit)
    monkeypatch.setattr(study, "pool", ThreadPoolExecutor)
    return began


def rows(name):
    with Path("runs", "predictive_coding", name, "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_combination_runs_once_and_never_again(pretended, capsys):
    args = [*TINY, "--over", "data.lag=-1:1", "model.window=full,rate", "--seeds", "2"]
    assert sweep.main([*args, "--name", "one"]) == 0
    assert len(pretended) == 12
    told = capsys.readouterr().out.splitlines()
    folder = Path("runs", "predictive_coding", "one")
    assert told == [
        f"vdib: sweeping in {folder}",
        *(f"vdib: wrote {folder / name}" for name in ("sweep.csv", "sweep.png")),
    ]
    table = rows("one")
    kept = [(row["data.lag"], row["model.window"], row["seed"]) for row in table]
    assert sorted(kept, key=lambda k: (int(k[0]), *k[1:])) == kept
    assert len(set(kept)) == 12
    assert [float(row["validation_loss_nats"]) for row in table[:2]] == [4.0, 4.1]

    assert sweep.main([*args, "--name", "one"]) == 0
    assert len(pretended) == 12
    assert sweep.main([*args[:-1], "3", "--name", "one"]) == 0  # one more seed
    assert len(pretended) == 18
    assert len(rows("one")) == 18


def test_another_sweep_does_not_go_into_its_folder(pretended, capsys):
    assert sweep.main([*TINY, "--over", "data.lag=1", "--name", "one"]) == 0
    capsys.readouterr()
    assert sweep.main([*TINY, "--over", "data.lag=1,2", "--name", "one"]) == 2
    assert "holds another sweep: choose another --name" in capsys.readouterr().err


def test_failures_are_told_at_the_end_and_tried_again_by_the_next_call(pretended, capsys):
    args = [*TINY, "--over", "data.lag=2:4", "--name", "one"]
    for tried in (3, 4):
        assert sweep.main(args) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert line == "vdib: lag=3,seed=0: exit status 2: vdib: no luck"
        assert len(pretended) == tried
    assert [row["data.lag"] for row in rows("one")] == ["2", "4"]


@pytest.mark.parametrize("said", [True, False])
def test_runs_of_a_dead_process_are_taken_over(said, pretended, monkeypatch):
    monkeypatch.setattr(study, "BEAT", 0.2)  # of which one is enough where no owner was said
    args = [*TINY, "--over", "data.lag=0,1", "--name", "one"]
    assert sweep.main(args) == 0
    folder = Path("runs", "predictive_coding", "one")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    studied = optuna.load_study(
        study_name="predictive_coding/one", storage=journal(folder / "study.journal")
    )
    params = {"data.lag": "1", "seed": 1}
    studied.enqueue_trial(params, user_attrs={"queued": params})
    trial = studied.ask()
    if said:
        trial.set_user_attr("owner", [os.uname().nodename, gone.pid])
        trial.set_user_attr("beat", time.time())
    assert sweep.main([*args, "--seeds", "2"]) == 0
    assert [given["--seed"] for given in pretended] == ["0", "0", "1", "1"]
    assert len(rows("one")) == 4


def test_an_unfinished_folder_is_begun_again_and_a_finished_one_adopted(pretended):
    args = [*TINY, "--over", "data.lag=0,1", "--name", "one"]
    assert sweep.main(args) == 0
    folder = Path("runs", "predictive_coding", "one")
    (folder / "study.journal").unlink()  # as where it was killed before it could tell the study
    (folder / "lag=1,seed=0" / "arguments.json").unlink()
    assert sweep.main(args) == 0
    assert [given["--data.lag"] for given in pretended] == ["0", "1", "1"]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The URL of a PostgreSQL server that was started for these tests."""
    pytest.importorskip("pg8000", reason="pg8000 is not installed: pip install pg8000")
    found = shutil.which("initdb") and shutil.which("postgres")
    if not found:
        pytest.skip("PostgreSQL is not there: its initdb and postgres are not on the PATH")
    # The server refuses to run as root, who may start it as another.
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="vdib-pg-"))
    try:
        if user:
            shutil.chown(folder, "nobody")
        command = ["initdb", "-D", folder / "data", "-U", "vdib", "-A", "trust", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["postgres", "-D", folder / "data", "-k", folder, "-p", str(port), "-F"]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=folder, **user)
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield f"postgresql+pg8000://vdib@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("where", ["journal", "postgresql"])
def test_a_lost_machine_loses_no_trial(where, pretended, monkeypatch, request):
    """A machine is lost with a run half done, another is at work; this one joins them."""
    monkeypatch.setattr(study, "BEAT", 0.2)
    monkeypatch.setattr(study, "DEAD", 1.0)
    given = "shared/study.log" if where == "journal" else request.getfixturevalue("database")
    args = [*TINY, "--over", "data.lag=0,1", "--name", "one", "--storage", given]
    assert sweep.main(args) == 0
    stored = study.storage(given, Path())
    studied = optuna.load_study(study_name="predictive_coding/one", storage=stored)
    for lag, beat in (("0", time.time() - 60), ("1", time.time())):
        params = {"data.lag": lag, "seed": 1}
        studied.enqueue_trial(params, user_attrs={"queued": params})
        trial = studied.ask()
        trial.set_user_attr("owner", ["elsewhere", 1])
        trial.set_user_attr("beat", beat)  # the second dies later
    study.close(stored)
    half = Path("runs", "predictive_coding", "one", "lag=0,seed=1", "checkpoints")
    half.mkdir(parents=True)
    assert sweep.main([*args, "--seeds", "2"]) == 0
    ran = [(given["--data.lag"], given["--seed"]) for given in pretended]
    assert sorted(ran) == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    assert len(rows("one")) == 4


def test_machines_that_begin_at_once_share_the_queue(pretended):
    """Both queue everything; each combination is run once."""
    args = [*TINY, "--over", "data.lag=-1:2", "--name", "one", "--workers", "2"]
    assert sweep.main(args) == 0
    storage = study.storage(None, Path("runs", "predictive_coding", "one"))
    studied = optuna.load_study(study_name="predictive_coding/one", storage=storage)
    for lag in ("0", "1"):
        params = {"data.lag": lag, "seed": 0}
        studied.enqueue_trial(params, user_attrs={"queued": params})
    assert sweep.main(args) == 0
    assert len(pretended) == 4
    assert len(rows("one")) == 4


def test_a_torn_line_of_a_journal_spoils_nothing(pretended):
    args = [*TINY, "--over", "data.lag=0,1", "--name", "one"]
    assert sweep.main(args) == 0
    path = Path("runs", "predictive_coding", "one", "study.journal")
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(whole[: len(whole) // 2].replace(b"\n", b" "))
    assert sweep.main([*args, "--seeds", "2"]) == 0
    assert len(rows("one")) == 4
    path.write_bytes(b"torn" * 3000)
    mend(path)
    assert path.read_bytes() == b""


def test_a_database_that_is_not_there_is_one_line(pretended, capsys):
    url = "sqlite:////nowhere/of/all/secret.db"
    assert sweep.main([*TINY, "--over", "data.lag=0", "--storage", url]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("vdib: --storage sqlite://...: ")
    assert "secret" not in line


def test_a_search_finds_the_minimum_and_takes_the_mean_over_seeds(pretended):
    args = [*TINY, "--search", "data.lag=-8:2", "--trials", "25", "--name", "one"]
    assert sweep.main([*args, "--seeds", "2"]) == 0
    assert len(pretended) <= 50  # a setting that comes again is not run again
    studied = optuna.load_study(
        study_name="predictive_coding/one",
        storage=journal(Path("runs", "predictive_coding", "one", "study.journal")),
    )
    assert len(studied.trials) == 25
    assert abs(studied.best_params["data.lag"] - 1) <= 2
    assert studied.best_value == pytest.approx((studied.best_params["data.lag"] - 1) ** 2 + 0.05)
    assert sweep.main([*args[:-3], "27", "--name", "one", "--seeds", "2"]) == 0
    assert len(rows("one")) == 54


def test_a_metric_that_is_not_there_is_one_line(pretended, capsys):
    assert sweep.main([*TINY, "--over", "data.lag=1", "--metric", "nats"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vdib: --metric: got nats, expected one of seed, validation_loss_nats")


# --- figures ----------------------------------------------------------------------------------


def test_the_number_with_most_values_is_the_axis():
    made = [
        {"data.lag": lag, "model.beta": beta, "model.window": window, "y": lag + 10 * beta + seed}
        for lag in (-1, 0, 1)
        for beta in (0.1, 1.0)
        for window in ("full", "rate")
        for seed in (0, 1)
    ]
    figure = plot_sweep.compared(["data.lag", "model.beta", "model.window"], made, "y")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "data.lag"
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert lines["beta 1.0, window rate"] == [9.5, 10.5, 11.5]
    assert len(lines) == len(axes.collections) == 4
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() - (1 + 1 + 0.5) == pytest.approx(0.5**0.5)


def test_words_lie_side_by_side():
    made = [{"model.window": w, "y": y} for w, y in (("full", 1), ("rate", 2), ("rate", 4))]
    (axes,) = plot_sweep.compared(["model.window"], made, "y").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["window full", "window rate"]
    assert [line.get_xdata().tolist() for line in axes.lines[2:3]] == [[2.0, 4.0]]


def test_a_search_shows_its_best():
    made = [{"model.beta": beta, "y": (beta - 0.1) ** 2} for beta in (0.01, 0.1, 1.0)]
    axes = plot_sweep.searched({"model.beta": True}, made, "y").axes[0]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.texts] == ["0.1"]


# --- with real runs and processes -------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_sweep_goes_on_where_it_was():
    command = [sys.executable, "-W", "ignore", "-m", "vdib.sweep", *TINY, "--name", "killed"]
    command += ["--over", "data.lag=0:3", "--workers", "1"]
    folder = Path("runs", "predictive_coding", "killed")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
        while not (done := sorted(folder.glob("*/arguments.json"))):
            assert first.poll() is None
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in done}
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (0, f"vdib: sweeping in {folder}")
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert [row["data.lag"] for row in rows("killed")] == ["0", "1", "2", "3"]
    assert (folder / "sweep.png").stat().st_size > 1000
