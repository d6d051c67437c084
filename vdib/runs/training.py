"""Training a run, from its arguments to its summary."""

import re
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import WandbLogger

from vdib.runs.checkpoint import read_checkpoint, take_weights
from vdib.runs.cli import VDIBCLI, build, prepare
from vdib.runs.command import Interrupted, UserError, line_of, tell
from vdib.runs.folder import Run
from vdib.runs.generative import check_generative
from vdib.runs.measuring import measure, report


def train(args: list[str]) -> int:
    """Train, evaluate, and leave a run's folder behind; an exit status."""
    cli = build(args)
    run = Run(cli.folder)
    path, state, own = _checkpoint(cli, run)
    if path is not None:
        take_weights(cli.model, state, path)
    check_generative(cli.model)
    prepare(cli)
    if cli.config.trainer.fast_dev_run:
        return _rehearse(cli, path)
    with _logged_in(cli), _folder(cli, run, own):
        # Only now that all is there is anything written.
        _write_config(cli, run)
        # Rows are numbered by batches, of which each may have made several updates.
        cli.metrics.go_on(state.get("global_step", 0) // cli.model.updates_per_batch)
        _say_what_begins(cli, run)
        with _ending(cli, lambda: _what_next(cli, run)):
            _fit(cli, path)
        if cli.best is None or not cli.best.best_model_path:
            raise UserError("no epoch was trained and validated: there is nothing to evaluate")
        # Another process of this run may have taken another time for its name.
        run = Run(Path(cli.trainer.strategy.broadcast(str(run.folder))))
        with _ending(cli, lambda: f"it is trained: python -m vdib.evaluate {run.folder}"):
            summary = measure(cli, cli.trainer, run)
        if cli.trainer.is_global_zero:
            print(report(cli, summary))
    return 0


def _checkpoint(cli: VDIBCLI, run: Run) -> tuple[Path | None, dict[str, Any], bool]:
    """Where to resume from, if at all, what it holds, and whether this very run goes on.

    A run never overwrites another. One that was killed before its first checkpoint begins again.
    """
    wanted = cli.config.ckpt_path
    given = run.last if wanted == "last" else Path(wanted or "").expanduser()
    own = bool(wanted) and given.resolve().parent == run.checkpoints.resolve()
    has = any(run.checkpoints.glob("*.ckpt"))
    again = wanted == "last" and not has and run.config_file.is_file()
    if wanted and not given.is_file() and not (own and has) and not again:
        raise UserError(f"--ckpt_path {wanted}: there is no checkpoint {given}")
    if cli.trainer.is_global_zero and not cli.config.trainer.fast_dev_run and run.folder.exists():
        with run.locked():  # or it is still at work, and is not to be deleted
            pass
        if not own:
            raise UserError(
                f"{run.folder} exists: choose another --name, or {_what_next(cli, run)}"
            )
    if own:
        _check_unchanged(cli, run)
    if again:
        if cli.trainer.is_global_zero:
            tell(f"{run.folder} has no checkpoint yet: it begins again")
        return None, {}, own
    if not wanted:
        return None, {}, own
    path, state = run.newest() if wanted == "last" else (given, read_checkpoint(given))
    return path, state, own


def _check_unchanged(cli: VDIBCLI, run: Run) -> None:
    """Raise a `UserError` where a setting is changed that a checkpoint restores over."""
    if not run.config_file.is_file():
        return
    before = run.config()
    settings = before.get("model", {}).get("init_args", {})
    now = cli.config.model.init_args
    changes = {
        "seed": (before.get("seed", cli.config.seed), cli.config.seed),
        "model.rho": (settings.get("rho", now.rho), now.rho),
        "model.init_from": (settings.get("init_from"), now.get("init_from")),
    }
    for name, (was, is_) in changes.items():
        if was != is_:
            raise UserError(f"--{name}: got {is_}, but the run that goes on began with {was}")


def _what_next(cli: VDIBCLI, run: Run) -> str:
    """How to resume a run that was cut short."""
    if not any(run.checkpoints.glob("*.ckpt")):
        return f"delete {run.folder}, which has no checkpoint"
    config = cli.config
    runs = "" if config.runs == "runs" else f"--runs {config.runs} "
    place = f"{runs}--experiment {config.experiment} --name {config.name}"
    return f"go on with {place} --ckpt_path last"


def _rehearse(cli: VDIBCLI, path: Path | None) -> int:
    """`--trainer.fast_dev_run`: a few batches of everything, of which nothing is kept."""
    with _ending(cli, lambda: "nothing was written"):
        _fit(cli, path)
        cli.trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
    if cli.trainer.is_global_zero:
        print("vdib: the rehearsal (--trainer.fast_dev_run) went well; nothing was written")
    return 0


def _say_what_begins(cli: VDIBCLI, run: Run) -> None:
    if cli.trainer.is_global_zero:
        why = f" ({cli.why})" if cli.why else ""
        print(f"vdib: training in {run.folder}, precision {cli.trainer.precision}{why}", flush=True)


def _fit(cli: VDIBCLI, path: Path | None) -> None:
    checkpoint = None if path is None else str(path)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True)


