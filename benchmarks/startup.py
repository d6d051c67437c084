"""What commands cost before they do anything: `--help` of each, and the way to the first update.

    python benchmarks/startup.py [--runs 5]

Every run is a process of its own; wall and CPU seconds (of all its threads) are medians. *Heaviest*
are the packages whose own modules took longest to import, in CPython's count of one more run, which
is a little slower for being counted; the same run counts the modules.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections import Counter
from statistics import median
from tempfile import TemporaryDirectory

COMMANDS = ("fit", "evaluate", "naturalise", "sweep", "judge")
FIRST_STEP = """
import os, sys
from vdib.fit import main
from vdib.lightning_modules.vdib_module import VDIBModule
VDIBModule.on_train_batch_end = lambda *given: os._exit(0)
sys.exit(main(["--trainer.enable_progress_bar", "false"]))
"""


def timed(words: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of Python with these arguments."""
    with TemporaryDirectory() as folder:
        begin = time.perf_counter()
        child = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    assert child.returncode == 0, words
    return wall, usage.ru_utime + usage.ru_stime


def imports(words: list[str]) -> tuple[int, Counter[str]]:
    """How many modules are imported, and microseconds in those of each package."""
    with TemporaryDirectory() as folder:
        call = [sys.executable, "-X", "importtime", *words]
        told = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=True).stderr
    rows = re.findall(r"^import time:\s*(\d+) \|\s*\d+ \|\s*(\w+)", told, re.MULTILINE)
    cost: Counter[str] = Counter()
    for own, package in rows:
        cost[package] += int(own)
    return len(rows), cost


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="processes a row")
    options = parser.parse_args()
    rows = {f"{name} --help": ["-m", f"vdib.{name}", "--help"] for name in COMMANDS}
    rows["fit, to the end of its first step"] = ["-c", FIRST_STEP]
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| command | wall s | CPU s | modules | heaviest imports, s |")
    print("| --- | --- | --- | --- | --- |")
    for name, words in rows.items():
        modules, cost = imports(words)  # also reads all files once
        walls, cpus = zip(*(timed(words) for _ in range(options.runs)), strict=True)
        heavy = ", ".join(f"{package} {own / 1e6:.2f}" for package, own in cost.most_common(5))
        row = f"{median(walls):.2f} | {median(cpus):.2f} | {modules} | {heavy}"
        print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
