"""`python -m vdib.sweep`: many runs of `vdib.fit`, as one study.

python -m vdib.sweep --config predictive_coding --over data.lag=-4:4 model.window=full,rate
python -m vdib.sweep --config predictive_coding --search model.beta=1e-3:10:log --trials 20

`--over` runs every combination, from a queue in an Optuna study; `--search` lets Optuna's TPE
sampler choose what lowers the metric. Whatever else is said goes to every run. Called again with
its --name, a sweep that was cut short goes on; other machines join with the same --storage.
"""

import argparse
import itertools
import os
import socket
import sys
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.runs.command import UserError, run
from vdib.sweep.report import numbers, write
from vdib.sweep.space import Choice, Range, over, search
from vdib.sweep.trials import Done, pool, run_all

BEAT, DEAD = 30.0, 300.0
"""Seconds between a sweep's signs of life, and without any after which its runs are taken over."""


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Attributes:
        space: what varies.
        searching: whether TPE chooses; otherwise every combination is run.
        seeds: how many of each; a search takes their mean.
        trials: of a search.
        metric: of the summary, to be lowest.
        common: arguments of every run.
        folder: of the sweep.
    """

    space: tuple[Choice | Range, ...]
    searching: bool
    seeds: int
    trials: int
    metric: str
    common: tuple[str, ...]
    folder: Path

    @property
    def identity(self) -> list[Any]:
        """What must not change when a sweep goes on; seeds and trials may grow."""
        return [list(self.common), [str(part) for part in self.space], self.metric]

    def grid(self) -> list[dict[str, Any]]:
        """Every combination, seed by seed."""
        choices = [part for part in self.space if isinstance(part, Choice)]
        every = list(itertools.product(*(choice.values for choice in choices)))
        keys = [choice.key for choice in choices]
        return [
            {**dict(zip(keys, values, strict=True)), "seed": seed}
            for seed in range(self.seeds)
            for values in every
        ]

    def jobs(self, params: Mapping[str, Any]) -> dict[Path, list[str]]:
        """The runs of a trial: their folders, and what `vdib.fit` is told."""
        settings = {key: str(value) for key, value in params.items() if key != "seed"}
        words = [word for key, value in settings.items() for word in (f"--{key}", value)]
        short = ",".join(f"{key.split('.', 1)[1]}={value}" for key, value in settings.items())
        seeds = range(self.seeds) if self.searching else [params["seed"]]
        return {
            self.folder / f"{short.replace('/', '_')},seed={seed}": [
                *(*self.common, *words, "--seed", str(seed))
            ]
            for seed in seeds
        }


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _sweep(sys.argv[1:] if args is None else args))


def _parse(args: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m vdib.sweep",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--over", nargs="+", metavar="KEY=A,B", help="or KEY=LOW:HIGH[:STEP]")
    kinds.add_argument("--search", nargs="+", metavar="KEY=LOW:HIGH[:log]", help="or KEY=A,B")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each setting (default: 1)")
    parser.add_argument("--trials", type=int, default=20, help="of a search (default: 20)")
    parser.add_argument("--metric", default="validation_loss_nats", help="of the summary")
    parser.add_argument("--plot", help="of the summary, on the figure (default: the metric)")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--name", help="the sweep's folder (default: the time)")
    parser.add_argument("--storage", help="URL of an Optuna storage (default: a file in it)")
    known, rest = parser.parse_known_args(args)
    for name in ("seeds", "trials", "workers"):
        if getattr(known, name) < 1:
            raise UserError(f"--{name}: got {getattr(known, name)}, expected at least 1")
    return known, rest


def _plan(asked: argparse.Namespace, common: list[str]) -> Plan:
    kind, texts = ("over", asked.over) if asked.over else ("search", asked.search)
    try:
        space = tuple(over(text) if asked.over else search(text) for text in texts)
    except ValueError as error:
        raise UserError(f"--{kind} {error}") from error
    from vdib.runs.cli import build  # takes seconds to import

    # Every key is tried on the parser before anything runs, which also finds the folder.
    first = {p.key: p.values[0] if isinstance(p, Choice) else f"{p.low:g}" for p in space}
    words = [word for key, value in first.items() for word in (f"--{key}", value)]
    name = asked.name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = build([*common, *words, "--name", name]).folder
    return Plan(
        space, not asked.over, asked.seeds, asked.trials, asked.metric, tuple(common), folder
    )


def _sweep(args: list[str]) -> int:
    asked, common = _parse(args)
    try:
        import optuna
    except ImportError:
        raise UserError("sweeps need Optuna: pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan = _plan(asked, common)
    plan.folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=asked.storage or f"sqlite:///{plan.folder.resolve() / 'study.db'}",
        study_name="/".join(plan.folder.parts[-2:]),
        load_if_exists=True,
    )
    if study.user_attrs.get("identity", plan.identity) != plan.identity:
        raise UserError(f"{plan.folder} holds another sweep: choose another --name")
    study.set_user_attr("identity", plan.identity)
    # Not the same random numbers again where a search goes on.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
    print(f"vdib: sweeping in {plan.folder}", flush=True)
    failures: list[Done] = []
    status = 0
    try:
        _work(study, plan, asked.workers, failures)
    except KeyboardInterrupt:
        print(f"vdib: interrupted; go on with --name {plan.folder.name}", file=sys.stderr)
        status = 130
    # A trial that was killed before it was told has its summaries, and a successor.
    if trials := [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]:
        for path in write(plan.folder, plan.space, trials, asked.plot or plan.metric):
            print(f"vdib: wrote {path}")
    for done in failures:
        print(f"vdib: {done.name}: exit status {done.code}: {done.error}", file=sys.stderr)
    return status or min(1, len(failures))


def _work(study: Any, plan: Plan, workers: int, failures: list[Done]) -> None:
    """Ask, run and tell until nothing is left; runs that fail are added to the list."""
    from optuna.trial import TrialState

    given_up: list[Any] = []  # settings of this call's failures
    running: dict[Future[list[Done]], Any] = {}
    total = plan.trials if plan.searching else len(plan.grid())
    with pool(workers) as processes, tqdm(total=total, unit="trial", smoothing=0) as bar:
        while True:
            _revive(study, plan, given_up, {trial.number for trial in running.values()})
            while len(running) < workers and (trial := _next(study, plan, len(given_up))):
                running[processes.submit(run_all, plan.jobs(trial.params))] = trial
            states = [trial.state for trial in study.get_trials(deepcopy=False)]
            bar.update(states.count(TrialState.COMPLETE) - bar.n)
            if not running and TrialState.RUNNING not in states:
                return
            # Where nothing is left to start, other machines' runs may still have to be taken over.
            finished = wait(running, BEAT, FIRST_COMPLETED).done
            if not running:
                time.sleep(1)
            for trial in running.values():
                trial.set_user_attr("beat", time.time())
            for future in finished:
                trial, results = running.pop(future), future.result()
                bad = [result for result in results if result.code]
                failures += bad
                if bad:
                    given_up.append(trial.params)
                    study.tell(trial, state=TrialState.FAIL)
                    continue
                summaries = [result.summary for result in results]
                if plan.metric not in summaries[0]:
                    raise UserError(
                        f"--metric: got {plan.metric}, expected one of {numbers(summaries[0])}"
                    )
                trial.set_user_attr("summaries", summaries)
                study.tell(trial, sum(float(s[plan.metric]) for s in summaries) / len(summaries))


def _next(study: Any, plan: Plan, failed: int) -> Any:
    """A trial to run, or None where there is none left to start."""
    from optuna.trial import TrialState

    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    begun = states.count(TrialState.COMPLETE) + states.count(TrialState.RUNNING) + failed
    if not (plan.searching and begun < plan.trials) and TrialState.WAITING not in states:
        return None
    trial = study.ask()
    trial.set_user_attr("owner", [socket.gethostname(), os.getpid()])
    trial.set_user_attr("beat", time.time())
    if not plan.searching and "queued" not in trial.user_attrs:
        study.tell(trial, state=TrialState.FAIL)  # another machine took the last one
        return None
    for part in plan.space:
        if isinstance(part, Choice):
            trial.suggest_categorical(part.key, part.values)
        elif part.whole:
            trial.suggest_int(part.key, int(part.low), int(part.high), log=part.log)
        else:
            trial.suggest_float(part.key, part.low, part.high, log=part.log)
    if not plan.searching:
        trial.suggest_int("seed", 0, 2**31)
    return trial


def _revive(study: Any, plan: Plan, given_up: list[Any], ours: set[int]) -> None:
    """Queue what is not there yet, and what died with the process that ran it."""
    from optuna.trial import TrialState

    held = list(given_up)
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.RUNNING and trial.number not in ours and _dead(trial):
            study.tell(trial.number, state=TrialState.FAIL)
        elif trial.state in (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING):
            held.append(trial.user_attrs.get("queued"))
    for params in [] if plan.searching else plan.grid():
        if params not in held:
            study.enqueue_trial(params, user_attrs={"queued": params})


def _dead(trial: Any) -> bool:
    """Whether nobody runs it any more: its process is gone, or has long been silent."""
    host, process = trial.user_attrs.get("owner", ("", 0))
    if host == socket.gethostname() and os.name == "posix":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        if process == os.getpid():  # the number has come round again
            return True
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    silent = time.time() - float(trial.user_attrs.get("beat", begun))
    return silent > (DEAD if "owner" in trial.user_attrs else BEAT)  # it is said at once


if __name__ == "__main__":
    sys.exit(main())
