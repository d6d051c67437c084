"""`python -m vdib.evaluate RUN`: measure a finished run again and rewrite its summary.

The code's marginal is fitted on validation data; only then is the test set touched.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdib.runs.command import UserError, run

if TYPE_CHECKING:  # takes seconds to import
    from vdib.runs.cli import VDIBCLI


def measure(cli: "VDIBCLI") -> dict[str, Any]:
    """Evaluate a run's best weights and write `summary.json` and the final figures.

    Args:
        cli: the run's model, data and trainer; its folder holds `checkpoints/`: `best.ckpt`, chosen
            on validation data, and `last.ckpt`, which knows how long training took.

    Returns:
        The summary, flat.
    """
    from vdib.lightning_modules.callbacks import Figures

    trainer = cli.trainer
    checkpoints = cli.folder / "checkpoints"
    callbacks = load(checkpoints / "last.ckpt")["callbacks"]
    train_seconds = callbacks["Timer"]["time_elapsed"]["train"]
    arguments: dict[str, Any] = {"datamodule": cli.datamodule, "verbose": False}
    loggers, trainer.loggers = trainer.loggers, []  # that epoch has been logged before
    (validation,) = trainer.validate(
        cli.model, ckpt_path=str(checkpoints / "best.ckpt"), weights_only=True, **arguments
    )
    trainer.loggers = loggers
    for callback in getattr(trainer, "callbacks", []):
        # Restored with the weights: back to all the epochs.
        if isinstance(callback, Figures) and "Figures" in callbacks:
            callback.load_state_dict(callbacks["Figures"])
    (test,) = trainer.test(cli.model, **arguments)
    figures = {name.removeprefix("test/"): value for name, value in test.items()}
    summary = {
        "experiment": cli.config.experiment,
        "name": cli.config.name,
        "seed": cli.config.seed,
        **{name: figures[name] for name in cli.model.TABLE if name in figures},
        **cli.model.settings(),
        "train_seconds": round(train_seconds, 2),
        "loss_nats": figures["loss"],
        "validation_loss_nats": validation["val/loss"],
        "test_samples": len(cli.datamodule.split("test")),
    }
    write_json(cli.folder / "summary.json", summary)
    return summary


def load(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds, and no code.

    Raises:
        UserError: it is damaged, or no checkpoint at all.
    """
    import torch

    try:
        content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes of a wrong file happen to mean
        raise UserError(f"{checkpoint} is damaged, or no checkpoint") from error
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write atomically: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def report(cli: "VDIBCLI", summary: Mapping[str, Any]) -> str:
    """The short table that ends a run."""
    table = {words: summary[key] for key, words in cli.model.TABLE.items() if key in summary}
    width = max(len(words) for words in table)
    paths = {"figures": cli.folder / "figures", "run": cli.folder}
    rows = [f"  {words:<{width}}  {value:10.4g}" for words, value in table.items()]
    head = f"{summary['experiment']}, seed {summary['seed']}"
    foot = [f"  {what:<{width}}  {path}" for what, path in paths.items()]
    return "\n".join([head, *rows, *foot])


def main(args: list[str] | None = None) -> int:
    """The command."""
    words = sys.argv[1:] if args is None else args
    if len(words) != 1 or words[0].startswith("-"):
        print("usage: python -m vdib.evaluate RUN\n\nRUN is the folder of a run of vdib.fit.")
        return 0 if words in (["-h"], ["--help"]) else 2
    return run(lambda: _evaluate(Path(words[0])))


def _evaluate(folder: Path) -> int:
    from vdib.runs.cli import build, prepare

    needed = ("config.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt")
    for path in (folder / name for name in needed):
        if not path.is_file():
            raise UserError(f"{folder} is not a finished run: {path} is missing")
    cli = build(["--config", str(folder / "config.yaml")], folder)
    prepare(cli)
    print(report(cli, measure(cli)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
