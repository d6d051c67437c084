"""Speed and memory of `vdib.naturalise`: real-time factor and peak memory, 1 and 10 minutes long.

    python benchmarks/naturalise.py --run runs/naturalise_mnist_dvs/<name> [--minutes 1 10]

The recordings are made by the camera, streamed to AEDAT 2.0 files of a DVS128: a digit that moves
as in MNIST-DVS. Each row is a process of its own, so that peak memory is its own, too; start-up is
measured apart, on a recording of 3 s. `many` are recordings of 2.25 s, one image each. `images
alone` are those of every 10 ms without start-up, and without pictures, PNGs and the animation being
drawn and written: a second for the first looks, which compile and load, is passed over.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vdib.datasets.camera.presets import MNIST_DVS_CAMERA, MNIST_DVS_DISPLAY, MNIST_DVS_PATH
from vdib.datasets.formats.aedat2_writer import write_aedat2

ALONE = """
import resource, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from vdib.naturalise.carried import looks_of
from vdib.naturalise.naturaliser import naturaliser_of
from vdib.naturalise.running import _ahead, _one_thread_fewer
path, run, every = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
model, bar = naturaliser_of(run), SimpleNamespace(set_postfix_str=lambda words: None)
looks, first, count = looks_of(model, path, {}, {"every": every}, bar), None, 0
with ThreadPoolExecutor(1) as aside, _one_thread_fewer():
    for batch in _ahead(looks.batches(), aside):
        looks.images(batch)
        if first is None:
            first, before = time.perf_counter(), time.process_time()
        else:
            count += len(batch)
taken, cpu = time.perf_counter() - first, time.process_time() - before
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(type(looks).__name__, count, taken, cpu, peak / 1024)
"""
MANY = 100
SHORT = 2.25


def record(path: Path, seconds: float, seed: int = 0) -> int:
    """A bright ring in motion; how many events."""
    x, y = np.meshgrid(np.arange(28) - 13.5, np.arange(28) - 13.5)
    ring = np.exp(-((np.hypot(x, y) - 7) ** 2) / 3)
    pieces = MNIST_DVS_CAMERA.pieces(
        ring, MNIST_DVS_PATH, round(seconds * 1e6), seed, MNIST_DVS_DISPLAY
    )
    return write_aedat2(path, pieces)


def measured(recordings: list[Path], run: Path, out: Path, *words: str) -> tuple[float, float]:
    """Seconds and peak MB of the command."""
    code = (
        "import resource, sys; from vdib.naturalise.__main__ import main; "
        "status = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"
    )
    call = [sys.executable, "-c", code, *map(str, recordings), "--run", str(run), *words]
    begin = time.perf_counter()
    done = subprocess.run([*call, "--out", str(out)], stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - begin, int(done.stdout.split()[-1]) / 1024


def alone(path: Path, run: Path, every_ms: int) -> str:
    """Images every so many ms, computed and not written: a row of its own kind."""
    call = [sys.executable, "-c", ALONE, str(path), str(run), str(1000 * every_ms)]
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
    kind, count, taken, cpu, peak = done.stdout.split()
    seconds = int(count) * every_ms / 1000
    return (
        f"images alone, every {every_ms} ms ({kind}): {int(count)} in {float(taken):.1f} s, "
        f"x clock {seconds / float(taken):.1f}, x CPU {seconds / float(cpu):.1f}, "
        f"{float(peak):.0f} MB"
    )


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10])
    options = parser.parse_args()
    kinds = {
        "image": [],
        "every 100 ms": ["--window-ms", "100"],
        "every 10 ms": ["--window-ms", "10"],
    }
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}; real time by the clock and by processor time")
    heads = f"{'recording':>12} {'Mevents':>8} {'what':>13} {'s':>7}"
    print(f"{heads} {'x clock':>8} {'x CPU':>7} {'MB':>6}")
    with TemporaryDirectory() as folder:
        place = Path(folder)

        def row(name: str, seconds: float, files: list[Path], events: int, kind: str) -> None:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken, peak = measured(files, options.run, place / "out", *kinds[kind])
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"{name:>12} {events / 1e6:8.2f} {kind:>13} {taken:7.1f} "
                f"{seconds / taken:8.1f} {seconds / cpu:7.1f} {peak:6.0f}",
                flush=True,
            )

        lengths = {f"{minutes:g} min": 60 * minutes for minutes in options.minutes}
        for name, seconds in {"3 s": 3.0, **lengths}.items():
            path = place / "long.aedat"
            events = record(path, seconds)
            for kind in kinds:
                row(name, seconds, [path], events, kind)
            if seconds > 10:
                print(alone(path, options.run, 10), flush=True)
        files = [place / f"{i}.aedat" for i in range(MANY)]
        events = sum(record(path, SHORT, seed) for seed, path in enumerate(files))
        for kind in kinds:
            row(f"{MANY} x {SHORT} s", MANY * SHORT, files, events, kind)


if __name__ == "__main__":
    main()