def _folder(cli: VDIBCLI, run: Run, own: bool) -> AbstractContextManager[None]:
    """The run's folder, for this process alone; of several processes the first has it."""
    if not cli.trainer.is_global_zero:
        return nullcontext()
    return run.resumed() if own else run.made()


def _write_config(cli: VDIBCLI, run: Run) -> None:
    if not cli.trainer.is_global_zero:
        return
    cli.config.ckpt_path = None  # of this call, not of the run
    for name, value in getattr(cli.datamodule, "found", {}).items():
        cli.config.data.init_args[name] = value
    run.write_config(cli.dump())


@contextmanager
def _ending(cli: VDIBCLI, advice: Callable[[], str]) -> Iterator[None]:
    """Whatever ends this early is said in one line, with what to do next."""
    try:
        yield
    except Interrupted as stop:
        stop.advice = advice()
        if cli.trainer.strategy.launcher is not None:  # the other processes of this run
            cli.trainer.strategy.launcher.kill(signal.SIGTERM)
        raise
    except (FloatingPointError, ValueError, OSError, MisconfigurationException) as error:
        raise UserError(f"{line_of(error)}; {advice()}") from error
    except RuntimeError as error:
        if cli.trainer.world_size > 1 and _LOST.search(str(error)):
            raise UserError(f"a process of this run is gone; {advice()}") from error
        if cli.trainer.world_size > 1 and "find_unused_parameters" in str(error):
            raise UserError(
                "--trainer.strategy ddp: the loss does not reach all weights, expected "
                f"ddp_find_unused_parameters_true; {advice()}"
            ) from error
        if not (isinstance(error, torch.OutOfMemoryError) or _is_lightnings(error)):
            raise
        raise UserError(f"{line_of(error)}; {advice()}") from error


_LOST = re.compile("peer|gloo|NCCL|process group|store|socket", re.IGNORECASE)
"""What PyTorch says where it no longer reaches another process."""


def _is_lightnings(error: RuntimeError) -> bool:
    """Whether Lightning raised it itself: about settings then, as that no metric is called so."""
    trace = traceback.extract_tb(error.__traceback__)
    return Path(trace[-1].filename).is_relative_to(Path(pytorch_lightning.__file__).parent)


@contextmanager
def _logged_in(cli: VDIBCLI) -> Iterator[None]:
    """Weights & Biases is there before anything is written, and is told when the run ends."""
    wandb = [logger for logger in cli.trainer.loggers if isinstance(logger, WandbLogger)]
    try:
        for logger in wandb:
            _log_in(logger)
        yield
    finally:
        for logger in wandb:  # or the next run of this process would log into the same
            if logger._experiment is not None:
                logger.experiment.finish()


def _log_in(logger: WandbLogger) -> None:
    from wandb.errors import Error  # type: ignore[import-not-found, unused-ignore]

    try:
        _ = logger.experiment
    except Error as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--trainer.logger wandb: {reason} Or set WANDB_MODE=offline.") from error
