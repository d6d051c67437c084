"""A stream and `vdib.naturalise`, on and on: memory and handles have to stay as they are.

    python tests/soak.py --minutes 60         # of each, on Linux
    python tests/soak.py --minutes 1 --only stream

The stream is pushed a step at a time. A run is loaded once, and recordings are naturalised one
after the other, as `vdib.naturalise FOLDER --window-ms 250` does: images of the recent past. After
the first quarter of the time, in which caches fill, memory may grow by 4 MB, and there may be no
more open files or threads than there were.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import torch

MAX_GROWTH = 4.0
"""MB."""


@dataclass(frozen=True)
class Look:
    """What a process holds: MB of memory, open files, threads."""

    memory: float
    handles: int
    threads: int

    @classmethod
    def now(cls) -> "Look":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return cls(memory, len(os.listdir("/proc/self/fd")), threading.active_count())


def fault(looks: Sequence[Look]) -> str:
    """What grew after the first quarter; empty where nothing did."""
    settled = looks[len(looks) // 4 :]
    part = max(1, len(settled) // 4)
    first, last = settled[:part], settled[-part:]
    grown = statistics.median(x.memory for x in last) - statistics.median(x.memory for x in first)
    if grown > MAX_GROWTH:
        return f"memory grew by {grown:.1f} MB"
    for name in ("handles", "threads"):
        before, after = (max(getattr(x, name) for x in some) for some in (first, last))
        if after > before:
            return f"{name}: {before}, later {after}"
    return ""


def repeated(once: Callable[[], int], seconds: float, least: int = 8) -> tuple[list[Look], int]:
    """Something done until the time is over, at least some times; looks in between, and a count.

    Looks are some 400, however long it takes: one after each time would be what grows.
    """
    looks, count, begun = [], 0, time.monotonic()
    while (passed := time.monotonic() - begun) < seconds or len(looks) < least:
        count += once()
        if passed >= seconds * len(looks) / 400:
            looks.append(Look.now())
    return looks, count


def stream(seconds: float) -> tuple[list[Look], int]:
    """A stream of noise into 30 hidden and 10 readout neurons; steps are counted."""
    import vdib

    torch.manual_seed(0)
    encoder = vdib.build_encoder((20,), 10, hidden=(30,))
    encoder.calibrate((torch.rand(4, 100, 20) < 0.2).float(), rate=0.2)
    decoder = vdib.LogisticDecoder(vdib.FullWindow(5), 10, vdib.Image((4, 4)))
    prior, estimator = vdib.BernoulliPrior(0.2), vdib.StraightThrough()
    live = vdib.VDIB(encoder, decoder, prior, estimator, every_step=True).stream(seed=0)
    random = np.random.default_rng(0)

    def once() -> int:
        for now in (random.random((1_000, 20)) < 0.2).astype(np.float32):
            live.push(now)
        return 1_000

    return repeated(once, seconds)


def naturalise(seconds: float, folder: Path) -> tuple[list[Look], int]:
    """A run as small as they get, and a recording of 3 s; recordings are counted."""
    from tqdm import tqdm

    from vdib import fit
    from vdib.naturalise.naturaliser import naturaliser_of
    from vdib.naturalise.running import running

    words = ["--config", "nmnist", "--data.recordings", "simulated", "--data.source", "digits"]
    words += ["--data.num_train", "8", "--data.num_validation", "4", "--data.num_test", "4"]
    words += ["--model.hidden", "[10]", "--model.num_readout", "8", "--trainer.max_epochs", "1"]
    words += ["--trainer.enable_progress_bar", "false", "--figures_every", "-1"]
    run, recording = folder / "soak" / "run", folder / "one.npz"
    place = ["--runs", str(folder), "--experiment", "soak", "--name", "run"]
    random = np.random.default_rng(0)
    x, y = random.integers(0, 34, (2, 20_000))
    t = np.sort(random.integers(0, 3_000_000, 20_000))
    np.savez(recording, x=x, y=y, t=t, p=random.random(20_000) < 0.5)

    told = StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        if fit.main([*words, *place]):
            raise RuntimeError(told.getvalue())
    model = naturaliser_of(run)

    def once() -> int:
        with tqdm(disable=True) as bar:
            running(model, recording, {}, folder / "images", {"every": 250_000}, None, bar)
        return 1

    return repeated(once, seconds)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", choices=["stream", "naturalise"])
    args = parser.parse_args(words)
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_CACHE_HOME", folder)
        for name in [args.only] if args.only else ["stream", "naturalise"]:
            given = () if name == "stream" else (Path(folder),)
            looks, count = globals()[name](60 * args.minutes, *given)
            words_of_fault = fault(looks)
            faults += bool(words_of_fault)
            last = looks[-1]
            held = f"{last.memory:.0f} MB, {last.handles} files, {last.threads} threads"
            print(f"{name}: {count:,} done; {held}: {words_of_fault or 'nothing grew'}", flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
