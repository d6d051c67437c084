"""`python -m vdib.fit`: train, evaluate, and leave a run folder behind.

python -m vdib.fit                                     time-coded digits, a few minutes
python -m vdib.fit --config mnist --data.coding rate   all of MNIST
python -m vdib.fit --name mine --ckpt_path last        resume runs/<experiment>/mine
"""

import sys
from pathlib import Path

from vdib.cli import VDIBCLI, UserError, build, run
from vdib.evaluate import measure, report


def main(args: list[str] | None = None) -> int:
    """The command; `args` as on the command line."""
    return run(lambda: _fit(sys.argv[1:] if args is None else args))


def _fit(args: list[str]) -> int:
    cli = build(args)
    checkpoint = _checkpoint(cli)
    cli.folder.mkdir(parents=True, exist_ok=True)
    cli.parser.save(cli.config, cli.folder / "config.yaml", overwrite=True)
    print(f"vdib: training in {cli.folder}", flush=True)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True)
    if cli.trainer.interrupted:
        raise UserError(f"interrupted; go on with --name {cli.config.name} --ckpt_path last")
    summary = measure(cli, Path(cli.checkpoint.best_model_path), cli.timer.time_elapsed("train"))
    print(report(summary, cli.folder))
    return 0


def _checkpoint(cli: VDIBCLI) -> str | None:
    """Where to resume from, if at all; a run never overwrites another."""
    wanted = cli.config.ckpt_path
    if wanted is None:
        if cli.folder.exists():
            raise UserError(
                f"{cli.folder} exists: choose another --name, or resume it with --ckpt_path last"
            )
        return None
    path = cli.folder / "checkpoints" / "last.ckpt" if wanted == "last" else Path(wanted)
    if not path.is_file():
        raise UserError(f"--ckpt_path {wanted}: there is no checkpoint {path}")
    return str(path)


if __name__ == "__main__":
    sys.exit(main())
