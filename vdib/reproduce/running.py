"""Published experiments, run: every row, seed and fold a run of `vdib.fit` in its own folder."""

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
    """

    row: int
    seed: int
    folder: Path
    args: list[str]


def jobs_of(name: str, experiment: Experiment, seeds: int, runs: Path) -> list[Job]:
    """All runs of an experiment; seeds last, so that one cut short has all rows of the first."""
    return [
        _job(name, number, row, seed, fold, runs)
        for seed in range(seeds)
        for number, row in enumerate(experiment.rows)
        for fold in range(len(row.folds))
    ]


def _job(name: str, number: int, row: Row, seed: int, fold: int, runs: Path) -> Job:
    own = f"{number}-seed-{seed}" + (f"-fold-{fold}" if len(row.folds) > 1 else "")
    where = ["--runs", str(runs), "--experiment", FOLDER]
    args = [*row.args, *row.folds[fold], "--seed", str(seed), "--figures_every", "-1", *where]
    return Job(number, seed, runs / FOLDER / name / own, args)


def run_jobs(jobs: list[Job], workers: int) -> None:
    """Run what is not finished yet.

    Raises:
        UserError: a run failed; the others are finished first.
    """
    failed: list[Done] = []
    with pool(workers) as processes, tqdm(total=len(jobs), unit="run", smoothing=0) as bar:
        waiting: list[Future[list[Done]]] = [
            processes.submit(run_all, {job.folder: job.args}) for job in jobs
        ]
        for future in as_completed(waiting):
            failed += [done for done in future.result() if done.code]
            bar.update()
    if failed:
        raise UserError(f"{failed[0].name}: exit status {failed[0].code}: {failed[0].error}")


def summaries(jobs: list[Job], row: int) -> dict[int, list[dict[str, Any]]]:
    """Of each seed all of whose folds are finished, their summaries, in the folds' order."""
    of_seeds: dict[int, list[dict[str, Any] | None]] = {}
    for job in jobs:
        if job.row == row:
            of_seeds.setdefault(job.seed, []).append(finished(job.folder, job.args))
    return {
        seed: [summary for summary in folds if summary is not None]
        for seed, folds in of_seeds.items()
        if None not in folds
    }
