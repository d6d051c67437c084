"""`python -m vdib.judge`: how good the judge is on MNIST images it never saw.

python -m vdib.judge                                        of the one that ships with the package
python -m vdib.judge --train --out vdib/judge.safetensors   train it again
"""

import argparse
import sys
from pathlib import Path

from vdib.runs.command import run, words_of


def main(args: list[str] | None = None) -> int:
    """The command; 2 with one line on stderr where data are missing."""
    return run(lambda: _judge(words_of(args)))


def _judge(args: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m vdib.judge", description=_ABOUT)
    parser.add_argument("--train", action="store_true", help="train anew, and write --out")
    parser.add_argument("--epochs", type=int, default=20, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("judge.safetensors"), help="%(default)s")
    options = parser.parse_args(args)
    if options.epochs < 1:
        parser.error(f"--epochs: got {options.epochs}, expected 1 or more")
    if options.train and not options.out.resolve().parent.is_dir():
        parser.error(f"--out: no folder {options.out.resolve().parent}")
    from vdib.runs.judge_training import judge_mnist  # takes seconds to import

    judge_mnist(options.out if options.train else None, options.seed, options.epochs)
    return 0


_ABOUT = "The accuracy of the judge on MNIST images it never saw; --train trains it again."


if __name__ == "__main__":
    sys.exit(main())
