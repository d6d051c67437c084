"""The command line all training commands share: named configs, one-line errors, run folders."""

import difflib
import inspect
import logging
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonargparse
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from pytorch_lightning import LightningDataModule, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint, Timer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger

from vdib.lightning_modules.callbacks import Figures
from vdib.lightning_modules.image_data import ImageData
from vdib.lightning_modules.naturalisation import NaturalisationModule


class UserError(Exception):
    """Something the user can mend, said in one line."""


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

    Attributes:
        folder: the run's folder, `<runs>/<experiment>/<name>`.
        finished: whether the run is only looked at again, and logs nothing.
    """

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
        for source, target in (
            ("data.num_steps", "model.init_args.num_steps"),
            ("data.input_shape", "model.init_args.input_shape"),
        ):
            parser.link_arguments(source, target, apply_on="instantiate")
        parser.link_arguments("seed", "model.init_args.seed")
        parser.link_arguments("seed", "data.init_args.seed")

    def _set_seed(self) -> None:
        seed_everything(self.config.seed, workers=True, verbose=False)

    def before_instantiate_classes(self) -> None:
        config = self.config
        config.name = config.name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        self.folder = self._given or Path(config.runs) / config.experiment / config.name
        logger = config.trainer.logger
        if isinstance(logger, jsonargparse.Namespace) and "save_dir" in logger.init_args:
            logger.init_args.save_dir = str(self.folder)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> Any:
        chosen = config["logger"]
        chosen = [] if chosen in (None, True, False) else chosen
        chosen = chosen if isinstance(chosen, list) else [chosen]
        csv = CSVLogger(self.folder, name="", version="")
        config["logger"] = False if self.finished else [csv, *chosen]
        self.timer = Timer()
        self.checkpoint = ModelCheckpoint(
            self.folder / "checkpoints",
            filename="best",
            monitor="val/loss",
            save_last=True,
            enable_version_counter=False,
        )
        callbacks = [*callbacks, self.timer, self.checkpoint]
        if self.config.figures_every >= 0:
            callbacks.append(Figures(self.folder / "figures", self.config.figures_every))
        return super()._instantiate_trainer(config, callbacks)


def quiet() -> None:
    """Leave out what Lightning says about accelerators, loggers and workers."""
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers",
        "Experiment logs directory",
        "Checkpoint directory .* exists",
        ".*treespec",
    ):
        warnings.filterwarnings("ignore", message)


def _expand(args: list[str]) -> list[str]:
    """`--trainer.logger wandb | tensorboard`, with the run's folder for what they write."""
    short = {"wandb": "WandbLogger", "tensorboard": "TensorBoardLogger"}
    expanded: list[str] = []
    args = [part for arg in args for part in re.split(r"(?<=^--trainer.logger)=", arg, maxsplit=1)]
    for arg in args:
        is_logger = expanded[-1:] == ["--trainer.logger"] and arg in short
        expanded.append(short[arg] if is_logger else arg)
        if is_logger:
            expanded += ["--trainer.logger.save_dir", "."]  # the run's folder once it is known
    return expanded


def build(args: list[str], folder: Path | None = None) -> VDIBCLI:
    """Parse and build model, data and trainer; the default experiment where none is named.

    Args:
        args: as on the command line.
        folder: of the run, where it is not to follow from the arguments.

    Raises:
        UserError: in one line, whatever is wrong with the arguments.
    """
    if not any(arg.split("=")[0] in ("-c", "--config") for arg in args):
        args = ["--config", "digits", *args]
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
                parser_kwargs={"exit_on_error": False},
                args=_expand(args),
            )
    except jsonargparse.ArgumentError as error:
        raise UserError(_one_line(error)) from error
    except ValueError as error:
        raise UserError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    """The first concrete complaint of a nested parser error, and the nearest right word."""
    text = str(error)
    group = re.match(r'Parser key "([\w.]+)"', text)
    prefix = f"--{group[1]}." if group else ""
    if unknown := re.search(r"Option '([\w.]+)' is not accepted", text):
        known = [
            name
            for owner in (NaturalisationModule, ImageData)
            if owner.__name__ in text
            for name in inspect.signature(owner).parameters
        ]
        return f"{prefix}{unknown[1]}: no such setting" + _nearest(unknown[1], known)
    if unknown := re.search(r"unrecognized arguments: --([\w.]+)", text):
        known = [f"trainer.{name}" for name in inspect.signature(Trainer).parameters]
        known += ["config", "name", "runs", "seed", "ckpt_path", "experiment", "figures_every"]
        return f"--{unknown[1]}: no such option" + _nearest(unknown[1], known)
    keys = re.findall(r'Parser key "([\w.]+)"', text)
    value = re.search(r"(?:Got value|Given value): (.*)", text)
    if expected := re.search(r"Expected a (?:typing\.)?(Literal\[(.*?)\]|<class '(\w+)'>)", text):
        name = f"{prefix}{keys[-1]}" if len(keys) > 1 else f"--{keys[-1]}"
        got = value[1] if value else ""
        if expected[2]:
            words = re.findall(r"'(\w+)'", expected[2])
            return f"{name}: got {got!r}, expected {', '.join(words)}" + _nearest(got, words)
        return f"{name}: got {got!r}, expected {expected[3]}"
    complaints = re.findall(r"^\s*- (?!Expected)(.*)", text, re.MULTILINE)
    return complaints[0] if complaints else text.splitlines()[0]


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def run(main: Callable[[], int]) -> int:
    """A command's exit status: user errors become one line on stderr and 2."""
    quiet()
    try:
        return main()
    except (UserError, OSError, FloatingPointError) as error:
        print(f"vdib: {error}", file=sys.stderr)
        return 2
