"""Many runs of `vdib.fit`, side by side in single-threaded processes, skipping finished ones."""

import json
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tqdm import tqdm

QUIET = ["--trainer.enable_progress_bar", "false", "--figures_every", "-1"]


def sweep(jobs: Mapping[Path, Sequence[str]], workers: int) -> dict[Path, dict[str, Any]]:
    """Run folder -> arguments of `vdib.fit`, to run folder -> summary."""
    os.environ["OMP_NUM_THREADS"] = "1"
    waiting = {f: args for f, args in jobs.items() if not _finished(f, list(args))}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        running = [pool.submit(_run, folder, list(args)) for folder, args in waiting.items()]
        for done in tqdm(as_completed(running), total=len(running), unit="run", smoothing=0):
            done.result()
    return {folder: json.loads(_summary(folder).read_text()) for folder in jobs}


def _run(folder: Path, args: list[str]) -> None:
    import shutil

    from vdib.fit import main

    shutil.rmtree(folder, ignore_errors=True)  # what a killed run left
    where = ["--runs", str(folder.parent.parent), "--experiment", folder.parent.name]
    begun = time.process_time()
    if main([*args, *where, "--name", folder.name, *QUIET]) != 0:
        raise RuntimeError(f"{folder} failed")
    (folder / "cpu_seconds.json").write_text(f"{time.process_time() - begun:.1f}")
    (folder / "arguments.json").write_text(json.dumps(args))


def _finished(folder: Path, args: list[str]) -> bool:
    """Whether a run with these very arguments has come to its end."""
    path = folder / "arguments.json"
    return path.is_file() and json.loads(path.read_text()) == args


def _summary(folder: Path) -> Path:
    return folder / "summary.json"
