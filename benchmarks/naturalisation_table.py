"""Decoders x windows x codings x sizes on `Digits`, trained and frozen encoders: docs/results.md.

    python benchmarks/naturalisation_table.py --seeds 3 --workers 2

Runs are single-threaded; finished ones are kept, so a killed table goes on where it was. The gain
of a frozen encoder is chosen on validation data, for each size and coding (`frozen.py`). `--only
frozen` makes these anew and takes the others from the table that is there.
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

# 300 hidden neurons rather than the default 600: half the time for 216 runs.
HIDDEN = ["--model.hidden", "[300]"]
SIZES = {
    256: ["--model.beta", "0.01", "--model.rho", "0.1", "--trainer.max_epochs", "2"],
    16: ["--model.beta", "0.1", "--model.rho", "0.05", "--trainer.max_epochs", "4"],
}
DECODERS = ("logistic", "mlp", "cnn")
WINDOWS = ("rate", "full", "basis")
CODINGS = ("time", "rate")
Cell = tuple[int, str, str, str, bool]
FOLDER = "naturalisation_table"


def arguments(cell: Cell) -> list[str]:
    """But for the gain of a frozen encoder, and the seed."""
    size, coding, decoder, window, _ = cell
    settings = {
        "model.num_readout": size,
        "data.coding": coding,
        "model.decoder": decoder,
        "model.window": window,
    }
    named = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    return ["--config", "digits_paper", *HIDDEN, *SIZES[size], *named]


def run_all(
    cells: Sequence[Cell], seeds: int, runs: Path, workers: int
) -> dict[Cell, list[dict[str, Any]]]:
    """The summaries of each cell, seed by seed, with the gain of its encoder."""
    folder = runs / FOLDER
    # Of each size and coding by the MLP on the full window: the encoder is the same in all cells.
    tried = {c[:2]: (*c[:2], "mlp", "full", True) for c in cells if c[-1]}
    chosen = chosen_gains({c: arguments(c) for c in tried.values()}, folder, workers)
    gains = {c: chosen[tried[c[:2]]] if c[-1] else 1 for c in cells}
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


def read(path: Path) -> dict[Cell, list[dict[str, Any]]]:
    """The table that is there."""
    found: dict[Cell, list[dict[str, Any]]] = {}
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            size, coding, decoder, window, kind = (line.pop(name) for name in NAMES)
            summary = {key: _number(value) for key, value in line.items()}
            cell = (int(size), coding, decoder, window, kind == "True")
            found.setdefault(cell, []).append({"gain": 1, **summary})
    return found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def spread(values: list[float], digits: int = 1) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def row(cell: Cell, runs: list[dict[str, Any]]) -> list[str]:
    accuracy = statistics.mean(run["judge_accuracy"] for run in runs)
    count = int(
        runs[0]["test_samples"]
    )  # the same digits under every seed: no more trials than these
    low, high = wilson_interval(round(accuracy * count), count)
    decoder, window, is_frozen = cell[2:]
    return [
        decoder,
        window,
        f"frozen, gain {runs[0]['gain']:g}" if is_frozen else "trained",
        spread([run["validation_loss_nats"] for run in runs]),
        spread([run["loss_nats"] for run in runs]),
        spread([run["distortion_nats"] for run in runs]),
        spread([run["rate_bits"] for run in runs]),
        spread([run["rate_bits_marginal"] for run in runs]),
        spread([run["spikes_per_sample"] for run in runs]),
        f"{spread([run['judge_accuracy'] for run in runs], 3)} [{low:.3f}, {high:.3f}]",
        f"{statistics.mean(run['ssim'] for run in runs):.3f}",
    ]


def verdict(size: int, coding: str, decoder: str, runs: dict[Cell, list[dict[str, Any]]]) -> str:
    """Is the time window that validation chooses better than rate decoding on test data?"""

    def values(window: str, is_frozen: bool, key: str) -> list[float]:
        return [run[key] for run in runs[size, coding, decoder, window, is_frozen]]

    chosen = min(
        ("full", "basis"),
        key=lambda window: statistics.mean(values(window, False, "validation_loss_nats")),
    )
    trained = {w: values(w, False, "loss_nats") for w in ("rate", chosen)}
    over_rate = [a - b for a, b in zip(trained["rate"], trained[chosen], strict=True)]
    cells = [str(size), coding, decoder, chosen, spread(over_rate)]
    for window in WINDOWS:
        pair = (values(window, is_frozen, "loss_nats") for is_frozen in (True, False))
        cells.append(spread([a - b for a, b in zip(*pair, strict=True)]))
    return "| " + " | ".join(cells) + " |"


NAMES = ["size", "coding", "decoder", "window", "frozen"]
HEAD = [
    "decoder",
    "window",
    "encoder",
    "validation loss",
    "test loss",
    "distortion",
    "rate (bits)",
    "rate, marginal (bits)",
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
    parser.add_argument("--only", choices=["frozen"], help="the others are in --out")
    args = parser.parse_args(words)

    cells = list(itertools.product(SIZES, CODINGS, DECODERS, WINDOWS, (False, True)))
    runs = read(args.out) if args.only else {}
    some = [cell for cell in cells if cell[-1] or not args.only]
    runs |= run_all(some, args.seeds, args.runs, args.workers)
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
    print(f"| neurons | coding | decoder | window | below rate decoding | {below} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for group in itertools.product(SIZES, CODINGS, DECODERS):
        print(verdict(*group, runs))
    for size, coding in itertools.product(SIZES, CODINGS):
        print(f"\n{size} readout neurons, {coding} coding\n")
        for line in (HEAD, ["---"] * len(HEAD)):
            print("| " + " | ".join(line) + " |")
        for cell, cells_row in rows.items():
            if cell[:2] == (size, coding):
                print("| " + " | ".join(cells_row) + " |")


if __name__ == "__main__":
    main()
