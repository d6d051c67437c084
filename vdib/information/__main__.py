"""`python -m vdib.information RUN`: the information in a code, from above and from below.

    python -m vdib.information runs/predictive_coding/mine --num 200 --particles 1000
    python -m vdib.information recorded.npz --x stimulus --y spikes

Of a run: a table, `information.json` and `figures/information.png` in its folder. Of a .npz with
two arrays of spikes: the same in a folder of one's choice; see `vdib.information.trains`.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vdib.runs.command import UserError, run, words_of

if TYPE_CHECKING:
    from vdib.information.rows import Report

PRIORS = ("marginal", "past", "network")
OF_RUNS = ("num", "particles", "priors", "population")
OF_TRAINS = ("x", "y", "folds", "memory")
"""What can be said of a run, and of a .npz."""


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _information(words_of(args)))


def _parse(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vdib.information",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="RUN", type=Path, help="a run of vdib.fit, or a .npz")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (%(default)s)")
    parser.add_argument("--out", type=Path, help="folder (default: the run's; of a .npz its name)")
    of_run = parser.add_argument_group("of a run")
    of_run.add_argument("--num", type=int, default=400, help="sequences, at most (%(default)s)")
    words = "where its input is simulated (%(default)s)"
    of_run.add_argument("--particles", type=int, default=1000, help=words)
    words = f"that are fitted, words of --model.prior ({' '.join(PRIORS)})"
    of_run.add_argument("--priors", nargs="*", default=PRIORS, metavar="NAME", help=words)
    words = "readout neurons, from 0 on, to split from the rest (the first half)"
    of_run.add_argument("--population", nargs="+", type=int, metavar="NEURON", help=words)
    of_trains = parser.add_argument_group("of a .npz")
    of_trains.add_argument("--x", default="x", help="array: the input (%(default)s)")
    of_trains.add_argument("--y", default="y", help="array: the code (%(default)s)")
    of_trains.add_argument("--folds", type=int, default=5, help="of cross-validation (%(default)s)")
    words = "steps that models look back (%(default)s)"
    of_trains.add_argument("--memory", type=int, default=20, help=words)
    options = parser.parse_args(args)
    trains = _is_file(options.path)
    for name in OF_RUNS if trains else OF_TRAINS:
        if getattr(options, name) != parser.get_default(name):
            raise UserError(f"--{name}: of {'a run' if trains else 'a .npz'} only")
    for name, least in (("num", 10), ("particles", 2), ("folds", 2), ("memory", 1)):
        if getattr(options, name) < least:
            raise UserError(f"--{name}: got {getattr(options, name)}, expected {least} or more")
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed: got {options.seed}, expected 0 to {2**32 - 1}")
    return options


def _is_file(path: Path) -> bool:
    return path.suffix == ".npz" or path.is_file()


def _folder(folder: Path) -> Path:
    """That of the results, which is no file: known before anything is computed."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, expected a folder: name one with --out")
    return folder


def _progress(items: Iterable[int], words: str) -> Iterable[int]:
    from tqdm import tqdm  # type: ignore[import-untyped]

    bar: Iterable[int] = tqdm(items, desc=words, disable=None, leave=False)
    return bar


def _information(args: list[str]) -> int:
    options = _parse(args)
    if _is_file(options.path):
        from vdib.information.of_trains import of_trains
        from vdib.information.trains import read

        x, y = read(options.path, options.x, options.y)
        folder = _folder(options.out or Path(f"{options.path.stem}_information"))
        names = (options.x, options.y)
        report = of_trains(x, y, names, options.folds, options.memory, options.seed, _progress)
        return _write(report, folder / "information.json", folder / "information.png")
    from vdib.information.of_run import of_run
    from vdib.lightning_modules.choices import PRIORS as KNOWN
    from vdib.runs.exported import left_by, run_at

    for word in options.priors:
        if word not in KNOWN:
            raise UserError(f"--priors: got {word!r}, expected {', '.join(KNOWN)}")
    of = run_at(options.path)
    folder = _folder(options.out or left_by(of))
    report = of_run(
        of,
        options.num,
        options.particles,
        options.seed,
        options.priors,
        _progress,
        options.population,
    )
    figures = folder if options.out else folder / "figures"
    return _write(report, folder / "information.json", figures / "information.png")


def _write(report: "Report", file: Path, figure: Path) -> int:
    from vdib.figures.information import Measured, Panel, information
    from vdib.figures.style import save
    from vdib.files import replacing

    print(report.table())
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as out:
        out.write(f"{json.dumps(report.content(), indent=2)}\n".encode())
    panels = []
    for section in report.sections:
        if not section.rows:
            continue
        rows = [
            Measured(row.name, row.side, *row.interval.scaled(report.factor))
            for row in section.rows
        ]
        top = None if section.ceiling is None else section.ceiling * report.factor
        between = None
        if section.ends is not None and math.isfinite(section.ends[1]):
            between = (section.ends[0] * report.factor, section.ends[1] * report.factor)
        panels.append(Panel(section.title, rows, top, between))
    save(information(panels, report.unit), figure)
    for path in (file, figure):
        print(f"vdib: wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
