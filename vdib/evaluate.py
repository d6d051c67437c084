"""`python -m vdib.evaluate RUN`: measure a finished run again and rewrite its summary."""

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
    folder = options.parse_args(args).run
    from vdib.runs.folder import Run
    from vdib.runs.measuring import evaluate  # takes seconds to import

    return evaluate(Run(folder))


if __name__ == "__main__":
    sys.exit(main())
