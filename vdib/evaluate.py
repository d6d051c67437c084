"""`python -m vdib.evaluate RUN`: measure a finished run again and rewrite its summary.

The code's marginal is fitted on validation data; only then is the test set touched.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vdib.cli import VDIBCLI, UserError, build, run

TABLE = {
    "judge_accuracy": "judge accuracy on naturalised test images",
    "distortion_nats": "distortion (nats/sample)",
    "rate_bits": "rate under the training prior (bits/sample)",
    "rate_bits_marginal": "rate under a fitted marginal (bits/sample)",
    "spikes_per_sample": "readout spikes per sample",
    "hidden_rate": "hidden spikes per neuron and step",
    "readout_rate": "readout spikes per neuron and step",
    "ssim": "SSIM",
    "train_seconds": "training (s)",
}


def measure(cli: VDIBCLI, checkpoint: Path, train_seconds: float) -> dict[str, Any]:
    """Evaluate the weights of a checkpoint and write `summary.json` and the final figures.

    Args:
        cli: the run's model, data and trainer.
        checkpoint: the weights, chosen on validation data.
        train_seconds: wall-clock seconds of training so far.

    Returns:
        The summary, flat.
    """
    trainer = cli.trainer
    arguments: dict[str, Any] = {"datamodule": cli.datamodule, "verbose": False}
    (validation,) = trainer.validate(
        cli.model, ckpt_path=str(checkpoint), weights_only=True, **arguments
    )
    (test,) = trainer.test(cli.model, **arguments)
    figures = {name.removeprefix("test/"): value for name, value in test.items()}
    summary = {
        "experiment": cli.config.experiment,
        "name": cli.config.name,
        "seed": cli.config.seed,
        **{name: figures[name] for name in TABLE if name in figures},
        "train_seconds": round(train_seconds, 2),
        "loss_nats": figures["loss"],
        "validation_loss_nats": validation["val/loss"],
        "test_samples": len(cli.datamodule.split("test")),
    }
    write_json(cli.folder / "summary.json", summary)
    return summary


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write atomically: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def report(summary: Mapping[str, Any], folder: Path) -> str:
    """The short table that ends a run."""
    width = max(len(words) for words in TABLE.values())
    paths = {"figures": folder / "figures", "run": folder}
    rows = [f"  {words:<{width}}  {summary[key]:10.4g}" for key, words in TABLE.items()]
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
    config, checkpoint = folder / "config.yaml", folder / "checkpoints" / "best.ckpt"
    for path in (config, checkpoint):
        if not path.is_file():
            raise UserError(f"{folder} is not a finished run: {path} is missing")
    cli = build(["--config", str(config)], folder)
    last = torch.load(folder / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    summary = measure(cli, checkpoint, last["callbacks"]["Timer"]["time_elapsed"]["train"])
    print(report(summary, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
