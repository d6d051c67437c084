"""What learning to decode buys over a hand-made code, at equal spikes: neurons x decoders.

    VDIB_DATA=... python benchmarks/decoding.py --seeds 3 --workers 2

Labels of the digits that come along (time-coded, 4,000 to train) and of N-MNIST's first 1,000
recordings (the fold that a seed tests holds 200, of the others 80 are for validation). One hidden
layer of 100 neurons. Each neuron and decoder first gets its learning rate, of two, by the
validation accuracy of seed 0. Then a price per hidden and readout spike is raised step by step,
each training going on, for half as many epochs, from the weights of the one before: a high price
from the first update on silences networks before they have learned. Within a budget of spikes a
sample, hidden and readout, the run with the best validation accuracy among those that keep to it on
validation data stands for its seed. Bits are those of runs without a price, under the best prior.
Runs are single-threaded; finished ones are kept.
"""

import argparse
import csv
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from sweep import sweep

from vdib.figures.style import INK, PALETTE, save, tidy
from vdib.metrics import wilson_interval

NEURONS = ("srm", "lif", "plif", "spiking_lstm")
SAMPLED = ["--model.num_readout", "64"]
ONE_A_CLASS = ["--model.num_readout", "10", "--model.beta", "0"]
DETERMINISTIC = [*ONE_A_CLASS, "--model.readout", "threshold"]
DECODINGS = {
    "VDIB, window": [*SAMPLED, "--model.decoder", "mlp", "--model.window", "full"],
    "VDIB, rate": [*SAMPLED, "--model.decoder", "mlp", "--model.window", "rate"],
    "counts": [*DETERMINISTIC, "--model.decoder", "counts"],
    "membrane": [*DETERMINISTIC, "--model.decoder", "membrane"],
    "first spike": [*ONE_A_CLASS, "--model.decoder", "first_spike"],
}
DATA = {
    "digits": ["--config", "digits_paper", "--data.target", "label"],
    "nmnist": [
        *("--config", "nmnist_paper", "--data.target", "label"),
        *("--data.recordings", "real", "--data.batch_size", "32"),
    ],
}
EPOCHS = {"digits": 4, "nmnist": 10}
RATES = ("0.002", "0.006")
WEIGHTS = ("0", "0.01", "0.03", "0.1", "0.3")
BUDGETS = (10, 30, 100)
NOT_THERE = {("spiking_lstm", "membrane")}
"""Cells whose readout has no distance from threshold."""


