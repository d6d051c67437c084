"""The command line all training commands share: settings parsed, and what is built of them."""

import os
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonargparse
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningDataModule, LightningModule, Trainer, seed_everything
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from vdib.lightning_modules.callbacks import Figures
from vdib.lightning_modules.choices import PriorName
from vdib.lightning_modules.experiments import DATA, EXPERIMENTS
from vdib.precision import precision_for
from vdib.runs.arguments import (
    NamedConfig,
    check_configs,
    config_names,
    configs_first,
    with_loggers,
)
from vdib.runs.command import UserError
from vdib.runs.complaints import one_line, settings_of
from vdib.runs.folder import Run
from vdib.runs.portable_yaml import portable_yaml
from vdib.runs.trainer_settings import check_trainer, set_up

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


jsonargparse.set_dumper("yaml", portable_yaml)  # of `--print_config` as well


class VDIBCLI(LightningCLI):
    """Parses and builds; the commands run.

    A run resumed from `last` goes on with its own `config.yaml`, and takes from the command line
    only what is said there. A finished run is built without the trainer that trained it, which may
    need hardware or packages of another machine: `evaluator` makes one that measures.

    Attributes:
        folder: the run's folder, `<runs>/<experiment>/<name>`.
        finished: whether the run is only looked at again, and logs nothing.
        why: reason of the precision, where it was chosen here; else empty.
    """

    why = ""

    def __init__(self, finished: Path | None, *args: Any, **kwargs: Any) -> None:
        self.finished = finished is not None
        self._given = finished
        super().__init__(*args, **kwargs)

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = LightningArgumentParser(**kwargs)
        parser.add_argument(
            "-c", "--config", action=NamedConfig, help=f"{', '.join(config_names())}, or a path"
        )
        return parser

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        # Plain `str`: where None is also allowed, `~` and `null` are taken for it.
        parser.add_argument(
            "--experiment", type=str, help="folder of the runs that belong together"
        )
        parser.add_argument("--name", type=str, help="the run's folder (default: the time)")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all experiments")
        parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
        parser.add_argument(
            "--ckpt_path", type=str, help="resume from a checkpoint, or from 'last'"
        )
        every = "beside those of each epoch; 0: none between epochs (default: 5)"
        parser.add_argument("--checkpoint_every_minutes", type=float, default=5.0, help=every)
        every = "epochs between figures; 0: at the end only, -1: none"
        parser.add_argument("--figures_every", type=int, default=5, help=every)
        after = "priors fitted to the code once it is trained: a list, `[]` for none"
        parser.add_argument("--fit_priors", type=list[PriorName], default=["past"], help=after)

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
        # To the microsecond: runs of a job array begin in one second.
        config.name = config.name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
        runs = Path(config.runs).expanduser()
        self.folder = self._given or runs / config.experiment / config.name
        own = Run(self.folder).config_file
        if config.ckpt_path == "last" and own.is_file() and not self.finished:
            configs, rest = configs_first(args)
            place = ["--runs", config.runs, "--experiment", config.experiment]
            super().parse_arguments(
                parser, [*configs, "--config", str(own), *rest, *place, "--name", config.name]
            )
        for part in (self.config.model, self.config.data):
            for name, value in dict(part.get("init_args") or {}).items():
                if isinstance(value, str):
                    part.init_args[name] = os.path.expanduser(value)

    def dump(self) -> str:
        """The settings as they go into a `config.yaml`."""
        text: str = self.parser.dump(self.config)
        return text

    def _set_seed(self) -> None:
        seed = self.config.seed
        if not 0 <= seed < 2**32:
            raise UserError(f"--seed: got {seed}, expected 0 to {2**32 - 1}")
        if not self.finished:  # which takes its weights from its checkpoint
            seed_everything(seed, workers=True, verbose=False)

    def before_instantiate_classes(self) -> None:
        if "logger" not in self.config.trainer:  # a number or a word in the place of a section
            raise UserError("--trainer: expected settings by name, as {max_epochs: 3}")
        trainer, logger = self.config.trainer, self.config.trainer.logger
        check_trainer(trainer, self.config.checkpoint_every_minutes)
        if isinstance(logger, jsonargparse.Namespace) and "save_dir" in logger.init_args:
            logger.init_args.save_dir = str(self.folder)
        if trainer.precision is None and not trainer.plugins:  # which may be a precision
            trainer.precision, self.why = precision_for(trainer.accelerator)

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        return None if self.finished else super().instantiate_trainer(**kwargs)

    def evaluator(self, *, figures: bool = False) -> Trainer:
        """A trainer on one device of this machine, for a finished run.

        Args:
            figures: whether a test replaces those of the run.
        """
        assert self.finished
        if not figures:
            self.config.figures_every = -1
        trainer: Trainer = super().instantiate_trainer(plugins=[LightningEnvironment()])
        return trainer

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> Any:
        run = Run(self.folder)
        if not self.finished:
            kept = set_up(config, run, self.config.checkpoint_every_minutes)
            callbacks = [*callbacks, *kept.callbacks]
            self.metrics, self.best = kept.metrics, kept.best
        if self.config.figures_every >= 0 and not config["fast_dev_run"]:
            callbacks.append(Figures(run.figures, self.config.figures_every))
        try:
            return super()._instantiate_trainer(config, callbacks)
        except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"--trainer: {str(error).splitlines()[0]}") from error


def build(args: list[str]) -> VDIBCLI:
    """Parse and build model, data and trainer; the default experiment where none is named.

    Args:
        args: as on the command line.

    Raises:
        UserError: in one line, whatever is wrong with the arguments.
    """
    configs, rest = configs_first(args)
    for arg in rest:
        if other := _follows_from(option := arg.split("=")[0]):
            raise UserError(f"{option}: follows from {other}")
    check_configs(configs)
    return parse([*(configs or ["--config", "digits"]), *with_loggers(rest)])


def parse(args: list[str] | dict[str, Any], finished: Path | None = None) -> VDIBCLI:
    """Parse and build; settings as nested dictionaries are taken as well.

    Args:
        args: as on the command line, or as in a `config.yaml`.
        finished: folder of a run that is only looked at again.

    Raises:
        UserError: in one line, whatever is wrong with the arguments.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LightningCLI's args parameter")
            return VDIBCLI(
                finished,
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
                    "use_distributed_sampler": False,  # data modules see to that
                },
                parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
                args=args,  # a dictionary will do as well
            )
    except UserError:
        raise
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
