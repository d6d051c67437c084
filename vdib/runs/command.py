"""What all commands share and nothing heavy: a mistake becomes one line and exit status 2."""

import logging
import sys
import warnings
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend, said in one line."""


def quiet() -> None:
    """Leave out what Lightning says about accelerators, loggers and workers."""
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers",
        "Experiment logs directory",
        "Checkpoint directory .* exists",
        ".*treespec",
        ".*smaller than the logging interval",
    ):
        warnings.filterwarnings("ignore", message)


def run(main: Callable[[], int]) -> int:
    """A command's exit status: user errors become one line on stderr and 2."""
    quiet()
    try:
        return main()
    except (UserError, OSError, FloatingPointError) as error:
        print(f"vdib: {error}", file=sys.stderr)
        return 2
