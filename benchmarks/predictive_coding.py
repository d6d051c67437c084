"""Figures and tables of `docs/results.md` from the sweeps whose commands stand there.

    python benchmarks/predictive_coding.py

Writes `docs/error_against_lag.png`, `docs/information_plane.png` and prints the tables.
"""

import argparse
import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vdib.figures import prediction as plot_prediction
from vdib.figures import style

Row = Mapping[str, str]
WINDOWS = {"full": "window", "rate": "rate"}


def read(runs: Path, name: str) -> list[Row]:
    """The rows of a sweep; none where it has not been run."""
    path = runs / "predictive_coding" / name / "sweep.csv"
    if not path.is_file():
        print(f"(no {path})")
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by(rows: Iterable[Row], key: str, value: str) -> dict[float, list[float]]:
    """Numbers under one key, in the order of the seeds, by the number under another."""
    found: dict[float, list[float]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        found[float(row[key])].append(float(row[value]))
    return dict(sorted(found.items()))


def pm(values: Sequence[float], digits: int = 2) -> str:
    """Mean and standard deviation over seeds."""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def at_best_gain(rows: Iterable[Row]) -> list[Row]:
    """Of each lag and window the runs whose encoder's gain suits validation sequences best."""
    groups: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["lag"], row["window"]][row["model.encoder_gain"]].append(row)

    def validation(runs: list[Row]) -> float:
        return statistics.mean(float(row["validation_loss_nats"]) for row in runs)

    return [row for gains in groups.values() for row in min(gains.values(), key=validation)]


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    for line in (head, ["---"] * len(head), *lines):
        print("| " + " | ".join(line) + " |")
    print()


def ends(rows: list[Row], frozen: list[Row], online: list[Row]) -> None:
    """Lags 0 and 2: windows, frozen encoders, online learning; dead neurons seed by seed."""
    keys = {"nats_per_step": 3, "mse": 4, "loss_nats": 3}
    keys |= {"rate_bits_per_step": 2, "rate_bits_best_per_step": 2}
    lines = []
    for lag in ("0", "2"):
        for kind, source in (("trained", rows), ("online", online), ("frozen", frozen)):
            for window, words in WINDOWS.items():
                some = [r for r in source if (r["lag"], r["window"]) == (lag, window)]
                if some:
                    cells = [pm([float(r[key]) for r in some], keys[key]) for key in keys]
                    dead = ", ".join(
                        f"{float(r['dead_neurons']):g}"
                        for r in sorted(some, key=lambda r: int(r["seed"]))
                    )
                    reference = f"{float(some[0]['reference_nats_per_step']):.3f}"
                    gain = some[0].get("model.encoder_gain")
                    encoder = f"{kind}, gain {float(gain):g}" if gain else kind
                    lines.append([lag, words, encoder, *cells, dead, reference])
    head = [
        *("lag", "decoding", "encoder", "nats/step", "MSE", "loss", "rate (bits)"),
        *("best fitted prior (bits)", "dead, of ten", "no bottleneck"),
    ]
    table(head, lines)


def lags(sweeps: Mapping[str, list[Row]], out: Path) -> None:
    """The whole curve, in a figure and a table."""
    curves = {
        f"{words}, beta {beta}": by(
            [r for r in rows if r["window"] == window], "lag", "nats_per_step"
        )
        for beta, rows in sweeps.items()
        for window, words in WINDOWS.items()
        if rows
    }
    every = [row for rows in sweeps.values() for row in rows]
    reference = {
        lag: values[:1] for lag, values in by(every, "lag", "reference_nats_per_step").items()
    }
    constant = statistics.mean(float(row["marginal_nats_per_step"]) for row in every)
    figure = plot_prediction.error_against_lag(
        curves, reference, ("best constant answer", constant)
    )
    style.save(figure, out / "error_against_lag.png")
    head = ["lag", *curves, "no bottleneck"]
    table(
        head,
        [
            [
                f"{lag:+g}",
                *(pm(points[lag], 3) if lag in points else "" for points in curves.values()),
                f"{value[0]:.3f}",
            ]
            for lag, value in reference.items()
        ],
    )


def betas(rows: list[Row], out: Path) -> None:
    """The information plane, in a figure and a table."""
    curves: dict[str, dict[float, tuple[list[float], list[float]]]] = {}
    lines = []
    for window, words in WINDOWS.items():
        some = [row for row in rows if row["window"] == window]
        told = [
            {
                **row,
                "told": str(
                    (float(row["marginal_nats_per_step"]) - float(row["nats_per_step"]))
                    / math.log(2)
                ),
            }
            for row in some
        ]
        rate = by(told, "model.beta", "rate_bits_best_per_step")
        information = by(told, "model.beta", "told")
        spikes = by(told, "model.beta", "spikes_per_step")
        nats = by(told, "model.beta", "nats_per_step")
        curves[words] = {beta: (rate[beta], information[beta]) for beta in rate}
        lines += [
            [words, f"{b:g}", pm(nats[b], 3), pm(rate[b]), pm(information[b]), pm(spikes[b])]
            for b in rate
        ]
    gap = [
        float(row["marginal_nats_per_step"]) - float(row["reference_nats_per_step"]) for row in rows
    ]
    ceiling = statistics.mean(gap) / math.log(2)
    figure = plot_prediction.information_plane(curves, ("without a bottleneck", ceiling))
    style.save(figure, out / "information_plane.png")
    table(
        [
            "decoding",
            "beta",
            "nats/step",
            "best fitted prior (bits)",
            "H(r) - distortion (bits)",
            "spikes/step",
        ],
        lines,
    )


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args(words)
    sweeps = {
        name: read(args.runs, name)
        for name in ("ends", "frozen", "online", "lags", "lags_beta_1", "betas")
    }
    ends(sweeps["ends"], at_best_gain(sweeps["frozen"]), sweeps["online"])
    lags({"0.01": [*sweeps["ends"], *sweeps["lags"]], "1": sweeps["lags_beta_1"]}, args.out)
    if sweeps["betas"]:
        betas(sweeps["betas"], args.out)


if __name__ == "__main__":
    main()
