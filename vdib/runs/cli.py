"""The command line all training commands share: named configs, run folders, what is built."""

import re
import warnings
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonargparse
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningDataModule, LightningModule, seed_everything
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from vdib.lightning_modules.callbacks import Checkpoint, Figures, Metrics
from vdib.lightning_modules.experiments import DATA, EXPERIMENTS
from vdib.precision import precision_for
from vdib.runs.command import UserError
from vdib.runs.complaints import LOGGERS, one_line, settings_of

LINKED = tuple(dict.fromkeys(name for kind in EXPERIMENTS for name in kind.TAKES))
"""Settings of some model that follow from attributes of the data."""


def _follows_from(option: str) -> str | None:
    """What to set instead of a setting that follows from others."""
    if option in ("--model.seed", "--data.seed"):
        return "--seed"
    group, _, name = option.partition(".")
    if group != "--model" or name not in LINKED:
        return None
    return f"--data.{name}" if any(name in settings_of(kind) for kind in DATA) else "the data"


def config_names() -> list[str]:
    """The experiments that ship with the package, `--config NAME`."""
    names = (path.name for path in files("vdib.configs").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


class _NamedConfig(ActionConfigFile):
    """`--config mnist` from anywhere, by name; a path works too."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: Any = None) -> None:
        if values in config_names():
            values = str(files("vdib.configs") / f"{values}.yaml")
        elif isinstance(values, str) and not Path(values).is_file():
            raise UserError(
                f"--config {values}: neither a file nor one of {', '.join(config_names())}"
            )
        super().__call__(parser, cfg, values, option_string)  # type: ignore[no-untyped-call]


class VDIBCLI(LightningCLI):
    """Parses and builds; the commands run.

    A run resumed from `last` goes on with its own `config.yaml`, and takes from the command line
    only what is said there.

    Attributes:
        folder: the run's folder, `<runs>/<experiment>/<name>`.
        finished: whether the run is only looked at again, and logs nothing.
        why: reason of the precision, where it was chosen here; else empty.
    """

    why = ""

    def __init__(self, folder: Path | None, *args: Any, **kwargs: Any) -> None:
        self.finished = folder is not None
        self._given = folder
        super().__init__(*args, **kwargs)

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = LightningArgumentParser(**kwargs)
        parser.add_argument(
            "-c", "--config", action=_NamedConfig, help=f"{', '.join(config_names())}, or a path"
        )
        return parser

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--experiment", type=str, help="folder of the runs that belong together"
        )
        parser.add_argument("--name", type=str | None, help="the run's folder (default: the time)")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all experiments")
        parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
        parser.add_argument(
            "--ckpt_path", type=str | None, help="resume from a checkpoint, or from 'last'"
        )
        parser.add_argument(
            "--figures_every",
            type=int,
            default=5,
            help="epochs between figures; 0: at the end only, -1: none",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name in LINKED:  # a model without such a setting is left alone
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        parser.link_arguments("seed", "model.init_args.seed")
        parser.link_arguments("seed", "data.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        config = self.config
        if config.experiment is None:
            raise UserError("--experiment: say in which folder the run belongs")
        config.name = config.name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        self.folder = self._given or Path(config.runs) / config.experiment / config.name
        own = self.folder / "config.yaml"
        if config.ckpt_path == "last" and own.is_file() and not self.finished:
            configs, rest = _configs_first(args)
            place = ["--runs", config.runs, "--experiment", config.experiment]
            super().parse_arguments(
                parser, [*configs, "--config", str(own), *rest, *place, "--name", config.name]
            )

    def _set_seed(self) -> None:
        seed = self.config.seed
        if not 0 <= seed < 2**32:
            raise UserError(f"--seed: got {seed}, expected 0 to {2**32 - 1}")
        seed_everything(seed, workers=True, verbose=False)

    def before_instantiate_classes(self) -> None:
        if self.finished:
            self.config.trainer.logger = False
        logger = self.config.trainer.logger
        if isinstance(logger, jsonargparse.Namespace) and "save_dir" in logger.init_args:
            logger.init_args.save_dir = str(self.folder)
        trainer = self.config.trainer
        if trainer.precision is None and not trainer.plugins:  # which may be a precision
            trainer.precision, self.why = precision_for(trainer.accelerator)
        if trainer.precision in ("bf16-true", "16-true"):
            mixed = trainer.precision.replace("true", "mixed")
            raise UserError(
                f"--trainer.precision {trainer.precision}: potentials and weights need single "
                f"precision; {mixed} rounds products only"
            )

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> Any:
        chosen = config["logger"]
        chosen = [] if chosen in (None, True, False) else chosen
        chosen = chosen if isinstance(chosen, list) else [chosen]
        self.metrics = Metrics(self.folder, name="", version="")
        config["logger"] = False if self.finished else [self.metrics, *chosen]
        self.best = Checkpoint(self.folder / "checkpoints", "best", monitor="val/loss")
        # Apart, because Lightning's `save_last` only saves when `best` does.
        last = Checkpoint(self.folder / "checkpoints", "last")
        callbacks = [*callbacks, Timer(), self.best, last]
        if self.config.figures_every >= 0:
            callbacks.append(Figures(self.folder / "figures", self.config.figures_every))
        try:
            return super()._instantiate_trainer(config, callbacks)
        except (MisconfigurationException, TypeError, ValueError) as error:
            raise UserError(f"--trainer: {str(error).splitlines()[0]}") from error


def _expand(args: list[str]) -> list[str]:
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


def _configs_first(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The `--config`s, and what else there is: options override files wherever they stand."""
    configs: list[str] = []
    rest: list[str] = []
    for arg in args:
        follows = configs[-1:] in (["-c"], ["--config"])
        is_config = follows or arg.split("=")[0] in ("-c", "--config")
        (configs if is_config else rest).append(arg)
    return configs, rest


def build(args: list[str], folder: Path | None = None) -> VDIBCLI:
    """Parse and build model, data and trainer; the default experiment where none is named.

    Args:
        args: as on the command line.
        folder: of the run, where it is not to follow from the arguments.

    Raises:
        UserError: in one line, whatever is wrong with the arguments.
    """
    configs, rest = _configs_first(args)
    for arg in rest:
        if other := _follows_from(option := arg.split("=")[0]):
            raise UserError(f"{option}: follows from {other}")
    args = [*(configs or ["--config", "digits"]), *_expand(rest)]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LightningCLI's args parameter")
            return VDIBCLI(
                folder,
                LightningModule,
                LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                run=False,
                save_config_callback=None,
                seed_everything_default=False,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                trainer_defaults={
                    "enable_model_summary": False,
                    "devices": 1,
                    "num_sanity_val_steps": 0,
                },
                parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
                args=args,
            )
    except (jsonargparse.ArgumentError, ValueError) as error:
        raise UserError(one_line(error)) from error


def prepare(cli: VDIBCLI) -> None:
    """Find or make the data.

    Raises:
        UserError: a file that is no recording, a package that is missing (one line).
    """
    try:
        cli.datamodule.prepare_data()
    except (ValueError, ImportError) as error:
        raise UserError(str(error).splitlines()[0]) from error
