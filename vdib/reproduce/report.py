"""What reproduced experiments came to, beside what was published."""

import shlex
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vdib.metrics import wilson_interval
from vdib.reproduce.experiment import ACCURACIES, Experiment, Row
from vdib.reproduce.running import Job, summaries

HEAD = ("", "published", "ours", "seeds", "minutes")
ABOUT = """# The systems it grew from

Published experiments, run by this package. This page is made by

    VDIB_DATA=... python -m vdib.reproduce --seeds {seeds} --write docs/systems.md

± is the standard deviation over seeds, brackets are 95 % Wilson intervals on the number of test
examples of one seed (folds together). Weights are chosen on validation data, which is part of what
the originals train on; the test split is read once, at the end of a run. Minutes are those of one
training on one core, folds and what they start from together, mean over seeds.
"""


def figure(row: Row, of_seeds: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """Our figure of a row: the mean over folds, then mean and spread over seeds."""
    means = [
        statistics.mean(float(fold[row.figure]) for fold in folds) for folds in of_seeds.values()
    ]
    digits = ".3f" if row.figure in ACCURACIES else ".3g"
    said = f"{statistics.mean(means):{digits}}"
    if len(means) > 1:
        said += f" ± {statistics.stdev(means):{digits}}"
    if row.figure in ACCURACIES:
        trials = sum(int(fold["test_samples"]) for fold in next(iter(of_seeds.values())))
        low, high = wilson_interval(round(statistics.mean(means) * trials), trials)
        said += f" [{low:.3f}, {high:.3f}]"
    if row.figure == "perplexity":  # which says nothing without them
        run = next(iter(of_seeds.values()))[0]
        said += f" ({run['vocabulary']} symbols, {run['unknown_share']:.1%} unknown)"
    return said


def minutes(of_seeds: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """How long a seed trained, all its runs together."""
    each = [sum(float(run["train_seconds"]) for run in runs) for runs in of_seeds.values()]
    return f"{statistics.mean(each) / 60:.1f}"


def lines(experiment: Experiment, jobs: list[Job]) -> list[tuple[str, ...]]:
    """The rows of an experiment's table; those of which no seed is finished say so."""
    table: list[tuple[str, ...]] = []
    for number, row in enumerate(experiment.rows):
        of_seeds = summaries(jobs, number)
        ours = ("not run", "", "")
        if of_seeds:
            with_before = {
                seed: [*runs, *summaries(jobs, number, before=True).get(seed, [])]
                for seed, runs in of_seeds.items()
            }
            ours = (figure(row, of_seeds), str(len(of_seeds)), minutes(with_before))
        table.append((f"{row.words}, {row.figure.replace('_', ' ')}", row.published, *ours))
    return table


def text(name: str, experiment: Experiment, jobs: list[Job]) -> str:
    """For a terminal."""
    table = [HEAD, *lines(experiment, jobs)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEAD))]
    rows = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
    said = (("run here", experiment.ours), ("the original", experiment.differs))
    notes = [
        textwrap.fill(f"{who}: {words}", 100, initial_indent="  ", subsequent_indent="    ")
        for who, words in said
    ]
    return "\n".join([f"{name}: {experiment.title}, {experiment.source}", *rows, *notes])


def _commands(row: Row) -> list[str]:
    """How one of a row's runs is made; of several folds the first."""
    made = f"python -m vdib.fit {shlex.join([*row.args, *row.folds[0]])}"
    before = []
    if row.before:
        where = ["--experiment", "reproduce", "--name", "before"]
        before = [f"python -m vdib.fit {shlex.join([*row.before, *where])}"]
        made += " --model.init_from runs/reproduce/before"
    return [*before, f"{made}  # the first of {len(row.folds)}" if len(row.folds) > 1 else made]


def page(experiments: Iterable[tuple[str, Experiment, list[Job]]], seeds: int) -> str:
    """`docs/systems.md`."""
    parts = [ABOUT.format(seeds=seeds)]
    for name, experiment, jobs in experiments:
        commands = dict.fromkeys(made for row in experiment.rows for made in _commands(row))
        parts.append(
            "\n".join(
                [
                    f"## {name}",
                    "",
                    f"[{experiment.title}]({experiment.source})",
                    "",
                    *("| " + " | ".join(cells) + " |" for cells in (HEAD, ("---",) * len(HEAD))),
                    *("| " + " | ".join(cells) + " |" for cells in lines(experiment, jobs)),
                    "",
                    f"*Run here*: {experiment.ours}",
                    "",
                    f"*The original*: {experiment.differs}",
                    "",
                    *(f"    {command}" for command in commands),
                    "",
                ]
            )
        )
    return "\n".join(parts)
