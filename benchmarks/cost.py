"""What a step costs against steps, batch, neurons and density: the figure of docs/performance.md.

    python benchmarks/cost.py            # cost.png and cost.json, one core
    OMP_WAIT_POLICY=passive python benchmarks/cost.py --cores    # one thread against two, wall time

Forward and backward pass, medians of CPU time in turns, around 784-600-256, T = 100, B = 16 at 2 %;
memory is what a step adds to a process of its own.
"""

import vdib  # noqa: F401  # isort: skip  # before torch, so that its waiting threads do not spin

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

sys.path.insert(0, str(Path(__file__).parent))

from networks import SETTINGS, Setting, bound, ours, peer
from timing import Step, added, alone, in_turns

from vdib.figures import style

BASE = Setting((784,), 600, 256, 100, 16)
DENSITY = 0.02
SWEPT: dict[str, list[float]] = {
    "steps T": [25, 50, 100, 200, 400, 800, 1600],
    "batch B": [1, 2, 4, 8, 16, 32, 64],
    "hidden neurons N": [150, 300, 600, 1200, 2400],
    "input spikes per neuron and step": [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4],
}
FIELDS = {"steps T": "steps", "batch B": "batch", "hidden neurons N": "hidden"}
STYLES = {
    "ours, lists of events": {"color": style.BLUE, "marker": "o"},
    "ours, dense products only": {"color": style.BLUE, "marker": "o", "linestyle": "--"},
    "dense products alone": {"color": style.GREY},
    "SpikingJelly": {"color": style.ORANGE, "marker": "s"},
    "snnTorch": {"color": style.PURPLE, "marker": "^"},
    "ours, float32": {"color": style.BLUE, "marker": "o"},
    "ours, bfloat16": {"color": style.CYAN, "marker": "o"},
}


def rows_of(at: Setting, density: float) -> dict[str, Callable[[], Step]]:
    """Builders of what is compared."""
    return {
        "ours, lists of events": partial(ours, at, density, lists=True),
        "ours, dense products only": partial(ours, at, density, dense=True),
        "dense products alone": partial(bound, at),
        "SpikingJelly": partial(peer, at, "SpikingJelly", density),
        "snnTorch": partial(peer, at, "snnTorch", density),
    }


def at(swept: str, value: float) -> tuple[Setting, float]:
    """The setting and density where one thing differs from the base."""
    if swept not in FIELDS:
        return BASE, value
    return replace(BASE, **{FIELDS[swept]: int(value)}), DENSITY  # type: ignore[arg-type]


def draw(
    found: dict[str, dict[str, dict[str, float]]], memory: dict[str, dict[str, float]]
) -> Figure:
    """Milliseconds of CPU time against each, and memory against T."""
    figure = Figure((11, 6.4), layout="constrained")
    panels = list(figure.subplots(2, 3).flat)
    for axes, (swept, curves) in zip(
        panels, [*found.items(), ("steps T, memory", memory)], strict=False
    ):
        for label, points in curves.items():
            x = [float(value) for value in points]
            axes.plot(x, list(points.values()), label=label, markersize=4, **STYLES[label])
        axes.set(xscale="log", yscale="log", xlabel=swept.removesuffix(", memory"))
        axes.minorticks_off()
        axes.set_xticks(x[:: 1 + len(x) // 5], [f"{value:g}" for value in x[:: 1 + len(x) // 5]])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axes.set_ylabel("MB" if curves is memory else "CPU time of a step (ms)")
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    legend = panels[-1]
    legend.axis("off")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    legend.legend(handles, labels, loc="center left", frameon=False)
    return figure


def cores(turns: int) -> None:
    """Print wall ms of one thread and of two, in turns, and the ratio of each turn."""
    print("| | one thread (ms) | two (ms) | ratio | quartiles |\n| --- | --- | --- | --- | --- |")
    for name in ("mnist", "dvs"):
        for label, step in {
            "lists": ours(SETTINGS[name], lists=True),
            "eight filters, lists": ours(SETTINGS[name], lists=True, full=True),
            "dense products only": ours(SETTINGS[name], dense=True),
            "dense products alone": bound(SETTINGS[name]),
        }.items():
            wall: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(turns + 1):
                for threads in wall:
                    torch.set_num_threads(threads)
                    start = perf_counter()
                    step()
                    wall[threads].append(1e3 * (perf_counter() - start))
            one, two = (median(times[1:]) for times in wall.values())
            ratios = [a / b for a, b in zip(wall[1][1:], wall[2][1:], strict=True)]
            low, middle, high = quantiles(ratios)
            print(
                f"| {SETTINGS[name]}, {label} | {one:.0f} | {two:.0f} | {middle:.2f} | "
                f"{low:.2f} to {high:.2f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--cores", action="store_true", help="one thread against two instead")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cores:
        cores(max(2, args.turns))
        return
    torch.set_num_threads(1)
    if args.peak:
        setting, _ = at("steps T", float(args.peak[0]))
        how = {"lists": True, "bf16": args.peak[1] == "ours, bfloat16"}
        print(added(lambda few: ours(replace(setting, steps=few or setting.steps), **how)))
        return
    found: dict[str, dict[str, dict[str, float]]] = {}
    for swept, values in SWEPT.items():
        curves = found[swept] = {}
        for value in values:
            for label, result in in_turns(rows_of(*at(swept, value)), args.turns).items():
                curves.setdefault(label, {})[f"{value:g}"] = result["cpu_ms"]
            print(
                swept,
                f"{value:g}",
                {label: round(ms[f"{value:g}"], 1) for label, ms in curves.items()},
                flush=True,
            )
    memory: dict[str, dict[str, float]] = {"ours, float32": {}, "ours, bfloat16": {}}
    for label, points in memory.items():
        for value in SWEPT["steps T"]:
            points[f"{value:g}"] = alone(__file__, "--peak", f"{value:g}", label)
        print(label, "MB", points, flush=True)
    (args.out / "cost.json").write_text(json.dumps({**found, "memory": memory}, indent=1) + "\n")
    style.save(draw(found, memory), args.out / "cost.png")


if __name__ == "__main__":
    main()
