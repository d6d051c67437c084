"""The runs that ship with the package: trained, exported, and in half precision where that costs
no right answer.

    python benchmarks/pretrained.py                        all of them, into vdib/pretrained/
    python benchmarks/pretrained.py digits-dvs128 --out /tmp/pretrained

Trained on simulated recordings alone, so that no licence but the package's is on their weights.
"""

import argparse
import shutil
import sys
from pathlib import Path

from vdib import fit
from vdib.export.twin import measured
from vdib.runs.cli import prepare
from vdib.runs.exported import ExportedRun, write_exported
from vdib.runs.folder import Run
from vdib.runs.loading import rebuild, take_best

RUNS = {
    "digits-dvs128": ["--config", "mnist_dvs_anytime"],
    "nmnist": ["--config", "nmnist", "--data.recordings", "simulated", "--model.beta", "0.01"],
}
EXPERIMENT = "pretrained"


def make(name: str, words: list[str], runs: Path, out: Path) -> ExportedRun:
    """Train a run, unless it is there, and export it.

    Args:
        name: of the run.
        words: of `vdib.fit`.
        runs: folder of all experiments.
        out: folder of what ships.

    Raises:
        SystemExit: training failed.
    """
    run = Run(runs / EXPERIMENT / name)
    if not run.summary_file.is_file():
        place = ["--runs", str(runs), "--experiment", EXPERIMENT, "--name", name]
        if status := fit.main([*words, *place]):
            raise SystemExit(status)
    half = write_exported(run, out / name, half=True)
    before, after = accuracy(run), accuracy(half)
    print(f"{name}: judge accuracy {before:.4f}, in half precision {after:.4f}")
    if after < before:
        shutil.rmtree(half.folder)
        return write_exported(run, out / name)
    return half


def accuracy(run: Run) -> float:
    """The judge's, on the run's test split."""
    cli = rebuild(run)
    take_best(cli, run)
    prepare(cli)
    return measured(cli.evaluator(), cli)["judge_accuracy"]


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RUNS)} (all)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder (%(default)s)")
    out = Path(__file__).parents[1] / "vdib" / "pretrained"
    parser.add_argument("--out", type=Path, default=out, help="folder (%(default)s)")
    options = parser.parse_args(args)
    for name in options.names:
        if name not in RUNS:
            parser.error(f"{name}: expected some of {', '.join(RUNS)}")
    for name in options.names or RUNS:
        made = make(name, RUNS[name], options.runs, options.out)
        size = sum(path.stat().st_size for path in made.folder.iterdir()) / 1e6
        print(f"{made.folder}, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
