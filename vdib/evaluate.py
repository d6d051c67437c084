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
    options.add_argument(
        "--importance",
        type=int,
        metavar="K",
        help="of images: also bound the likelihood by K codes an example",
    )
    options.add_argument(
        "--drawn", type=int, metavar="N", help="of digits: also draw N images, for their FAD"
    )
    given = options.parse_args(args)
    for name, number, least in (("importance", given.importance, 1), ("drawn", given.drawn, 2)):
        if number is not None and number < least:
            options.error(f"--{name}: got {number}, expected {least} or more")
    from vdib.runs.folder import Run
    from vdib.runs.measuring import evaluate  # takes seconds to import

    generative = {"importance_codes": given.importance, "drawn_images": given.drawn}
    return evaluate(Run(given.run), {name: n for name, n in generative.items() if n is not None})


if __name__ == "__main__":
    sys.exit(main())
