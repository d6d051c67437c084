"""`python -m vdib.reproduce`: published experiments, run again, their figures beside ours.

python -m vdib.reproduce --list                        what there is, and how long it takes
python -m vdib.reproduce snntorch-5 plif-mnist         these, three seeds each
python -m vdib.reproduce --write docs/systems.md       all, and the page of their figures

Runs go to runs/reproduce; finished ones are kept, so that a command that was killed goes on where
it was. Data are looked for as `vdib.fit` does.
"""

import argparse
import sys
from pathlib import Path

from vdib.files import replacing
from vdib.reproduce.published import EXPERIMENTS
from vdib.runs.command import UserError, run, words_of


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _reproduce(words_of(args)))


def _reproduce(args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vdib.reproduce",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all)")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--only", metavar="WORDS", default="", help="rows with these words")
    parser.add_argument("--seeds", type=int, default=3, help="default %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default %(default)s")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a page of their figures")
    parser.add_argument(
        "--report-only", action="store_true", help="of what is finished already; run nothing"
    )
    asked = parser.parse_args(args)
    for name in ("seeds", "workers"):
        if getattr(asked, name) < 1:
            raise UserError(f"--{name}: got {getattr(asked, name)}, expected at least 1")
    for name in asked.names:
        if name not in EXPERIMENTS:
            from vdib.lightning_modules.choosing import expected

            raise UserError(expected("NAME", name, EXPERIMENTS))
    names = asked.names or list(EXPERIMENTS)
    if asked.list:
        width = max(map(len, names))
        for name in names:
            experiment = EXPERIMENTS[name]
            told = dict.fromkeys(row.published for row in experiment.rows if row.published)
            print(f"{name:<{width}}  {experiment.title}: {'; '.join(told) or 'no figure'}")
            print(f"{'':<{width}}  about {experiment.minutes:g} core-minutes a seed")
        return 0
    from vdib.reproduce.report import page, text  # takes a second to import
    from vdib.reproduce.running import jobs_of, run_jobs

    jobs = {
        name: jobs_of(name, EXPERIMENTS[name], asked.seeds, asked.runs, asked.only)
        for name in names
    }
    if not any(jobs.values()):
        rows = dict.fromkeys(row.words for name in names for row in EXPERIMENTS[name].rows)
        raise UserError(f"--only: no row has {asked.only!r}; there are: {'; '.join(rows)}")
    for name in names:
        if not asked.report_only:
            run_jobs(jobs[name], asked.workers)
        print(text(name, EXPERIMENTS[name], jobs[name]), flush=True)
    if asked.write is not None:
        with replacing(asked.write) as file:
            whole = page(((name, EXPERIMENTS[name], jobs[name]) for name in names), asked.seeds)
            file.write(whole.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
