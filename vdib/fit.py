"""`python -m vdib.fit`: train, evaluate, and leave a run folder behind.

python -m vdib.fit                                     time-coded digits, a few minutes
python -m vdib.fit --config mnist --data.coding rate   all of MNIST
python -m vdib.fit --name mine --ckpt_path last        resume runs/<experiment>/mine
"""

import sys
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import WandbLogger

from vdib.evaluate import load, measure, report
from vdib.runs.cli import VDIBCLI, build, prepare
from vdib.runs.command import UserError, run


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _fit(sys.argv[1:] if args is None else args))


def _fit(args: list[str]) -> int:
    cli = build(args)
    checkpoint = _checkpoint(cli)
    state = _fitting(cli, checkpoint) if checkpoint else {}
    prepare(cli)
    wandb = [logger for logger in cli.trainer.loggers if isinstance(logger, WandbLogger)]
    try:
        for logger in wandb:
            _log_in(logger)
        # Only now that all is there is anything written.
        cli.folder.mkdir(parents=True, exist_ok=True)
        cli.config.ckpt_path = None  # of this call, not of the run
        for name, value in getattr(cli.datamodule, "found", {}).items():
            cli.config.data.init_args[name] = value
        cli.parser.save(cli.config, cli.folder / "config.yaml", overwrite=True)
        # Rows are numbered by batches, of which each may have made several updates.
        cli.metrics.go_on(state.get("global_step", 0) // cli.model.updates_per_batch)
        why = f" ({cli.why})" if cli.why else ""
        print(f"vdib: training in {cli.folder}, precision {cli.trainer.precision}{why}", flush=True)
        status = _train(cli, checkpoint)
        if status == 0:
            print(report(cli, measure(cli)))
    finally:
        for logger in wandb:  # or the next run of this process would log into the same
            if logger._experiment is not None:
                logger.experiment.finish()
    return status


def _train(cli: VDIBCLI, checkpoint: str | None) -> int:
    """Train; the exit status, which is that of a signal where one came."""
    fit = cli.trainer.fit
    try:
        fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stop:  # how Lightning leaves: 1 after Ctrl-C, nothing after SIGTERM
        print(f"vdib: interrupted; {_what_next(cli)}", file=sys.stderr)
        return 130 if stop.code == 1 else 143
    except (FloatingPointError, ValueError, MisconfigurationException) as error:
        raise UserError(f"{str(error).splitlines()[0]}; {_what_next(cli)}") from error
    if not cli.best.best_model_path:
        raise UserError("no epoch was trained and validated: there is nothing to evaluate")
    return 0


def _log_in(logger: WandbLogger) -> None:
    from wandb.errors import Error  # type: ignore[import-not-found, unused-ignore]

    try:
        _ = logger.experiment
    except Error as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--trainer.logger wandb: {reason} Or set WANDB_MODE=offline.") from error


def _checkpoint(cli: VDIBCLI) -> str | None:
    """Where to resume from, if at all; a run never overwrites another."""
    wanted, own = cli.config.ckpt_path, cli.folder / "checkpoints"
    path = own / "last.ckpt" if wanted == "last" else Path(wanted or "")
    if wanted and not path.is_file():
        raise UserError(f"--ckpt_path {wanted}: there is no checkpoint {path}")
    if cli.folder.exists() and not (wanted and path.resolve().parent == own.resolve()):
        raise UserError(f"{cli.folder} exists: choose another --name, or {_what_next(cli)}")
    return str(path) if wanted else None


def _fitting(cli: VDIBCLI, checkpoint: str) -> dict[str, Any]:
    """The content of a checkpoint that fits the model."""
    state = load(Path(checkpoint))
    try:
        cli.model.load_state_dict(state["state_dict"])
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise UserError(f"--ckpt_path: {checkpoint} is of another model: {reason}") from error
    return state


def _what_next(cli: VDIBCLI) -> str:
    """How to resume a run that was cut short."""
    if not (cli.folder / "checkpoints" / "last.ckpt").is_file():
        return f"delete {cli.folder}, which has no checkpoint yet"
    config = cli.config
    runs = "" if config.runs == "runs" else f"--runs {config.runs} "
    place = f"{runs}--experiment {config.experiment} --name {config.name}"
    return f"go on with {place} --ckpt_path last"


if __name__ == "__main__":
    sys.exit(main())
