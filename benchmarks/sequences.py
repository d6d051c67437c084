"""The spiking LSTM's published experiments, beside an ordinary LSTM of the same size.

    python benchmarks/sequences.py [NAME ...] --runs runs --seeds 3

Rows of digits, curves, texts and spoken digits of Rezaabad & Vishwanath, 2020, https://arxiv.org/abs/2007.04779.
Both networks get the same inputs and as many trials: each learning rate of the experiment once,
under seed 0. The one with the lowest validation loss is then run under the other seeds. Speakers
that are left out of training take the settings of `speech`. Runs are single-threaded; finished ones
are kept, so that a killed table goes on where it was.
"""

import argparse
import csv
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from sweep import sweep

NEURONS = ("spiking_lstm", "lstm")


@dataclass(frozen=True)
class Experiment:
    """A line of the table.

    Attributes:
        words: of the command line.
        figure: what it is summed up by.
        rates: learning rates to choose from; none where `like` says whose choice to take.
        like: another experiment.
    """

    words: Sequence[str]
    figure: str
    rates: Sequence[float] = ()
    like: str | None = None


def left_out(speaker: str) -> Experiment:
    words = ["--config", "speech_digits", "--data.left_out", f"[{speaker}]"]
    return Experiment(words, "class_accuracy", like="speech")


EXPERIMENTS = {
    "speech": Experiment(["--config", "speech_digits"], "class_accuracy", (0.002, 0.005, 0.01)),
    "mnist": Experiment(["--config", "sequential_mnist"], "class_accuracy", (0.002, 0.004, 0.008)),
    "sine": Experiment(["--config", "sine"], "mse", (0.005, 0.01, 0.02)),
    "char-alice": Experiment(["--config", "char_lm"], "perplexity", (0.002, 0.005, 0.01, 0.02)),
    "word-alice": Experiment(["--config", "word_lm"], "perplexity", (0.0005, 0.001, 0.002, 0.005)),
    "sine-random": Experiment(
        ["--config", "sine", "--data.phase", "random"], "mse", (0.005, 0.01, 0.02)
    ),
    "speech-theo": left_out("theo"),
    "speech-jackson": left_out("jackson"),
    "speech-nicolas": left_out("nicolas"),
    "speech-yweweler": left_out("yweweler"),
    "char-wiki": Experiment(
        ["--config", "char_lm", "--data.path", "wiki"], "perplexity", (0.002, 0.005, 0.01, 0.02)
    ),
    "word-wiki": Experiment(
        ["--config", "word_lm", "--data.path", "wiki"], "perplexity", (0.0005, 0.001, 0.002, 0.005)
    ),
}


def arguments(experiment: Experiment, neuron: str, lr: float, seed: int) -> list[str]:
    settings = {"model.neuron": neuron, "model.lr": lr, "seed": seed}
    named = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    return [*experiment.words, *named]


class Table:
    """Runs, and what came of them.

    Args:
        runs: folder of all runs.
        seeds: how many.
        workers: processes.
    """

    def __init__(self, runs: Path, seeds: int, workers: int) -> None:
        self.folder = runs / "sequences"
        self.seeds = seeds
        self.workers = workers
        self.rates: dict[tuple[str, str], float] = {}

    def _summaries(self, name: str, neuron: str, pairs: list[tuple[float, int]]) -> list[Any]:
        jobs = {
            self.folder / f"{name}-{neuron}-{lr}-{seed}": arguments(
                EXPERIMENTS[name], neuron, lr, seed
            )
            for lr, seed in pairs
        }
        done = sweep(jobs, self.workers)
        return [done[folder] for folder in jobs]

    def rate(self, name: str, neuron: str) -> float:
        """The learning rate that validation data choose."""
        experiment = EXPERIMENTS[name]
        if experiment.like is not None:
            return self.rate(experiment.like, neuron)
        if (name, neuron) not in self.rates:
            rates = experiment.rates
            tried = self._summaries(name, neuron, [(lr, 0) for lr in rates])
            losses = [run["validation_loss_nats"] for run in tried]
            self.rates[name, neuron] = rates[losses.index(min(losses))]
        return self.rates[name, neuron]

    def of(self, name: str, neuron: str) -> list[dict[str, Any]]:
        """The summaries of all seeds at that rate."""
        lr = self.rate(name, neuron)
        return self._summaries(name, neuron, [(lr, seed) for seed in range(self.seeds)])


def spread(values: Sequence[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.4g} ± {deviation:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*EXPERIMENTS, []], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, help="a CSV of all runs")
    args = parser.parse_args()
    table, rows = Table(args.runs, args.seeds, args.workers), []
    print("| experiment | figure | network | lr | test | constant answer | s |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name in args.names or EXPERIMENTS:
        figure, means = EXPERIMENTS[name].figure, {}
        for neuron in NEURONS:
            runs = table.of(name, neuron)
            values = [run[figure] for run in runs]
            means[neuron] = statistics.mean(values)
            constant = runs[0].get("constant_nats_per_step", float("nan"))
            seconds = statistics.mean(run["train_seconds"] for run in runs)
            cells = [name, figure, neuron, f"{table.rate(name, neuron):g}", spread(values)]
            print("| " + " | ".join([*cells, f"{constant:.3g} nats", f"{seconds:.0f}"]) + " |")
            rows += [{"line": name, "neuron": neuron, **run} for run in runs]
        ratio = means["spiking_lstm"] / means["lstm"]
        print(f"| {name} | {figure} | spiking / ordinary | | {ratio:.3f} | | |", flush=True)
    if args.out is not None:
        names = list(dict.fromkeys(key for row in rows for key in row))
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
