"""`python -m vdib.generate RUN --out DIR`: images from a model's own spikes, drawn from its prior.

python -m vdib.generate RUN --out drawn --num 64              spikes from the prior
python -m vdib.generate RUN --out sevens --label 7            from one fitted to the codes of sevens
python -m vdib.generate RUN --out path --between 3 18         from one test example to another
python -m vdib.generate RUN --out path --between a.aedat b.aedat    from one recording to another
"""

import argparse
import sys
from pathlib import Path

from vdib.runs.command import UserError, run, words_of

NUM, STEPS = 64, 11


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="python -m vdib.generate",
        description="Draw images from a trained model: spikes from its prior, then its decoder.",
    )
    add = options.add_argument
    add("run", metavar="RUN", type=Path, help="the folder of a run of images, or one that ships")
    add("--out", type=Path, required=True, help="folder for the images")
    add("--num", type=int, help=f"images to draw ({NUM}; between two examples {STEPS})")
    add("--seed", type=int, default=0, help="of what is drawn (%(default)s)")
    kinds = options.add_mutually_exclusive_group()
    kinds.add_argument("--label", type=int, help="draw images of this class")
    kinds.add_argument(
        "--between",
        nargs=2,
        metavar=("A", "B"),
        help="images between two examples: their numbers in the test set, or two recordings",
    )
    return options


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _generate(words_of(args)))


def _generate(args: list[str]) -> int:
    options = parser()
    given = options.parse_args(args)
    least = 2 if given.between else 1
    num = given.num if given.num is not None else STEPS if given.between else NUM
    if num < least:
        options.error(f"--num: got {num}, expected {least} or more")
    if not 0 <= given.seed < 2**32:
        options.error(f"--seed: got {given.seed}, expected 0 to {2**32 - 1}")
    if given.out.exists() and not given.out.is_dir():
        raise UserError(f"--out {given.out}: it is no folder")
    from vdib.generate.drawable import drawable  # takes seconds to import

    model = drawable(given.run)
    if given.between:
        from vdib.generate.between import write_between

        print(write_between(model, given.between, num, given.seed, given.out))
    else:
        from vdib.generate.samples import write_samples

        print(write_samples(model, num, given.label, given.seed, given.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
