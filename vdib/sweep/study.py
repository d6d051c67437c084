"""A sweep as an Optuna study: trials are asked for, run and told, by any number of machines."""

import os
import socket
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.runs.command import UserError
from vdib.sweep.plan import Plan
from vdib.sweep.report import numbers
from vdib.sweep.space import Choice
from vdib.sweep.trials import Done, pool, run_all

BEAT, DEAD = 30.0, 300.0
"""Seconds between a sweep's signs of life, and without any after which its runs are taken over."""


def storage(given: str | None, folder: Path) -> Any:
    """Where the study lies: a journal on a disk that all machines see, or a database.

    Args:
        given: a file, or the URL of a database, such as `postgresql+pg8000://user@host/name`; by
            default the file `study.journal` of the sweep's folder.
        folder: of the sweep.

    Raises:
        UserError: the database is not reached.
    """
    if given is not None and "://" in given:
        from optuna.storages import RDBStorage

        try:
            return RDBStorage(given)
        except Exception as error:  # of the driver, of which there are several
            kind = given.split("://")[0]  # there may be a password in the rest
            raise UserError(f"--storage {kind}://...: {str(error).splitlines()[0]}") from error
    from vdib.sweep.journal import journal

    return journal(folder / "study.journal" if given is None else Path(given).expanduser())


def close(stored: Any) -> None:
    """Let go of a storage: a database's connections."""
    if engine := getattr(stored, "engine", None):
        stored.remove_session()
        engine.dispose()


def work(study: Any, plan: Plan, workers: int, failures: list[Done]) -> None:
    """Ask, run and tell until nothing is left; runs that fail are added to the list."""
    from optuna.exceptions import UpdateFinishedTrialError
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
                with suppress(UpdateFinishedTrialError):
                    trial.set_user_attr("beat", time.time())
            for future in finished:
                trial, results = running.pop(future), future.result()
                bad = [result for result in results if result.code]
                failures += bad
                if bad:
                    given_up.append(trial.params)
                    study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
                    continue
                summaries = [result.summary for result in results]
                if plan.metric not in summaries[0]:
                    raise UserError(
                        f"--metric: got {plan.metric}, expected one of {numbers(summaries[0])}"
                    )
                mean = sum(float(s[plan.metric]) for s in summaries) / len(summaries)
                with suppress(UpdateFinishedTrialError):  # where this machine was thought lost
                    trial.set_user_attr("summaries", summaries)
                    study.tell(trial, mean, skip_if_finished=True)


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
    if not plan.searching and (
        "queued" not in trial.user_attrs  # another machine took the last one
        or _twice(study, trial)
    ):
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
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


def _twice(study: Any, trial: Any) -> bool:
    """Whether another trial of the same settings runs or is complete: two machines queued them.

    Where both see each other, both are given up, and one is queued again.
    """
    from optuna.trial import TrialState

    queued = trial.user_attrs["queued"]
    return any(
        other.number != trial.number
        and other.state in (TrialState.COMPLETE, TrialState.RUNNING)
        and other.user_attrs.get("queued") == queued
        for other in study.get_trials(deepcopy=False)
    )


def _revive(study: Any, plan: Plan, given_up: list[Any], ours: set[int]) -> None:
    """Queue what is not there yet, and what died with the process that ran it."""
    from optuna.trial import TrialState

    held = list(given_up)
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.RUNNING and trial.number not in ours and _dead(trial):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
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
