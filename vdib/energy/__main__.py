"""`python -m vdib.energy RUN`: operations, memory traffic and joules of a finished run.

    python -m vdib.energy runs/naturalise_digits/mine
    python -m vdib.energy RUN --costs my_chip.yaml --examples 100 --check

Writes energy.json and figures/energy.png into the run's folder, or, of a run that ships, into
<name>_measured here.
"""

import argparse
import sys
from pathlib import Path

from vdib.runs.command import UserError, run, words_of


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _energy(words_of(args)))


def _energy(args: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m vdib.energy", description=_ABOUT)
    help = "the folder of a run, or the name of one that ships"
    parser.add_argument("run", metavar="RUN", type=Path, help=help)
    parser.add_argument("--examples", type=int, help="of the test split, from its first on (all)")
    parser.add_argument(
        "--costs", type=Path, metavar="FILE", help="more cost models, in pJ: a YAML or JSON file"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="count 100 examples again: by the event kernels, and by NeuroBench where installed",
    )
    options = parser.parse_args(args)
    if options.examples is not None and options.examples < 1:
        parser.error(f"--examples: got {options.examples}, expected 1 or more")
    from vdib.energy import report  # takes seconds to import
    from vdib.energy.check import check
    from vdib.energy.costs import COSTS, read_costs
    from vdib.figures.energy import energy
    from vdib.figures.style import save
    from vdib.runs.cli import prepare
    from vdib.runs.exported import left_by, run_at
    from vdib.runs.folder import Run
    from vdib.runs.loading import rebuild, take_best

    costs = {**COSTS, **(read_costs(options.costs) if options.costs else {})}
    folder = run_at(options.run)
    summary = folder.summary()
    cli = rebuild(folder)
    take_best(cli, folder)
    prepare(cli)
    try:
        measured = report.measure(cli, options.examples)
        found = report.content(folder, measured, costs, summary)
        if options.check:
            print(check(cli))
    except ValueError as error:  # a part that is of no known kind
        raise UserError(str(error)) from error
    out = Run(left_by(folder))
    out.folder.mkdir(exist_ok=True)
    report.write(out, found)
    figure = out.figures / "energy.png"
    save(energy(found["joules"]), figure)
    print(report.table(found))
    print(f"  {out.energy_file}\n  {figure}")
    return 0


_ABOUT = (
    "What a trained network costs for an example: synaptic operations, neuron updates, spikes, "
    "memory traffic, and joules under cost models (45nm, 45nm_int8, 45nm_memory, loihi)."
)


if __name__ == "__main__":
    sys.exit(main())
