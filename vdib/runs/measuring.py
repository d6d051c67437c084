"""What a run's best weights are worth: its summary and its final figures.

The code's marginal is fitted on validation data, other priors on training data and chosen among on
validation data; only then is the test set touched.
"""

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pytorch_lightning import Trainer

from vdib.files import replacing
from vdib.lightning_modules.callbacks import Figures
from vdib.lightning_modules.choices import PRIORS
from vdib.metrics import wilson_interval
from vdib.runs.cli import VDIBCLI, prepare
from vdib.runs.command import UserError, line_of
from vdib.runs.fitted_priors import with_fitted
from vdib.runs.folder import Run
from vdib.runs.generative import ELBO, check_generative, generative_figures
from vdib.runs.loading import rebuild, take_best

CHOOSING = (
    "judge_accuracy",
    "class_accuracy",
    "negative_elbo_nats",
    "spikes_per_sample",
    "hidden_spikes_per_sample",
    *(f"{cost}_bits{per}" for cost in ("rate", "code_length") for per in ("", "_per_step")),
)
"""What a setting may be chosen by, besides the loss: in the summary of validation data as well."""


def evaluate(run: Run, generative: Mapping[str, int]) -> int:
    """Measure a finished run again, and rewrite its summary and its final figures.

    What was added to the summary before, and is not asked for again, stays there.

    Args:
        run: a finished one.
        generative: settings of its module that say what else is measured, changed for now:
            `importance_codes`, `drawn_images`.

    Raises:
        UserError: it is not finished, or has no such figures (one line).
    """
    cli = rebuild(run)
    for name, number in generative.items():
        if not hasattr(cli.model, name):
            raise UserError(f"{name}: only of runs of images")
        setattr(cli.model, name, number)
    check_generative(cli.model)
    prepare(cli)
    _, state = run.newest()
    trainer = cli.evaluator(figures=True)
    for callback in getattr(trainer, "callbacks", []):
        if isinstance(callback, Figures) and "Figures" in state["callbacks"]:
            callback.load_state_dict(state["callbacks"]["Figures"])  # all the epochs
    try:
        earlier = run.summary()
    except UserError:  # none, or a damaged one: it is written anew
        earlier = {}
    print(report(cli, measure(cli, trainer, run, earlier)))
    return 0


