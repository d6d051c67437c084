"""Gradient estimators and hidden credit against examples seen: docs/estimators.png.

    python benchmarks/estimators.py --seeds 3 --workers 2

The default digits over ten epochs, 40,000 examples. Of each rule two learning rates of the encoder
are tried under seed 0, of the frozen encoder six gains (`frozen.py`); the lowest validation loss
chooses. DisARM is for readouts that do not feel their own spikes: the default's and leave-one-out
of as many codes stand beside it on such a readout.
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

EPOCHS, EXAMPLES = 10, 4_000
COMMON = ["--config", "digits", "--trainer.max_epochs", str(EPOCHS), "--fit_priors", "[]"]
NO_FEEDBACK = ["--model.readout_settings", "{feedback: false}"]
PAIRS = ["--model.estimator", "vdib.disarm.DisARM", "--model.estimator.num_pairs", "2"]
RULES = {
    "straight-through (default)": [],
    "relaxed Bernoulli": ["--model.estimator", "relaxed"],
    "VIMCO, 4 codes": ["--model.estimator", "vimco"],
    "leave-one-out, 4 codes": ["--model.estimator", "leave_one_out"],
    "RELAX": ["--model.estimator", "relax"],
    "score function": ["--model.estimator", "score"],
    "straight-through, e-prop": ["--model.credit", "eprop"],
    "straight-through, DFA": ["--model.credit", "dfa"],
    "no feedback: straight-through": NO_FEEDBACK,
    "no feedback: DisARM, 4 codes": [*NO_FEEDBACK, *PAIRS],
    "no feedback: leave-one-out, 4 codes": [*NO_FEEDBACK, "--model.estimator", "leave_one_out"],
}
FROZEN = "frozen encoder"
KEYS = {"validation_loss_nats": 1, "loss_nats": 1, "rate_bits": 0, "judge_accuracy": 3}
"""Columns, each with its digits."""
LEARNING_RATES = ("0.002", "0.0005")


def told(rule: str, lr: str) -> list[str]:
    """What a run is told, but for its seed."""
    return [*COMMON, *RULES[rule], "--model.encoder_lr", lr]


def chosen(folder: Path, workers: int) -> dict[str, tuple[str, list[str]]]:
    """Of each rule the setting that validation data choose under seed 0, and what runs are told."""
    tried = {(rule, lr): place(folder, rule, lr, 0) for rule in RULES for lr in LEARNING_RATES}
    found = sweep({f: [*told(*key), "--seed", "0"] for key, f in tried.items()}, workers)
    best = {
        rule: min(LEARNING_RATES, key=lambda lr: found[tried[rule, lr]]["validation_loss_nats"])
        for rule in RULES
    }
    gain = chosen_gains({FROZEN: COMMON}, folder, workers)[FROZEN]
    return {
        **{rule: (lr, told(rule, lr)) for rule, lr in best.items()},
        FROZEN: (f"gain {gain}", [*COMMON, *frozen(gain)]),
    }


def place(folder: Path, rule: str, setting: str, seed: int) -> Path:
    return folder / f"{rule}, {setting}, {seed}"


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

    folder = args.runs / "estimators"
    rules = chosen(folder, args.workers)
    jobs, folders = {}, {}
    for rule, (setting, common) in rules.items():
        folders[rule] = [place(folder, rule, setting, seed) for seed in range(args.seeds)]
        jobs |= {f: [*common, "--seed", str(seed)] for seed, f in enumerate(folders[rule])}
    summaries = sweep(jobs, args.workers)

    seen = [EXAMPLES * (epoch + 1) for epoch in range(EPOCHS)]
    curves = {n: (seen, [validation_losses(f) for f in fs]) for n, fs in folders.items()}
    constant = constant_image()
    figure = learning_curves(
        curves, "examples seen", "validation loss (nats/sample)", {"best constant image": constant}
    )
    style.save(figure, args.out)
    print(f"best constant image: {constant:.1f} nats\n")
    print("| rule | encoder | validation loss | test loss | rate (bits) | judge accuracy |")
    print("| --- | --- | --- | --- | --- | --- |")
    for rule, runs in folders.items():
        cells = [rule, rules[rule][0]]
        for key, digits in KEYS.items():
            values = [summaries[run][key] for run in runs]
            cells.append(f"{statistics.mean(values):.{digits}f} ± {_spread(values):.{digits}f}")
        print(f"| {' | '.join(cells)} |")


def _spread(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else float("nan")


if __name__ == "__main__":
    main()
