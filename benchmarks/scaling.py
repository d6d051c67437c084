"""How much faster several processes of one machine train: `python benchmarks/scaling.py`.

The same run, of the same batches, on 1 process and on N of one thread each, in turns; the shortest
training of each counts, as whatever else the machine does only makes them longer.

    python benchmarks/scaling.py --devices 1 2 --repeats 3 --batch 128
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def seconds(devices: int, words: Sequence[str], folder: Path) -> float:
    """Seconds of training, start and evaluation at the end left out."""
    command = [sys.executable, "-W", "ignore", "-m", "vdib.fit", *words, "--runs", str(folder)]
    command += ["--trainer.devices", str(devices), "--trainer.accelerator", "cpu"]
    command += ["--trainer.strategy", "ddp"] if devices > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    (path,) = folder.glob("*/*/summary.json")
    return float(json.loads(path.read_text())["train_seconds"])


def main(args: list[str] | None = None) -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    asked, more = parser.parse_known_args(args)
    words = ["--trainer.max_epochs", str(asked.epochs), "--data.batch_size", str(asked.batch)]
    words += ["--figures_every", "-1", "--trainer.enable_progress_bar", "false", *more]
    best = dict.fromkeys(asked.devices, float("inf"))
    for _ in range(asked.repeats):
        for devices in asked.devices:
            with tempfile.TemporaryDirectory() as folder:
                best[devices] = min(best[devices], seconds(devices, words, Path(folder)))
    print("| processes | training (s) | times as fast | of what would be ideal |")
    print("| --- | --- | --- | --- |")
    first = min(asked.devices)
    for devices, took in best.items():
        faster = best[first] / took
        print(f"| {devices} | {took:.1f} | {faster:.2f} | {faster * first / devices:.0%} |")


if __name__ == "__main__":
    main()
