"""Runs of a sweep, in processes of one thread each."""

import json
import multiprocessing
import os
import shutil
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

QUIET = ["--trainer.enable_progress_bar", "false"]


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


def pool(workers: int) -> ProcessPoolExecutor:
    """Processes that end with the one that started them, however that ends."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the processes import torch
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, _end_with, (os.getpid(),))


def _end_with(parent: int) -> None:
    """Watch over the parent: a run that outlives its sweep would be run again beside itself."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_all(jobs: Mapping[Path, Sequence[str]]) -> list[Done]:
    """Folder -> arguments of `vdib.fit`; those that have come to their end are not run again."""
    return [_run(folder, list(args)) for folder, args in jobs.items()]


def _run(folder: Path, args: list[str]) -> Done:
    said, code = folder / "arguments.json", 0
    if not (said.is_file() and json.loads(said.read_text("utf-8")) == args):
        shutil.rmtree(folder, ignore_errors=True)  # what a killed or failed run left
        name = f"{folder.parent.name}/{folder.name}"
        code, error = _fit([*args, "--name", name, *QUIET])
        if code:
            return Done(folder.name, code, error)
        said.write_text(json.dumps(args), "utf-8")
    return Done(folder.name, 0, summary=json.loads((folder / "summary.json").read_text("utf-8")))


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
