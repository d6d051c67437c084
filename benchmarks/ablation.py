"""What each technique of direct training changes on N-MNIST: a table for docs/results.md.

    VDIB_DATA=... python benchmarks/ablation.py --seeds 3

The 1,000 real recordings, labels, no simulated ones. Seed k trains, validates and tests on fold k
(720, 80 and 200 recordings), so that three seeds test on 600; within a seed all rows see the same
recordings, and the difference from the baseline is taken seed by seed. The epoch is chosen by the
validation loss. Every row keeps the settings of its baseline: none was tuned, nor was a technique.
Seconds are the process's own, of a whole run: other processes do not count, of a first run
compilation does.
Finished runs are kept, so a killed table goes on where it was; `--table` prints what there is.
"""

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from sweep import sweep

COMMON = ["--config", "nmnist_paper", "--data.recordings", "real", "--data.target", "label"]
COMMON += ["--fit_priors", "[]"]
READ = ["--model.decoder", "logistic", "--model.num_readout", "64"]
BASES = {
    "vdib": READ,
    "direct": [*READ, "--model.neuron", "lif", "--model.readout", "threshold", "--model.beta", "0"],
}
"""SRM neurons under a sampled readout; and LIF neurons throughout, trained by surrogates alone."""

DENSE = ["--model.hidden", "[200]", "--trainer.max_epochs", "8"]
CONV = ["--model.conv", "[6]", "--model.hidden", "[64]", "--trainer.max_epochs", "8"]


@dataclass(frozen=True)
class Row:
    """A technique, and what it is compared with.

    Attributes:
        words: what it is called in the table.
        network: layers and epochs.
        changes: settings beside those of the baseline.
        bases: whose neurons know them.
        beside: the row of the baseline.
    """

    words: str
    network: list[str]
    changes: list[str]
    bases: tuple[str, ...] = tuple(BASES)
    beside: str = "dense"


def around(settings: str) -> list[str]:
    """Techniques of hidden layers."""
    return ["--model.techniques", f"{{{settings}}}"]


def learned(constant: str) -> list[str]:
    """A constant of LIF neurons that training moves, one number a layer."""
    return ["--model.neuron_settings", f"{{learn: [{constant}]}}"]


ROWS = {
    "dense": Row("200 hidden neurons", DENSE, []),
    "norm": Row("batch norm (tdBN)", DENSE, around("norm: true")),
    "attention": Row("attention over 8 steps", DENSE, around("attention: 8")),
    "delays": Row("delays of up to 8 steps", DENSE, around("delays: 8")),
    "rate": Row(
        "hidden rates towards 0.05",
        DENSE,
        ["--model.penalties", "{hidden_rate: {weight: 1, target: 0.05}}"],
    ),
    "im_loss": Row("IM-loss", DENSE, ["--model.penalties", "{im_loss: 1}"]),
    "teacher": Row("a teacher of 256 units", DENSE, ["--model.teacher", "{units: 256}"]),
    "prune": Row("80 % of the weights pruned", DENSE, ["--model.prune", "0.8"]),
    "learn_srm": Row(
        "learned decays of SRM",
        DENSE,
        ["--model.neuron_settings", "{learn: [membrane, synapse, refractory]}"],
        ("vdib",),
    ),
    # LIF neurons that learn a constant have a bias current: those that learn none beside them.
    "leaky": Row(
        "200, a bias current each",
        DENSE,
        ["--model.neuron", "leaky", "--model.neuron_settings", "{detach: false}"],
        ("direct",),
        "leaky",
    ),
    "learn": Row("learned decays", DENSE, learned("beta"), ("direct",), "leaky"),
    "learn_theta": Row("learned thresholds", DENSE, learned("theta"), ("direct",), "leaky"),
    "learn_width": Row("learned surrogate width", DENSE, learned("width"), ("direct",), "leaky"),
    "plif": Row("PLIF", DENSE, ["--model.neuron", "plif"], ("direct",), "leaky"),
    "conv": Row("6 channels, 64 hidden neurons", CONV, [], beside="conv"),
    "conv_norm": Row("batch norm (tdBN)", CONV, around("norm: true"), beside="conv"),
    "conv_add": Row("residual block, ADD", CONV, around("residual: add"), beside="conv"),
    "conv_and": Row("residual block, AND", CONV, around("residual: and"), beside="conv"),
    "conv_norm_add": Row(
        "batch norm and ADD", CONV, around("norm: true, residual: add"), beside="conv"
    ),
    "conv_norm_and": Row(
        "batch norm and AND", CONV, around("norm: true, residual: and"), beside="conv"
    ),
}


def arguments(base: str, row: Row, seed: int) -> list[str]:
    """Of `vdib.fit`."""
    where = ["--data.fold", str(seed), "--seed", str(seed)]
    return [*COMMON, *BASES[base], *row.network, *row.changes, *where]


def found(folder: Path, args: list[str]) -> dict[str, Any] | None:
    """The summary of a finished run with these arguments."""
    path = folder / "arguments.json"
    if not path.is_file() or json.loads(path.read_text()) != args:
        return None
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    summary["cpu_seconds"] = json.loads((folder / "cpu_seconds.json").read_text())
    return summary


def spread(values: list[float], digits: int, sign: str = "") -> str:
    """Mean and standard deviation over seeds."""
    mean = f"{statistics.mean(values):{sign}.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def table(base: str, runs: dict[tuple[str, int], dict[str, Any]], seeds: int) -> None:
    """Rows of which all seeds are there."""
    print(f"\n{base}: {' '.join(BASES[base])}\n")
    print("| | class accuracy | minus the baseline's | hidden spikes | readout spikes | "
          "thousand synaptic operations | CPU (s) |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for name, row in ROWS.items():
        group = [runs.get((name, seed)) for seed in range(seeds)]
        plain = [runs.get((row.beside, seed)) for seed in range(seeds)]
        if None in group or None in plain:
            continue
        columns = {key: [run[key] for run in group if run] for key in group[0] or {}}
        accuracy = columns["class_accuracy"]
        gained = [a - run["class_accuracy"] for a, run in zip(accuracy, plain, strict=True) if run]
        operations = [count / 1000 for count in columns["synops"]]
        cells = [
            row.words if name != row.beside else f"**{row.words}**",
            spread(accuracy, 3),
            spread(gained, 3, "+") if name != row.beside else "",
            spread(columns["hidden_spikes_per_sample"], 0),
            spread(columns["spikes_per_sample"], 0),
            spread(operations, 0),
            spread(columns["cpu_seconds"], 0),
        ]
        if "unpruned_synops" in columns:
            whole = statistics.mean(columns["unpruned_synops"]) / 1000
            cells[5] += f" (unpruned: {whole:.0f})"
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--bases", nargs="+", choices=list(BASES), default=list(BASES))
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--table", action="store_true", help="train nothing")
    args = parser.parse_args()
    jobs = {
        (base, name, seed): arguments(base, ROWS[name], seed)
        for base in args.bases
        for seed in range(args.seeds)
        for name in ROWS
        if name in args.only and base in ROWS[name].bases
    }
    folders = {key: args.runs / "ablation" / "-".join(map(str, key)) for key in jobs}
    if not args.table:
        sweep({folders[key]: jobs[key] for key in jobs}, args.workers)
    for base in args.bases:
        known = {key[1:]: found(folders[key], jobs[key]) for key in jobs if key[0] == base}
        table(base, {key: run for key, run in known.items() if run}, args.seeds)


if __name__ == "__main__":
    main()
