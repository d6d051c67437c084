"""Decoders x windows x codings on `Digits`, trained and frozen encoders: docs/results.md.

    python benchmarks/naturalisation_table.py --seeds 3 --workers 2

Everything else but the epochs is the default's. Runs are single-threaded; finished ones are kept,
so that a killed table goes on where it was. The gain of a frozen encoder is chosen on validation
data, for each coding (`frozen.py`).
"""

import argparse
import csv
import itertools
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from frozen import chosen_gains, frozen, name_of
from sweep import sweep

from vdib.metrics import wilson_interval

EPOCHS = "4"  # half of the default: there are 118 runs
DECODERS = ("logistic", "mlp", "cnn")
WINDOWS = ("rate", "full", "basis")
CODINGS = ("time", "rate")
Cell = tuple[str, str, str, bool]
FOLDER = "naturalisation_table"


def arguments(cell: Cell) -> list[str]:
    """But for the gain of a frozen encoder, and the seed."""
    coding, decoder, window, _ = cell
    settings = {"data.coding": coding, "model.decoder": decoder, "model.window": window}
    named = [word for key, value in settings.items() for word in (f"--{key}", value)]
    return ["--config", "digits", "--trainer.max_epochs", EPOCHS, *named]


def run_all(
    cells: Sequence[Cell], seeds: int, runs: Path, workers: int
) -> dict[Cell, list[dict[str, Any]]]:
    """The summaries of each cell, seed by seed, with the gain of its encoder."""
    folder = runs / FOLDER
    # Of each coding by the MLP on the full window: the encoder is the same in all cells.
    tried = {coding: (coding, "mlp", "full", True) for coding in CODINGS}
    chosen = chosen_gains({c: arguments(c) for c in tried.values()}, folder, workers)
    gains = {c: chosen[tried[c[0]]] if c[-1] else 1 for c in cells}
    jobs, folders = {}, {}
    for cell, seed in itertools.product(cells, range(seeds)):
        gain = frozen(gains[cell]) if cell[-1] else []
        name = f"{name_of(cell)}-gain{gains[cell]}-{seed}"
        folders[cell, seed] = folder / name
        jobs[folder / name] = [*arguments(cell), *gain, "--seed", str(seed)]
    found = sweep(jobs, workers)
    return {
        c: [{"gain": gains[c], **found[folders[c, seed]]} for seed in range(seeds)] for c in cells
    }


def spread(values: list[float], digits: int = 1) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def row(cell: Cell, runs: list[dict[str, Any]]) -> list[str]:
    accuracy = statistics.mean(run["judge_accuracy"] for run in runs)
    count = int(runs[0]["test_samples"])  # the same under every seed: no more trials than these
    low, high = wilson_interval(round(accuracy * count), count)
    decoder, window, is_frozen = cell[1:]
    return [
        decoder,
        window,
        f"frozen, gain {runs[0]['gain']:g}" if is_frozen else "trained",
        spread([run["validation_loss_nats"] for run in runs]),
        spread([run["loss_nats"] for run in runs]),
        spread([run["distortion_nats"] for run in runs]),
        spread([run["rate_bits"] for run in runs]),
        spread([run["rate_bits_best"] for run in runs]),
        spread([run["spikes_per_sample"] for run in runs]),
        f"{spread([run['judge_accuracy'] for run in runs], 3)} [{low:.3f}, {high:.3f}]",
        f"{statistics.mean(run['ssim'] for run in runs):.3f}",
    ]


def verdict(coding: str, decoder: str, runs: dict[Cell, list[dict[str, Any]]]) -> str:
    """Is the time window that validation chooses better than rate decoding on test data?"""

    def values(window: str, is_frozen: bool, key: str) -> list[float]:
        return [run[key] for run in runs[coding, decoder, window, is_frozen]]

    chosen = min(
        ("full", "basis"),
        key=lambda window: statistics.mean(values(window, False, "validation_loss_nats")),
    )
    trained = {w: values(w, False, "loss_nats") for w in ("rate", chosen)}
    over_rate = [a - b for a, b in zip(trained["rate"], trained[chosen], strict=True)]
    cells = [coding, decoder, chosen, spread(over_rate)]
    for window in WINDOWS:
        pair = (values(window, is_frozen, "loss_nats") for is_frozen in (True, False))
        cells.append(spread([a - b for a, b in zip(*pair, strict=True)]))
    return "| " + " | ".join(cells) + " |"


NAMES = ["coding", "decoder", "window", "frozen"]
HEAD = [
    "decoder",
    "window",
    "encoder",
    "validation loss",
    "test loss",
    "distortion",
    "rate (bits)",
    "best fitted prior (bits)",
    "spikes",
    "judge accuracy [95 %]",
    "SSIM",
]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("docs/naturalisation_table.csv"))
    args = parser.parse_args(words)

    cells = list(itertools.product(CODINGS, DECODERS, WINDOWS, (False, True)))
    runs = run_all(cells, args.seeds, args.runs, args.workers)
    rows = {c: row(c, runs[c]) for c in cells}

    args.out.parent.mkdir(exist_ok=True)
    with args.out.open("w", newline="") as file:
        names = list(runs[cells[0]][0])
        writer = csv.writer(file)
        writer.writerow([*NAMES, *names])
        for seed, cell in itertools.product(range(args.seeds), cells):
            writer.writerow([*cell, *(runs[cell][seed][name] for name in names)])
    print("Test losses: how far below rate decoding, and each window below its frozen encoder.\n")
    below = " | ".join(f"{window}: below frozen" for window in WINDOWS)
    print(f"| coding | decoder | window | below rate decoding | {below} |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for group in itertools.product(CODINGS, DECODERS):
        print(verdict(*group, runs))
    for coding in CODINGS:
        print(f"\n{coding} coding\n")
        for line in (HEAD, ["---"] * len(HEAD)):
            print("| " + " | ".join(line) + " |")
        for cell, cells_row in rows.items():
            if cell[0] == coding:
                print("| " + " | ".join(cells_row) + " |")


if __name__ == "__main__":
    main()