def measure(
    cli: VDIBCLI, trainer: Trainer, run: Run, earlier: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Evaluate a run's best weights and write `summary.json` and the final figures.

    Args:
        cli: the run's model and data.
        trainer: that trained it, or another.
        run: with `best.ckpt`, chosen on validation data, and `last.ckpt`, which knows how long
            training took.
        earlier: summary of the same weights: what was added to it on request is kept.

    Returns:
        The summary, flat.
    """
    _, state = run.newest()
    train_seconds = state["callbacks"]["Timer"]["time_elapsed"]["train"]
    take_best(cli, run)
    arguments: dict[str, Any] = {"datamodule": cli.datamodule, "verbose": False}
    loggers, trainer.loggers = trainer.loggers, []  # that epoch has been logged before
    (validation,) = trainer.validate(cli.model, **arguments)
    validated = _seen(cli, trainer, "validation")  # asked later, a trainer that never fitted says 0
    trainer.loggers = loggers
    (test,) = trainer.test(cli.model, **arguments)
    figures = {name.removeprefix("test/"): value for name, value in test.items()}
    dead = cli.model.dead_neurons()
    figures |= {} if dead is None else {"dead_neurons": dead}
    count = _seen(cli, trainer, "test")
    beside: dict[str, float] = {}
    if trainer.is_global_zero:
        beside = generative_figures(
            cli.model,
            cli.datamodule,
            count,
            getattr(cli.model, "importance_codes", 0),
            getattr(cli.model, "drawn_images", 0),
            bar=trainer.progress_bar_callback is not None,
        )
    penalties = [f"{name}_nats" for name in cli.model.vdib.penalties]
    summary = {
        "experiment": cli.config.experiment,
        "name": cli.config.name,
        "seed": cli.config.seed,
        **{name: figures[name] for name in (*cli.model.TABLE, *penalties) if name in figures},
        **beside,
        **_intervals(figures, count),
        **cli.model.settings(),
        "train_seconds": round(train_seconds, 2),
        "loss_nats": figures["loss"],
        "validation_loss_nats": validation["val/loss"],
        **{f"validation_{k}": validation[f"val/{k}"] for k in CHOOSING if f"val/{k}" in validation},
        "validation_samples": validated,
        "test_samples": count,
    }
    if trainer.is_global_zero:
        summary = {**_added(earlier, summary, cli.model), **summary}
        summary = with_fitted(cli, trainer, summary, cli.config.fit_priors)
        run.write_summary(summary)
        run.figures.mkdir(exist_ok=True)
        for name, text in cli.model.tables().items():
            with replacing(run.figures / f"{name}.csv") as file:
                file.write(text.encode())
    return summary


def _added(earlier: Mapping[str, Any], now: Mapping[str, Any], module: Any) -> dict[str, Any]:
    """Bounds, distances and fits of an earlier summary, unless it is of other weights or examples.

    A distance that is asked for again is not kept: it may be of another number of images.
    """
    figures = "loss_nats", "validation_loss_nats", "test_samples", "validation_samples"
    if not all(
        math.isclose(earlier.get(name, math.nan), now[name], rel_tol=1e-5) for name in figures
    ):
        return {}
    kinds = [rf"{ELBO}_\d+", r".*_fitted_.*"]
    if not getattr(module, "drawn_images", 0):
        kinds.append("fad(_published|_images)?")
    return {k: v for k, v in earlier.items() if any(re.fullmatch(kind, k) for kind in kinds)}


def add_priors(run: Run, names: Sequence[str]) -> int:
    """Fit priors to the code of a finished run, and add what it costs under them to its summary."""
    cli = rebuild(run)
    summary = run.summary()
    own = cli.model.cost_name(cli.model.PLANE[0])
    if "validation_samples" not in summary or f"validation_{own}" not in summary:
        raise UserError(f"{run.summary_file} is of an earlier version: vdib.evaluate {run.folder}")
    prepare(cli)
    take_best(cli, run)
    try:
        summary = with_fitted(cli, cli.evaluator(), summary, names, thorough=True)
    except ValueError as error:
        raise UserError(line_of(error)) from error
    run.write_summary(summary)
    print(report(cli, summary))
    return 0


def _seen(cli: VDIBCLI, trainer: Trainer, split: str) -> int:
    """How many examples the figures are of: fewer than there are under `limit_test_batches`."""
    batches = trainer.num_test_batches if split == "test" else trainer.num_val_batches
    return min(int(sum(batches) * cli.datamodule.evaluated), len(cli.datamodule.split(split)))


def _intervals(figures: Mapping[str, float], count: int) -> dict[str, float]:
    """The 95 % interval (Wilson) of each accuracy over `count` test examples."""
    ends: dict[str, float] = {}
    for name in ("judge_accuracy", "class_accuracy"):
        if name in figures:
            low, high = wilson_interval(round(figures[name] * count), count)
            ends |= {f"{name}_low": low, f"{name}_high": high}
    return ends


def report(cli: VDIBCLI, summary: Mapping[str, Any]) -> str:
    """The short table that ends a run."""
    run = Run(cli.folder)
    table = {key: words for key, words in _words(cli, summary).items() if key in summary}
    width = max(len(words) for words in table.values())
    paths = {"figures": run.figures, "run": run.folder}
    rows = []
    for key, words in table.items():
        low, high = (summary.get(f"{key}_{end}") for end in ("low", "high"))
        interval = "" if low is None else f"  [{low:.3f}, {high:.3f}]"
        rows.append(f"  {words:<{width}}  {summary[key]:10.4g}{interval}")
    head = f"{summary['experiment']}, seed {summary['seed']}"
    foot = [f"  {what:<{width}}  {path}" for what, path in paths.items()]
    return "\n".join([head, *rows, *foot])


def _words(cli: VDIBCLI, summary: Mapping[str, Any]) -> dict[str, str]:
    """Keys of the table and their words.

    Bounds by any number of codes are below that by one, the costs under other fitted priors below
    that under the best, which is named.
    """
    words: dict[str, str] = {}
    for key, own in cli.model.TABLE.items():
        words[key] = own
        if key == ELBO:
            several = (name for name in summary if name.startswith(f"{ELBO}_"))
            words |= {name: f"the same by {name.rpartition('_')[2]} codes" for name in several}
        if key == cli.model.figure_under("best"):
            name = summary.get(f"{key.split('_bits')[0]}_prior_best", "as_trained")
            words[key] = own.replace(" (bits", f": {name} (bits")
            others = {other: cli.model.figure_under(f"fitted_{other}") for other in PRIORS}
            words |= {k: f"under {n}, fitted" for n, k in others.items() if n != name}
    return words