@dataclass(frozen=True)
class Cell:
    """A neuron and a decoding on a data set."""

    data: str
    neuron: str
    decoding: str

    def run(self, runs: Path, rate: str, weight: str, seed: int) -> tuple[Path, list[str]]:
        """Folder and arguments of one of its runs."""
        folder, epochs = self._folder(runs, rate, weight, seed), EPOCHS[self.data]
        args = [*DATA[self.data], "--model.neuron", self.neuron, "--model.hidden", "[100]"]
        args += DECODINGS[self.decoding]
        args += ["--model.lr", rate, "--seed", str(seed)]
        if self.data == "nmnist":
            args += ["--data.fold", str(seed % 5)]
        if weight == "0":
            return folder, [*args, "--trainer.max_epochs", str(epochs)]
        cheaper = WEIGHTS[WEIGHTS.index(weight) - 1]
        prices = f"{{hidden_spikes: {weight}, readout_spikes: {weight}}}"
        args += ["--trainer.max_epochs", str((epochs + 1) // 2), "--model.penalties", prices]
        args += ["--model.init_from", str(self._folder(runs, rate, cheaper, seed))]
        return folder, [*args, "--fit_priors", "[]"]

    def _folder(self, runs: Path, rate: str, weight: str, seed: int) -> Path:
        word = self.decoding.replace(", ", "-").replace(" ", "-").lower()
        name = f"{self.data}-{self.neuron}-{word}-lr{rate}-w{weight}-{seed}"
        return runs / "decoding" / name


def all_spikes(run: Mapping[str, Any], of: str = "") -> float:
    """Hidden and readout spikes a sample; `of` is "validation_" or, for the test set, empty."""
    return float(run[f"{of}spikes_per_sample"] + run[f"{of}hidden_spikes_per_sample"])


def within(runs: Iterable[Mapping[str, Any]], budget: float) -> Mapping[str, Any] | None:
    """The best by validation accuracy of those that keep to a budget of spikes there."""
    frugal = [run for run in runs if all_spikes(run, "validation_") <= budget]
    return max(frugal, key=lambda run: run["validation_class_accuracy"], default=None)


def accuracy(runs: list[Mapping[str, Any]]) -> str:
    """Mean, spread over seeds, and the 95 % interval on the test examples of one seed."""
    values = [run["class_accuracy"] for run in runs]
    count = runs[0]["test_samples"]
    low, high = wilson_interval(round(statistics.mean(values) * count), count)
    return f"{spread(values, 3)} [{low:.3f}, {high:.3f}]"


def spread(values: list[float], digits: int) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def row(cell: Cell, table: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    """A row of the table, from the runs of each weight, one a seed."""
    free = table["0"]
    bits = [run.get("rate_bits_best", run.get("code_length_bits_best")) for run in free]
    out = [cell.neuron, cell.decoding, accuracy(free)]
    out += [spread([all_spikes(run) for run in free], 0), spread(bits, 0)]
    out.append(spread([run["decision_step"] for run in free], 1))
    for budget in BUDGETS:
        of_seeds = [
            within((runs[seed] for runs in table.values()), budget) for seed in range(len(free))
        ]
        found = [run for run in of_seeds if run is not None]
        out.append(spread([r["class_accuracy"] for r in found], 3) if all(of_seeds) else "")
    return out


AXES = ("data", "neuron")
HEAD = ["neuron", "decoding", "class accuracy [95 %]", "spikes", "bits", "steps until decided"]
HEAD += [f"within {budget} spikes" for budget in BUDGETS]


def figure(tables: Mapping[Cell, Mapping[str, list[Mapping[str, Any]]]]) -> Figure:
    """Accuracy against spikes a sample, a panel per data set and neuron: means over seeds are
    joined in the order of their prices, each seed's value is a dot.
    """
    data, neurons = (list(dict.fromkeys(getattr(c, of) for c in tables)) for of in AXES)
    drawn = Figure((3 * len(neurons), 2.9 * len(data)), layout="constrained")
    panels = drawn.subplots(len(data), len(neurons), sharex=True, sharey=True, squeeze=False)
    colours = dict(zip(DECODINGS, PALETTE, strict=False))
    for c, table in tables.items():
        axes = panels[data.index(c.data), neurons.index(c.neuron)]
        dots = np.array(
            [[(all_spikes(run), run["class_accuracy"]) for run in runs] for runs in table.values()]
        )
        dots[..., 0] = dots[..., 0].clip(1)
        style = {"color": colours[c.decoding], "label": c.decoding}
        axes.plot(*dots.mean(1).T, linewidth=1.5, **style)
        axes.scatter(*dots.reshape(-1, 2).T, s=10, linewidths=0, color=style["color"])
    for (i, j), axes in np.ndenumerate(panels):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        below = "hidden and readout spikes" if i == len(data) - 1 else ""
        tidy(axes, below, "class accuracy" if j == 0 else "", f"{data[i]}, {neurons[j]}")
    handles = panels[0, 0].get_legend_handles_labels()
    drawn.legend(*handles, loc="outside upper center", ncols=5, frameon=False, labelcolor=INK)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--neurons", nargs="+", default=list(NEURONS), choices=NEURONS)
    parser.add_argument("--out", type=Path, default=Path("decoding.csv"))
    parser.add_argument("--figure", type=Path, help="accuracy against spikes")
    asked = parser.parse_args()
    cells = [
        Cell(d, n, how)
        for d in asked.data
        for n in asked.neurons
        for how in DECODINGS
        if (n, how) not in NOT_THERE
    ]
    tried = {(c, rate): c.run(asked.runs, rate, "0", 0) for c in cells for rate in RATES}
    told = sweep(dict(tried.values()), asked.workers)
    best = {
        c: max(RATES, key=lambda r: told[tried[c, r][0]]["validation_class_accuracy"])
        for c in cells
    }
    jobs = {
        (c, weight, seed): c.run(asked.runs, best[c], weight, seed)
        for weight in WEIGHTS
        for c in cells
        for seed in range(asked.seeds)
    }
    for weight in WEIGHTS:  # each goes on from the one before
        told |= sweep(dict(job for key, job in jobs.items() if key[1] == weight), asked.workers)
    tables = {
        c: {w: [told[jobs[c, w, seed][0]] for seed in range(asked.seeds)] for w in WEIGHTS}
        for c in cells
    }
    with asked.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["data", "lr", *HEAD])
        for c, table in tables.items():
            writer.writerow([c.data, best[c], *row(c, table)])
            print(" | ".join(row(c, table)))
    if asked.figure is not None:
        save(figure(tables), asked.figure)


if __name__ == "__main__":
    main()
