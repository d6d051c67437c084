"""`python -m vdib.evaluate RUN`: measure a finished run again and rewrite its summary.

With `--prior past network`, priors are fitted to its code instead, and what it costs under them is
added to the summary; the model is what it was.
"""

import argparse
import sys
from pathlib import Path

from vdib.runs.command import run, words_of


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _evaluate(words_of(args)))


def _evaluate(args: list[str]) -> int:
    options = argparse.ArgumentParser(
        prog="python -m vdib.evaluate",
        description="Measure a finished run again, and rewrite its summary and final figures.",
    )
    options.add_argument("run", metavar="RUN", type=Path, help="the folder of a run of vdib.fit")
    help = "only fit these priors to its code, and add its costs under them to the summary"
    options.add_argument("--prior", metavar="NAME", nargs="+", help=help)
    asked = options.parse_args(args)
    from vdib.runs.folder import Run
    from vdib.runs.measuring import add_priors, evaluate  # takes seconds to import

    run_ = Run(asked.run)
    return evaluate(run_) if asked.prior is None else add_priors(run_, asked.prior)


if __name__ == "__main__":
    sys.exit(main())
