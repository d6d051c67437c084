"""`python -m vdib.fit`: train, evaluate, and leave a run folder behind.

python -m vdib.fit                                     time-coded digits, a few minutes
python -m vdib.fit --config mnist --data.coding rate   all of MNIST
python -m vdib.fit --name mine --ckpt_path last        resume runs/<experiment>/mine
"""

import sys

from vdib.runs.command import run, words_of


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _fit(words_of(args)))


def _fit(args: list[str]) -> int:
    from vdib.runs.training import train  # takes seconds to import

    return train(args)


if __name__ == "__main__":
    sys.exit(main())
