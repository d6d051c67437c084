"""Gradient estimators and hidden credit against examples seen: docs/estimators.png.

    python benchmarks/estimators.py --seeds 3 --workers 2

Time-coded `Digits`, 784-300-16, beta 0.1, rho 0.05, MLP on the full window, 60,000 examples
(15 epochs). Everything else is the default but for the encoder's learning rate under the two
unbiased estimators, whose gradients are noisier, and the gain of the frozen encoder, chosen on
validation data (`frozen.py`).
"""

import argparse
import csv
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from frozen import chosen_gains, frozen
from sweep import sweep

from vdib.figures import style
from vdib.figures.curves import learning_curves

EPOCHS, EXAMPLES = 15, 4_000
COMMON = [
    *("--config", "digits_paper", "--trainer.max_epochs", str(EPOCHS)),
    *("--model.hidden", "[300]", "--model.num_readout", "16"),
    *("--model.beta", "0.1", "--model.rho", "0.05"),
]
RULES = {
    "straight-through, BPTT (default)": [],
    "relaxed Bernoulli, BPTT": ["--model.estimator", "relaxed"],
    "leave-one-out (M = 4), BPTT": [
        *("--model.estimator", "leave_one_out", "--model.encoder_lr", "5e-4"),
    ],
    "score function, BPTT": ["--model.estimator", "score", "--model.encoder_lr", "5e-4"],
    "straight-through, e-prop": ["--model.credit", "eprop"],
    "straight-through, DFA": ["--model.credit", "dfa"],
    "frozen encoder": [],  # its gain is chosen
}


def validation_losses(folder: Path) -> list[float]:
    """After each epoch, in nats per sample."""
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/loss"]]
    losses = [float(row["val/loss"]) for row in rows]
    assert len(losses) == EPOCHS
    return losses


def constant_image() -> float:
    """Validation loss of the best constant image in nats: the mean of the training images."""
    from vdib.datasets.digits import Digits

    mean = Digits("train").all().image.mean(0).clamp(1e-4, 1 - 1e-4)
    image = Digits("validation").all().image
    return float(-(image * mean.log() + (1 - image) * (1 - mean).log()).sum((1, 2)).mean())


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("docs/estimators.png"))
    args = parser.parse_args(words)

    only = {"frozen": COMMON}
    gain = chosen_gains(only, args.runs / "estimators", args.workers)["frozen"]
    jobs, folders = {}, {}
    for seed in range(args.seeds):
        for i, (name, rule) in enumerate(RULES.items()):
            folder = args.runs / "estimators" / f"{i}-{seed}"
            told = frozen(gain) if name == "frozen encoder" else rule
            jobs[folder] = [*COMMON, *told, "--seed", str(seed)]
            folders.setdefault(name, []).append(folder)
    summaries = sweep(jobs, args.workers)

    seen = [EXAMPLES * (epoch + 1) for epoch in range(EPOCHS)]
    curves = {n: (seen, [validation_losses(f) for f in fs]) for n, fs in folders.items()}
    constant = constant_image()
    figure = learning_curves(
        curves, "examples seen", "validation loss (nats/sample)", {"best constant image": constant}
    )
    style.save(figure, args.out)
    print(f"best constant image: {constant:.1f} nats\n")
    print(f"gain of the frozen encoder: {gain}\n")
    print("| rule | validation loss | test loss | judge accuracy |\n| --- | --- | --- | --- |")
    for name, runs in folders.items():
        cells = []
        for key, digits in (("validation_loss_nats", 1), ("loss_nats", 1), ("judge_accuracy", 3)):
            values = [summaries[run][key] for run in runs]
            cells.append(f"{statistics.mean(values):.{digits}f} ± {_spread(values):.{digits}f}")
        print(f"| {name} | {' | '.join(cells)} |")


def _spread(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else float("nan")


if __name__ == "__main__":
    main()
