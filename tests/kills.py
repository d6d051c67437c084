"""Runs killed at random moments go on as if nothing had been: `python tests/kills.py --kills 50`.

Each trial trains the tiny run of a case in a process of its own, sends that process SIGKILL after a
random time, and has `vdib.fit --ckpt_path last` (or the sweep's own command) go on until the end. A
trial has passed when all that is left is bit for bit what the run leaves that nobody killed:
weights and buffers, the optimiser's moments, the schedule, the loops' counts, the best checkpoint,
`metrics.csv` and the summary, but for its times and its name. Checkpoints are written after every
batch, every 0.1 s, or at ends of epochs only, by chance.

`--out docs/reliability.md` puts the table into that page. POSIX only.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vdib.files import replacing
from vdib.runs.folder import Run

QUIET = ["--figures_every", "-1", "--trainer.enable_progress_bar", "false"]
QUIET += ["--trainer.log_every_n_steps", "1"]
DIGITS = [*QUIET, "--model.hidden", "[20]", "--model.num_readout", "8", "--data.num_steps", "6"]
DIGITS += ["--trainer.limit_train_batches", "8", "--trainer.limit_val_batches", "1"]
DIGITS += ["--trainer.limit_test_batches", "1", "--trainer.max_epochs", "3"]
BLOBS = ["--config", "predictive_coding", *QUIET, "--model.reference", "false"]
BLOBS += ["--data.num_train", "40", "--data.num_validation", "4", "--data.num_test", "4"]
BLOBS += ["--data.num_steps", "30", "--data.num_long", "0", "--data.batch_size", "8"]
BLOBS += ["--trainer.max_epochs", "3"]
CASES = {
    "straight-through": [*DIGITS, "--data.coding", "rate"],
    "relaxed": [*DIGITS, "--model.estimator", "relaxed", "--model.prior", "past"],
    "leave-one-out, e-prop": [
        *(*DIGITS, "--model.estimator", "leave_one_out", "--model.credit", "eprop")
    ],
    "score function (its baseline)": [*DIGITS, "--model.estimator", "score", "--model.beta", "0.3"],
    "threshold readout, labels": [
        *(*DIGITS, "--data.target", "label", "--model.readout", "threshold"),
        *("--model.neuron", "lif"),
    ],
    "warm-up, free bits, softened spikes that harden": [
        *(*DIGITS, "--model.warmup", "0.5", "--model.free_bits", "0.5"),
        *("--model.estimator", "RelaxedBernoulli", "--model.estimator.end", "0.1"),
    ],
    "RELAX (its network and averages)": [*DIGITS, "--model.estimator", "relax"],
    "VIMCO, beta 1": [*DIGITS, "--model.estimator", "vimco", "--model.beta", "1"],
    "DisARM": [
        *(*DIGITS, "--model.estimator", "disarm"),
        *("--model.readout_settings", "{feedback: false}"),
    ],
    "gradients of two batches": [*DIGITS, "--trainer.accumulate_grad_batches", "2"],
    "validation twice an epoch": [*DIGITS, "--trainer.val_check_interval", "0.5"],
    "validation every second epoch": [
        *(*DIGITS, "--trainer.check_val_every_n_epoch", "2", "--trainer.max_epochs", "4")
    ],
    "20 steps": [*DIGITS, "--trainer.max_steps", "20"],
    "predictive coding, sequences": BLOBS,
    "predictive coding, online": [*BLOBS, "--model.mode", "online"],
    "two loader workers": [*DIGITS, "--data.num_workers", "2"],
    "a sweep": [*DIGITS, "--over", "model.beta=0.01,0.1"],
}
EVERY = {"each batch": "1e-9", "0.1 s": "0.00167", "epochs": "0"}


def child(args: Sequence[str], sweep: bool) -> int:
    """A process in which the command runs; its id."""
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()  # with the helpers it starts
        null = os.open(os.devnull, os.O_WRONLY)
        log = os.open("log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(null, 1)
        os.dup2(log, 2)
        if sweep:
            from vdib.sweep.__main__ import main
        else:
            from vdib.fit import main
        os._exit(main(list(args)))
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(99)


def ended(process: int) -> int:
    """Wait; the exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def left(folder: Path) -> dict[str, Any]:
    """All that a run leaves and that is to be the same, by name."""
    found: dict[str, Any] = {"metrics": (folder / "metrics.csv").read_text()}
    for name in ("last", "best"):
        state = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
            flatten(f"{name}/{part}", state[part], found)
        loops = {
            key: value for key, value in state["loops"]["fit_loop"].items() if "val" not in key
        }
        flatten(f"{name}/loops", loops, found)
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("train_seconds", "name"):
        summary.pop(name)
    return found | {"summary": summary}


