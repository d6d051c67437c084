"""`python -m vdib.sample RUN`: text from a model of the next symbol, one symbol after the other.

    python -m vdib.sample runs/char_lm/mine --prompt "Alice " --length 500 --temperature 0.8

What was drawn is the next input. The network goes on from its state, so that a symbol costs the
same however long the text has become.
"""

import argparse
import math
import sys
from pathlib import Path

from vdib.runs.command import run, words_of


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _sample(words_of(args)))


def _sample(args: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m vdib.sample", description=_ABOUT)
    parser.add_argument("run", metavar="RUN", type=Path, help="the folder of a run of vdib.fit")
    parser.add_argument("--prompt", default="", help="text that is read first (default: none)")
    parser.add_argument(
        "--length", type=int, default=500, help="characters, or words, to draw (%(default)s)"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="of p^(1 / temperature); 0: the likeliest symbol, always (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (%(default)s)")
    options = parser.parse_args(args)
    if options.length < 1:
        parser.error(f"--length: got {options.length}, expected 1 or more")
    if not 0 <= options.temperature < math.inf:
        parser.error(f"--temperature: got {options.temperature}, expected 0 or more")
    if not 0 <= options.seed < 2**32:
        parser.error(f"--seed: got {options.seed}, expected 0 to {2**32 - 1}")
    from vdib.runs.exported import run_at
    from vdib.runs.sampling import sample  # takes seconds to import

    said = sample(
        run_at(options.run), options.prompt, options.length, options.temperature, options.seed
    )
    print(said)
    return 0


_ABOUT = "Text from a trained model of the next character or word; --prompt is how it begins."


if __name__ == "__main__":
    sys.exit(main())
