"""What all commands share and nothing heavy: how they begin, how they end, what they complain of.

A command is 0 where all went well, 2 with one line on stderr where the user can mend what is
wrong, and 130 or 143 after Ctrl-C or SIGTERM, with one line as well. Modules that take seconds to
import are imported within `run`, so that this holds from the beginning.
"""

import argparse
import io
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class UserError(ValueError):
    """Something the user can mend, said in one line."""


class Interrupted(BaseException):
    """A signal that ends the command.

    Not a `KeyboardInterrupt`: Lightning ends those itself, with a status of its own.

    Attributes:
        signum: of the signal.
        advice: what to do next, for the line that is printed; may be empty.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        self.advice = ""


def run(main: Callable[[], int]) -> int:
    """A command's exit status, whatever happens in it."""
    # PyTorch's threads must not spin while they wait, or they keep the kernels' threads off the
    # cores. OpenMP reads this once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _quiet()
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may hold what a terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _signals():
            return main()
    except Interrupted as stop:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # one of the processes of a run speaks
            tell("; ".join(filter(None, ["interrupted", stop.advice])))
        return 128 + stop.signum
    except SystemExit as stop:  # of argparse, after its help or a mistake
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 2
    except (UserError, OSError, FloatingPointError) as error:
        tell(line_of(error))
        return 2


def add_run(parser: argparse.ArgumentParser) -> None:
    """`--run`, of the commands that need no training first."""
    shipped = "digits-dvs128"
    words = f"the folder of a run, or the name of one that ships (default: {shipped})"
    parser.add_argument("--run", type=Path, default=Path(shipped), help=words)


def words_of(args: list[str] | None) -> list[str]:
    """The words of the command line, `--data.root=~/x` with the home folder in it.

    Shells see to that only where the path is a word of its own.
    """
    words = sys.argv[1:] if args is None else args
    found = [re.fullmatch(r"(--[\w.-]+=)(~.*)", word, re.DOTALL) for word in words]
    return [
        f"{match[1]}{os.path.expanduser(match[2])}" if match else word
        for word, match in zip(words, found, strict=True)
    ]


def line_of(error: Exception) -> str:
    """What an error says, in one line; of files, by their names."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return (str(error).splitlines() or [type(error).__name__])[0]


def tell(words: str) -> None:
    """One line on stderr."""
    print(f"vdib: {words}", file=sys.stderr, flush=True)


@contextmanager
def _signals() -> Iterator[None]:
    """Within, Ctrl-C and SIGTERM raise `Interrupted`, unless they are ignored already."""
    if threading.current_thread() is not threading.main_thread():  # where no signals arrive
        yield
        return
    process = os.getpid()

    def stop(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            raise Interrupted(signum)
        signal.signal(signum, signal.SIG_DFL)  # a helper, forked off: it ends as others do
        signal.raise_signal(signum)

    before = {}
    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) != signal.SIG_IGN:  # as `nohup`, `&` in scripts and sweeps do
            before[signum] = signal.signal(signum, stop)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _quiet() -> None:
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