def flatten(name: str, value: Any, into: dict[str, Any]) -> None:
    """Nested dictionaries and lists as one dictionary."""
    if isinstance(value, dict):
        for key, part in value.items():
            flatten(f"{name}/{key}", part, into)
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            flatten(f"{name}/{i}", part, into)
    else:
        into[name] = value


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """The names under which two runs left something else."""
    names = first.keys() | second.keys()
    return sorted(n for n in names if not alike(first.get(n), second.get(n)))


def alike(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    return type(first) is type(second) and first == second


class Case:
    """A command, and what it leaves when nobody kills it."""

    def __init__(self, name: str) -> None:
        self.sweep = name == "a sweep"
        self.words = CASES[name]
        experiment = "predictive_coding" if BLOBS[1] in self.words else "naturalise_digits"
        self.root = Path("runs", experiment)
        start = time.monotonic()
        assert ended(child([*self.words, "--name", "whole"], self.sweep)) == 0, self.told()
        self.seconds = time.monotonic() - start
        self.expected = self.left("whole")

    def told(self) -> str:
        return Path("log.txt").read_text()[-2000:]

    def left(self, name: str) -> dict[str, Any]:
        folders = [self.root / name]
        if self.sweep:
            folders = sorted(path.parent for path in folders[0].glob("*/summary.json"))
        found: dict[str, Any] = {}
        for folder in folders:
            part = {f"{folder.name if self.sweep else ''}:{k}": v for k, v in left(folder).items()}
            found |= part
        return found

    def trial(self, random: random.Random) -> tuple[str, list[str]]:
        """Kill and go on: what there was to go on from, and what differs in the end."""
        every = random.choice(list(EVERY.values()))
        shutil.rmtree(self.root / "killed", ignore_errors=True)
        words = [*self.words, "--name", "killed", "--checkpoint_every_minutes", every]
        process = child(words, self.sweep)
        time.sleep(random.uniform(0.1, 0.9) * self.seconds)
        os.killpg(process, signal.SIGKILL)
        if ended(process) == 0:  # before it was killed: sooner, then
            self.seconds *= 0.7
            return self.trial(random)
        run = Run(self.root / "killed")
        where = self.where(run)
        if not self.sweep:
            if not run.begun:
                shutil.rmtree(run.folder, ignore_errors=True)
            again = ["--ckpt_path", "last"] if run.begun else []
            config = self.words[:2] if self.words[0] == "--config" else []
            place = ["--experiment", run.folder.parent.name, "--name", "killed"]
            words = [*config, *place, *again] if again else words
        if (code := ended(child(words, self.sweep))) != 0:
            return where, [f"exit status {code}: {self.told()}"]
        return where, differences(self.expected, self.left("killed"))

    def where(self, run: Run) -> str:
        """What a killed run has to go on from."""
        paths = sorted(run.folder.glob("**/last.ckpt"))
        if not paths:
            return "no checkpoint yet"
        loops = torch.load(paths[-1], weights_only=True)["loops"]["fit_loop"]
        within = loops["epoch_loop.batch_progress"]["current"]["completed"] > 0
        return "within an epoch" if within else "an epoch's end"


def table(results: dict[str, list[tuple[str, list[str]]]]) -> str:
    """Rows of a Markdown table: a case each, and all of them."""
    kinds = ["no checkpoint yet", "within an epoch", "an epoch's end"]
    head = ["run", *kinds, "bit-identical"]
    rows = [head, ["---"] * len(head)]
    every = [trial for trials in results.values() for trial in trials]
    for name, trials in [*results.items(), ("all", every)]:
        same = sum(not bad for _, bad in trials)
        counts = [str(sum(where == kind for where, _ in trials)) for kind in kinds]
        rows.append([name, *counts, f"{same} of {len(trials)}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(args: list[str] | None = None) -> int:
    """The command: 0 where every trial passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--out", type=Path, help="page to put the table into")
    asked = parser.parse_args(args)
    page = asked.out.resolve() if asked.out else None
    moments = random.Random(asked.seed)
    results: dict[str, list[tuple[str, list[str]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        share, more = divmod(asked.kills, len(asked.cases))
        for i, name in enumerate(asked.cases):
            if count := share + (i < more):
                Path(folder, str(i)).mkdir()
                os.chdir(Path(folder, str(i)))
                case = Case(name)
                for _ in range(count):
                    where, bad = case.trial(moments)
                    print(f"{name}: {where}: {', '.join(bad[:3]) or 'identical'}", flush=True)
                    results.setdefault(name, []).append((where, bad))
        os.chdir("/")
    print(table(results))
    if page:
        begin, end = "<!-- kills -->\n", "<!-- end of kills -->\n"
        text = page.read_text("utf-8")
        before, after = text.split(begin)[0], text.split(end)[1]
        with replacing(page) as file:
            file.write(f"{before}{begin}{table(results)}\n{end}{after}".encode())
    return any(bad for trials in results.values() for _, bad in trials)


if __name__ == "__main__":
    import vdib.lightning_modules.experiments
    import vdib.runs.training  # noqa: F401  # before the first fork, so that it is done once

    torch.set_num_threads(1)
    sys.exit(main())
