"""Published experiments run again: what is run, and what is printed of it."""

import json
import re
import statistics
from concurrent.futures import Future
from pathlib import Path

import pytest
import sequences as make

from vdib.reproduce.__main__ import main
from vdib.reproduce.experiment import Experiment, Row
from vdib.reproduce.published import EXPERIMENTS
from vdib.reproduce.report import figure, page
from vdib.reproduce.running import jobs_of, run_jobs
from vdib.runs.cli import build
from vdib.runs.command import UserError
from vdib.sweep.trials import Done

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TINY = Experiment(
    "A tiny one",
    "https://example.org",
    [
        Row(
            "two folds",
            ["--data.x", "[1]"],
            "class_accuracy",
            "0.9",
            [["--fold", "0"], ["--fold", "1"]],
        ),
        Row("a loss", ["--y", "2"], "loss_nats"),
        Row("goes on", ["--z", "3"], "mse", before=["--w", "4"]),
    ],
    "cut",
    "other",
)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The folder of its runs, none of them run yet."""
    monkeypatch.setattr("vdib.reproduce.__main__.EXPERIMENTS", {"tiny": TINY})
    return tmp_path


def finish(job, **summary):
    job.folder.mkdir(parents=True)
    (job.folder / "arguments.json").write_text(json.dumps(job.args))
    (job.folder / "summary.json").write_text(json.dumps(summary))


def test_figures_are_means_over_folds_then_over_seeds(tiny, capsys):
    accuracies = {(0, 0): 0.8, (0, 1): 1.0, (1, 0): 0.7, (1, 1): 0.9}
    for job in jobs_of("tiny", TINY, 2, tiny):
        if job.row == 0:
            fold = int(job.args[job.args.index("--fold") + 1])
            value = accuracies[job.seed, fold]
            finish(job, class_accuracy=value, train_seconds=30 + 60 * job.seed, test_samples=50)
    assert main(["--report-only", "--runs", str(tiny), "--seeds", "3"]) == 0
    told = capsys.readouterr().out
    assert f"  run here: {TINY.ours}\n  the original: {TINY.differs}\n" in told
    said = [re.split(r"\s{2,}", line) for line in told.splitlines()]
    mean, spread = statistics.mean([0.9, 0.8]), statistics.stdev([0.9, 0.8])
    # 85 of 100: both folds of a seed are the test examples
    ours = f"{mean:.3f} ± {spread:.3f} [0.767, 0.907]"
    assert said[2] == ["two folds, class accuracy", "0.9", ours, "2", "2.0"]  # 60 s and 180 s
    assert said[3] == ["a loss, loss nats", "not run"]


def test_the_page_is_of_what_is_run_now():
    """All but the figures, which take hours to make again."""
    made = Path(__file__).parents[1].joinpath("docs", "systems.md").read_text("utf-8")
    expected = page(((name, one, []) for name, one in EXPERIMENTS.items()), 3)
    without = [line for line in expected.splitlines() if not line.endswith("| not run |  |  |")]
    assert [line for line in without if line not in made.splitlines()] == []
    for one in EXPERIMENTS.values():
        for row in one.rows:
            assert f"\n| {row.words}, {row.figure.replace('_', ' ')} | {row.published} |" in made


def test_a_perplexity_says_of_how_many_symbols():
    row = Row("words", [], "perplexity")
    run = {"perplexity": 45.26, "vocabulary": 792, "unknown_share": 0.1448}
    assert figure(row, {0: [run]}) == "45.3 (792 symbols, 14.5% unknown)"


def test_runs_with_other_arguments_do_not_count(tiny, capsys):
    (job,) = [job for job in jobs_of("tiny", TINY, 1, tiny) if job.row == 1]
    finish(job, loss_nats=1.25, train_seconds=60)
    assert main(["--report-only", "--runs", str(tiny), "--seeds", "1"]) == 0
    assert " 1.25 " in capsys.readouterr().out
    (job.folder / "arguments.json").write_text(json.dumps([*job.args, "--more"]))
    assert main(["--report-only", "--runs", str(tiny), "--seeds", "1"]) == 0
    assert " 1.25 " not in capsys.readouterr().out


def test_every_run_is_made_once_and_those_of_a_seed_before_the_next(tiny):
    jobs = jobs_of("tiny", TINY, 2, tiny)
    assert [job.seed for job in jobs] == [0] * 5 + [1] * 5
    assert len({job.folder for job in jobs}) == 10
    for job in jobs:
        assert job.args[job.args.index("--seed") + 1] == str(job.seed)
        assert job.folder.parent == tiny / "reproduce" / "tiny"


def test_a_row_may_start_from_weights_of_a_training_before(tiny, capsys):
    before, own = jobs_of("tiny", TINY, 1, tiny, only="goes")
    assert before.before
    assert before.args[:2] == ["--w", "4"]
    assert own.args[own.args.index("--model.init_from") + 1] == str(before.folder)
    finish(before, mse=9.0, train_seconds=60)
    words = ["--report-only", "--runs", str(tiny), "--seeds", "1", "--only", "goes"]
    assert main(words) == 0
    assert re.search(r"goes on, mse +not run", capsys.readouterr().out)
    finish(own, mse=0.5, train_seconds=60)
    out = tiny / "page.md"
    assert main([*words, "--write", str(out)]) == 0
    assert re.search(r"goes on, mse +0\.5 +1 +2\.0", capsys.readouterr().out)
    made = "python -m vdib.fit --w 4 --experiment reproduce --name before\n"
    own = "python -m vdib.fit --z 3 --model.init_from runs/reproduce/before\n"
    assert f"    {made}    {own}" in out.read_text("utf-8")


def test_what_a_row_starts_from_is_run_first(tiny, monkeypatch):
    begun = []

    class Pool:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return False

        def submit(self, run, job):
            begun.extend(folder.name for folder in job)
            future = Future()
            future.set_result([Done(begun[-1], int(begun[-1] == "2-seed-0-before"), "no data")])
            return future

    monkeypatch.setattr("vdib.reproduce.running.pool", lambda workers: Pool())
    jobs = jobs_of("tiny", TINY, 2, tiny)
    with pytest.raises(UserError, match=r"^2-seed-0-before: exit status 1: no data$"):
        run_jobs(jobs, 1)
    assert begun[:2] == ["2-seed-0-before", "2-seed-1-before"]
    assert "2-seed-1" in begun
    assert "2-seed-0" not in begun
    assert len(begun) == len(jobs) - 1


def test_what_is_not_finished_is_run_and_a_failure_is_told(tiny, monkeypatch, capsys):
    asked = []

    def run_jobs(jobs, workers):
        asked.extend(jobs)

    monkeypatch.setattr("vdib.reproduce.running.run_jobs", run_jobs)
    out = tiny / "page.md"
    assert main(["tiny", "--runs", str(tiny), "--seeds", "1", "--write", str(out)]) == 0
    assert asked == jobs_of("tiny", TINY, 1, tiny)
    written = out.read_text("utf-8")
    assert "python -m vdib.fit --data.x '[1]'" in written
    assert written == page([("tiny", TINY, asked)], 1)


def test_runs_are_made(tmp_path, monkeypatch, capsys):
    small = ["--model.hidden", "[4]", "--model.num_readout", "3", "--data.num_steps", "4"]
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
    experiment = Experiment("Small", "", [Row("a run", [*small, *short], "loss_nats")], "", "")
    monkeypatch.setattr("vdib.reproduce.__main__.EXPERIMENTS", {"small": experiment})
    assert main(["small", "--seeds", "1", "--runs", str(tmp_path / "runs")]) == 0
    (job,) = jobs_of("small", experiment, 1, tmp_path / "runs")
    summary = json.loads((job.folder / "summary.json").read_text())
    assert f"{summary['loss_nats']:.3g}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["snntorch"], "NAME: got 'snntorch', expected vdib-mnist"),
        (["--only", "CNN", "snntorch-5"], "--only: no row has 'CNN'; there are: 784-1000-10"),
        (["--seeds", "0"], "--seeds: got 0, expected at least 1"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(args, told, capsys):
    assert main(args) == 2
    assert capsys.readouterr().err.startswith(f"vdib: {told}")
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_one_that_vdib_fit_takes(name, tmp_path, monkeypatch):
    if name == "snnlstm-text":  # which reads it at once
        text = tmp_path / "text" / "alice.txt"
        text.parent.mkdir()
        make.write_text(text, times=3_000)
        monkeypatch.setenv("VDIB_DATA", str(tmp_path))
    for row in EXPERIMENTS[name].rows:
        for fold in (row.folds[0], row.folds[-1]):
            model = build([*row.args, *fold, "--runs", str(tmp_path), "--name", "x"]).model
            assert row.figure in (*model.TABLE, "loss_nats")
        if row.before:
            build([*row.before, "--runs", str(tmp_path), "--name", "x"])
