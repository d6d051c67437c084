"""Published experiments, run: every row, seed and fold a run of `vdib.fit` in its own folder."""

from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.reproduce.experiment import Experiment, Row
from vdib.runs.command import UserError
from vdib.sweep.trials import Done, finished, pool, run_all

FOLDER = "reproduce"


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        row: which of the experiment's rows.
        seed: of the run.
        folder: its own.
        args: of `vdib.fit`.
        before: whether it is none of the row's own, which start from its weights.
    """

    row: int
    seed: int
    folder: Path
    args: list[str]
    before: bool = False


def jobs_of(name: str, experiment: Experiment, seeds: int, runs: Path, only: str = "") -> list[Job]:
    """All runs of an experiment; seeds last, so that one cut short has all rows of the first.

    Args:
        name: of the experiment.
        experiment: whose rows.
        seeds: how many.
        runs: folder of all runs.
        only: part of the words of the rows that are wanted.
    """
    return [
        job
        for seed in range(seeds)
        for number, row in enumerate(experiment.rows)
        if only in row.words
        for job in _jobs(runs / FOLDER / name / f"{number}-seed-{seed}", number, row, seed, runs)
    ]


def _jobs(folder: Path, number: int, row: Row, seed: int, runs: Path) -> Iterator[Job]:
    """A row's runs under a seed; what they start from comes first."""
    common = ["--seed", str(seed), "--figures_every", "-1"]
    common += ["--runs", str(runs), "--experiment", FOLDER]
    start: list[str] = []
    if row.before:
        before = folder.with_name(f"{folder.name}-before")
        yield Job(number, seed, before, [*row.before, *common], before=True)
        start = ["--model.init_from", str(before)]
    for fold, args in enumerate(row.folds):
        own = f"{folder.name}-fold-{fold}" if len(row.folds) > 1 else folder.name
        yield Job(number, seed, folder.with_name(own), [*row.args, *args, *start, *common])


def run_jobs(jobs: list[Job], workers: int) -> None:
    """Run what is not finished yet.

    Raises:
        UserError: a run failed; those that do not start from its weights are finished first.
    """
    failed: dict[tuple[int, int], Done] = {}
    with pool(workers) as processes, tqdm(total=len(jobs), unit="run", smoothing=0) as bar:
        for before in (True, False):
            waiting: dict[Future[list[Done]], Job] = {
                processes.submit(run_all, {job.folder: job.args}): job
                for job in jobs
                if job.before == before and (job.row, job.seed) not in failed
            }
            for future in as_completed(waiting):
                job, (done,) = waiting[future], future.result()
                if done.code:
                    failed[job.row, job.seed] = done
                bar.update()
    if failed:
        done = next(iter(failed.values()))
        raise UserError(f"{done.name}: exit status {done.code}: {done.error}")


def summaries(jobs: list[Job], row: int, before: bool = False) -> dict[int, list[dict[str, Any]]]:
    """Of each seed all of whose folds are finished, their summaries, in the folds' order.

    Args:
        jobs: of an experiment.
        row: whose.
        before: of what the folds start from, instead.
    """
    of_seeds: dict[int, list[dict[str, Any] | None]] = {}
    for job in jobs:
        if job.row == row and job.before == before:
            of_seeds.setdefault(job.seed, []).append(finished(job.folder, job.args))
    return {
        seed: [summary for summary in folds if summary is not None]
        for seed, folds in of_seeds.items()
        if None not in folds
    }
