"""`python -m vdib.tradeoff`: what is decoded against bits and spikes, over prices of the rate.

python -m vdib.tradeoff --config digits --betas 0.001 0.01 0.1 1 --seeds 3 --workers 2

One run of `vdib.fit` for each beta and seed: decoded from the times of spikes (as the config has
it), from their rates, and under a frozen encoder of the gain that suits it best; of labels also by
decoders made by hand. `--curves annealed` has one model go through the betas in their order, with
--anneal_epochs at each after the first. Whatever else is said goes to every run. Called again with
its --name, it goes on where it was; then there may be more curves, betas, gains and seeds.
"""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from vdib.runs.command import Interrupted, UserError, run, tell, words_of
from vdib.sweep.trials import Done, run_each, said, say

if TYPE_CHECKING:  # for the command's help, PyTorch takes long to import
    from vdib.tradeoff.curves import Job, Plan

OWN = {"--seed": "--seeds", "--model.beta": "--betas"}
"""What runs are not told otherwise."""
GAINS = ("1", "2", "4", "8", "16")


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _tradeoff(words_of(args)))


def _parse(args: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m vdib.tradeoff",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--betas", nargs="+", default=["0.001", "0.01", "0.1", "1"], metavar="BETA")
    parser.add_argument(
        "--curves", nargs="+", metavar="WORD", help="time, annealed, rate, frozen, ..."
    )
    parser.add_argument("--gains", nargs="+", default=GAINS, help="of the frozen encoder")
    parser.add_argument("--anneal_epochs", type=int, default=2, help="default: 2")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each point (default: 1)")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--name", help="the folder of the runs (default: the time)")
    known, rest = parser.parse_known_args(args)
    for word in rest:
        name = word.partition("=")[0]
        if name in OWN:
            raise UserError(f"{name}: each run has its own, as {OWN[name]} says")
    for name in ("anneal_epochs", "seeds", "workers"):
        if getattr(known, name) < 1:
            raise UserError(f"--{name}: got {getattr(known, name)}, expected at least 1")
    for name in ("betas", "gains"):
        for word in getattr(known, name):
            if not _positive(word):
                raise UserError(f"--{name}: got {word}, expected numbers above 0")
        if len(set(map(float, getattr(known, name)))) < len(getattr(known, name)):
            raise UserError(f"--{name}: expected distinct numbers")
    return known, rest


def _positive(word: str) -> bool:
    try:
        return 0 < float(word) < float("inf")
    except ValueError:
        return False


def _tradeoff(args: list[str]) -> int:
    asked, common = _parse(args)
    from vdib.tradeoff.planning import planned  # takes seconds to import

    plan, axes = planned(asked, common)
    jobs = plan.jobs()
    plan.folder.mkdir(parents=True, exist_ok=True)
    _goes_on(plan)
    print(f"vdib: {len(jobs)} runs in {plan.folder}", flush=True)
    summaries: dict[Job, dict[str, Any]] = {}
    failures: list[Done] = []
    rounds = sorted({plan.round_of(job) for job in jobs.values()})
    try:
        for i in rounds:
            own = {path: plan.words(job) for path, job in jobs.items() if plan.round_of(job) == i}
            for folder, done in run_each(own, asked.workers):
                if done.code:
                    failures.append(done)
                else:
                    summaries[jobs[folder]] = done.summary
    except Interrupted as stop:
        stop.advice = f"go on with --name {plan.folder.name}"
        raise
    if summaries:
        from vdib.tradeoff.report import write

        for path in write(plan, summaries, axes):
            print(f"vdib: wrote {path}")
    for done in failures:
        tell(f"{done.name}: exit status {done.code}: {done.error}")
    return min(1, len(failures))


def _goes_on(plan: "Plan") -> None:
    """Leave behind what is asked for; refuse a folder of other words, or of more than that.

    The model that is annealed goes through the betas in their order: there may be more at the end.
    """
    path = plan.folder / "asked.json"
    lists = {"curves": [*plan.curves], "betas": [*plan.betas], "gains": [*plan.gains]}
    lists["seeds"] = [str(seed) for seed in range(plan.seeds)]
    asked = {"words": [*plan.common, str(plan.anneal_epochs)], **lists}
    before = said(path)
    if before is not None and (
        before["words"] != asked["words"]
        or any(set(before[name]) - set(asked[name]) for name in lists)
        or before["betas"] != asked["betas"][: len(before["betas"])]
    ):
        raise UserError(
            f"{plan.folder} holds a trade-off of other words, or of more curves or numbers, "
            "which would be lost: choose another --name"
        )
    say(path, asked)


if __name__ == "__main__":
    sys.exit(main())
