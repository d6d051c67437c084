"""`python -m vdib.evaluate RUN`: measure a finished run again and rewrite its summary.

With `--prior past network`, priors are fitted to its code instead, and what it costs under them is
added to the summary; the model is what it was.
"""

import argparse
import sys
from pathlib import Path

from vdib.runs.command import UserError, run, words_of


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _evaluate(words_of(args)))


def _evaluate(args: list[str]) -> int:
    options = argparse.ArgumentParser(
        prog="python -m vdib.evaluate",
        description="Measure a finished run again, and rewrite its summary and final figures.",
    )
    options.add_argument("run", metavar="RUN", type=Path, help="the folder of a run of vdib.fit")
    options.add_argument(
        "--importance",
        type=int,
        metavar="K",
        help="of images: also bound the likelihood by K codes an example",
    )
    options.add_argument(
        "--drawn", type=int, metavar="N", help="of digits: also draw N images, for their FAD"
    )
    help = "only fit these priors to its code, and add its costs under them to the summary"
    options.add_argument("--prior", metavar="NAME", nargs="+", help=help)
    given = options.parse_args(args)
    for name, number, least in (("importance", given.importance, 1), ("drawn", given.drawn, 2)):
        if number is not None and number < least:
            options.error(f"--{name}: got {number}, expected {least} or more")
        if number is not None and given.prior is not None:
            options.error(f"--{name}: --prior measures nothing else")
    from vdib.runs.exported import ExportedRun, run_at
    from vdib.runs.measuring import add_priors, evaluate  # takes seconds to import

    run_ = run_at(given.run)
    if isinstance(run_, ExportedRun):
        raise UserError(f"{given.run}: an exported run is not measured again, only one of vdib.fit")
    if given.prior is not None:
        return add_priors(run_, given.prior)
    generative = {"importance_codes": given.importance, "drawn_images": given.drawn}
    return evaluate(run_, {name: n for name, n in generative.items() if n is not None})


if __name__ == "__main__":
    sys.exit(main())
