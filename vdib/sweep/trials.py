"""Runs of a sweep, in processes of one thread each."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.files import replacing
from vdib.runs.command import UserError
from vdib.runs.folder import Run

QUIET = ["--trainer.enable_progress_bar", "false"]
ARGUMENTS = "arguments.json"
"""In a run's folder, once it is finished: what it was called with."""


@dataclass(frozen=True)
class Done:
    """How a run ended.

    Attributes:
        name: of its folder.
        code: its exit status, 0 where all went well.
        error: the last line of what it complained of.
        summary: its `summary.json`.
    """

    name: str
    code: int
    error: str = ""
    summary: dict[str, Any] = field(default_factory=dict)


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the one that started them, however that ends."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the processes import torch
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _end_with, (os.getpid(),)) as processes:
        try:
            yield processes
        except BaseException:  # their runs are begun again by the next call
            processes.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _end_with(parent: int) -> None:
    """Watch over the parent: a run that outlives its sweep would be run again beside itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends them

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_all(jobs: Mapping[Path, Sequence[str]]) -> list[Done]:
    """Folder -> arguments of `vdib.fit`; those that have come to their end are not run again."""
    return [_run(folder, list(args)) for folder, args in jobs.items()]


def run_each(jobs: Mapping[Path, Sequence[str]], workers: int) -> Iterator[tuple[Path, Done]]:
    """Folder -> arguments of `vdib.fit`, in so many processes: each as it comes to its end."""
    with pool(workers) as processes, tqdm(total=len(jobs), unit="run", smoothing=0) as bar:
        running = {
            processes.submit(_run, folder, list(args)): folder for folder, args in jobs.items()
        }
        for future in as_completed(running):
            bar.update()
            yield running[future], future.result()


def finished(folder: Path, args: Sequence[str]) -> dict[str, Any] | None:
    """The summary of a run that has come to its end with these very arguments; else None."""
    if said(folder / ARGUMENTS) == list(args):
        with suppress(UserError):
            return Run(folder).summary()
    return None


def _run(folder: Path, args: list[str]) -> Done:
    summary = finished(folder, args)
    if summary is not None:
        return Done(folder.name, 0, summary=summary)
    begun, run = folder.with_name(f".{folder.name}.json"), Run(folder)
    words = [*args, "--name", f"{folder.parent.name}/{folder.name}", *QUIET]
    try:
        if said(begun) == args and _goes_on(run):
            words += ["--ckpt_path", "last"]
        elif folder.exists():
            with run.locked():  # or a machine that was thought lost is still at work
                shutil.rmtree(folder)
    except UserError as error:
        return Done(folder.name, 2, str(error))
    say(begun, args)
    code, told = _fit(words)
    if code:
        return Done(folder.name, code, told)
    say(folder / ARGUMENTS, args)
    begun.unlink(missing_ok=True)
    return Done(folder.name, 0, summary=run.summary())


def say(path: Path, args: Any) -> None:
    """Leave something behind as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(json.dumps(args).encode())


def said(path: Path) -> Any:
    """What `say` left; None where there is none, or it is damaged."""
    with suppress(OSError, ValueError):  # not there, or damaged
        return json.loads(path.read_text("utf-8"))
    return None


def _goes_on(run: Run) -> bool:
    """Whether a run that was cut short can go on from where it was."""
    if not run.config_file.is_file():
        return False
    try:
        run.config()
        if any(run.checkpoints.glob("*.ckpt")):
            run.newest()
    except UserError:
        return False
    return True


def _fit(args: list[str]) -> tuple[int, str]:
    from vdib.fit import main  # takes seconds to import, in the processes only

    told = StringIO()
    try:
        with redirect_stdout(StringIO()), redirect_stderr(told):
            code = main(args)
    except Exception:  # one run's mistake is not to end the others
        code = 1
        told.write(traceback.format_exc())
    return code, (told.getvalue().strip().splitlines() or [""])[-1]
