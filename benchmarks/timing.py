"""How long a step takes and how much memory it needs, of this process or of one of its own."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Step = Callable[[], None]


def in_turns(builders: Mapping[str, Callable[[], Step]], turns: int) -> dict[str, dict[str, float]]:
    """Median CPU and wall ms of every row, in turns; the first turn warms up and does not count."""
    steps: dict[str, Step] = {}
    for label, build in builders.items():
        try:
            steps[label] = build()
            steps[label]()
        except ImportError as error:
            print(f"left out: {label} ({error})", file=sys.stderr)
            steps.pop(label, None)
    cpu: dict[str, list[float]] = {label: [] for label in steps}
    wall: dict[str, list[float]] = {label: [] for label in steps}
    for _ in range(turns):
        for label, step in steps.items():
            start = time.perf_counter(), time.process_time()
            step()
            wall[label].append(1e3 * (time.perf_counter() - start[0]))
            cpu[label].append(1e3 * (time.process_time() - start[1]))
    return {
        label: {
            "cpu_ms": statistics.median(cpu[label]),
            "cpu_ms_least": min(cpu[label]),
            "wall_ms": statistics.median(wall[label]),
        }
        for label in steps
    }


def alone(script: str, *words: str) -> float:
    """The number that a process of its own prints, one that gives back what memory it frees."""
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, script, *words]
    asked = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return float(asked.stdout)


def added(build: Callable[[int], Step]) -> float:
    """MB that two steps add at most to what this process held before (Linux).

    Args:
        build: a step of that many time steps; compilers run on few of them, as what they hold is no
            part of a step's memory, and on all where it is 0.
    """
    build(4)()
    step = build(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is held now
    before = _status("VmRSS")
    step()
    step()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    """A field of /proc/self/status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
