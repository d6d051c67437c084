"""The words of a command line, before the parser sees them."""

import re
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

from vdib.runs.command import UserError
from vdib.runs.complaints import LOGGERS
from vdib.runs.safe_yaml import MAX_BYTES, check_yaml


def config_names() -> list[str]:
    """The experiments that ship with the package, `--config NAME`."""
    names = (path.name for path in files("vdib.configs").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


class NamedConfig(ActionConfigFile):
    """`--config mnist` from anywhere, by name; a path works too."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: Any = None) -> None:
        if values in config_names():
            values = str(files("vdib.configs") / f"{values}.yaml")
        super().__call__(parser, cfg, values, option_string)  # type: ignore[no-untyped-call]


def check_configs(configs: Sequence[str]) -> None:
    """Raise a `UserError` for a `--config` that is neither a file nor the name of one."""
    for word in configs:
        name = word.split("=", 1)[-1]
        if word in ("-c", "--config") or name in config_names():
            continue
        if Path(name).is_file():
            _check_file(Path(name))
            continue
        raise UserError(f"--config {name}: neither a file nor one of {', '.join(config_names())}")


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            check_yaml(file.read(2 * MAX_BYTES).decode())
    except ValueError as error:  # bytes that are no text among them
        raise UserError(f"--config {path}: {error}") from error


def configs_first(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The `--config`s, and what else there is: options override files wherever they stand."""
    configs: list[str] = []
    rest: list[str] = []
    for arg in args:
        follows = configs[-1:] in (["-c"], ["--config"])
        is_config = follows or arg.split("=")[0] in ("-c", "--config")
        (configs if is_config else rest).append(arg)
    return configs, rest


def with_loggers(args: Sequence[str]) -> list[str]:
    """`--trainer.logger wandb | tensorboard`, with the run's folder for what they write."""
    expanded: list[str] = []
    args = [part for arg in args for part in re.split(r"(?<=^--trainer.logger)=", arg, maxsplit=1)]
    for arg in args:
        is_logger = expanded[-1:] == ["--trainer.logger"] and arg in LOGGERS
        expanded.append(LOGGERS[arg] if is_logger else arg)
        if is_logger:
            if find_spec(arg) is None:
                raise UserError(f"--trainer.logger {arg}: pip install {arg}")
            expanded += ["--trainer.logger.save_dir", "."]  # the run's folder once it is known
    return expanded
