"""`python -m vdib.sweep`: many runs of `vdib.fit`, as one study.

python -m vdib.sweep --config predictive_coding --over data.lag=-4:4 model.window=full,rate
python -m vdib.sweep --config predictive_coding --search model.beta=1e-3:10:log --trials 20

`--over` runs every combination, from a queue in an Optuna study; `--search` lets Optuna's TPE
sampler choose what lowers the metric. Whatever else is said goes to every run. Called again with
its --name, a sweep that was cut short goes on, and so do its runs; other machines join it with the
same words on a shared disk, or with a database as --storage.
"""

import argparse
import sys
from datetime import datetime
from typing import Any

from vdib.runs.command import Interrupted, UserError, run, tell, words_of
from vdib.sweep.plan import Plan
from vdib.sweep.report import write
from vdib.sweep.space import Choice, over, search
from vdib.sweep.study import close, storage, work
from vdib.sweep.trials import Done


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _sweep(words_of(args)))


def _parse(args: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m vdib.sweep",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--over", nargs="+", metavar="KEY=A,B", help="or KEY=LOW:HIGH[:STEP]")
    kinds.add_argument("--search", nargs="+", metavar="KEY=LOW:HIGH[:log]", help="or KEY=A,B")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each setting (default: 1)")
    parser.add_argument("--trials", type=int, default=20, help="of a search (default: 20)")
    parser.add_argument("--metric", default="validation_loss_nats", help="of the summary")
    parser.add_argument("--plot", help="of the summary, on the figure (default: the metric)")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--name", help="the sweep's folder (default: the time)")
    parser.add_argument("--storage", help="a file, or a database's URL (default: a file in it)")
    known, rest = parser.parse_known_args(args)
    for name in ("seeds", "trials", "workers"):
        if getattr(known, name) < 1:
            raise UserError(f"--{name}: got {getattr(known, name)}, expected at least 1")
    return known, rest


def _plan(asked: argparse.Namespace, common: list[str]) -> Plan:
    kind, texts = ("over", asked.over) if asked.over else ("search", asked.search)
    try:
        space = tuple(over(text) if asked.over else search(text) for text in texts)
    except ValueError as error:
        raise UserError(f"--{kind} {error}") from error
    from vdib.runs.cli import build  # takes seconds to import

    # Every key is tried on the parser before anything runs, which also finds the folder.
    first = {p.key: p.values[0] if isinstance(p, Choice) else f"{p.low:g}" for p in space}
    words = [word for key, value in first.items() for word in (f"--{key}", value)]
    name = asked.name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = build([*common, *words, "--name", name]).folder
    return Plan(
        space, not asked.over, asked.seeds, asked.trials, asked.metric, tuple(common), folder
    )


def _sweep(args: list[str]) -> int:
    asked, common = _parse(args)
    try:
        import optuna
    except ImportError:
        raise UserError("sweeps need Optuna: pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan = _plan(asked, common)
    plan.folder.mkdir(parents=True, exist_ok=True)
    stored = storage(asked.storage, plan.folder)
    try:
        return _work(asked, plan, stored)
    finally:
        close(stored)


def _work(asked: argparse.Namespace, plan: Plan, stored: Any) -> int:
    import optuna

    study = optuna.create_study(
        storage=stored,
        study_name="/".join(plan.folder.parts[-2:]),
        load_if_exists=True,
    )
    if study.user_attrs.get("identity", plan.identity) != plan.identity:
        raise UserError(f"{plan.folder} holds another sweep: choose another --name")
    study.set_user_attr("identity", plan.identity)
    # Not the same random numbers again where a search goes on.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
    print(f"vdib: sweeping in {plan.folder}", flush=True)
    failures: list[Done] = []
    try:
        work(study, plan, asked.workers, failures)
    except Interrupted as stop:
        stop.advice = f"go on with --name {plan.folder.name}"
        raise
    finally:
        # A trial that was killed before it was told has its summaries, and a successor.
        if trials := [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]:
            for path in write(plan.folder, plan.space, trials, asked.plot or plan.metric):
                print(f"vdib: wrote {path}")
        for done in failures:
            tell(f"{done.name}: exit status {done.code}: {done.error}")
    return min(1, len(failures))


if __name__ == "__main__":
    sys.exit(main())
