"""What a run's code costs under priors that were fitted to it once it was trained.

Priors are fitted to codes of training examples, one of them is chosen by codes of validation
examples, and codes of test examples are read once. The model stays as it is. Codes are those that
evaluation measures: the same spikes, from the same addresses.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.lightning_modules.choices import PRIORS
from vdib.lightning_modules.choosing import chosen
from vdib.lightning_modules.vdib_module import VDIBModule
from vdib.neurons.layer import spiking
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT
from vdib.precision import single
from vdib.prior import Prior
from vdib.prior_fitting import fit_prior, mean_nats
from vdib.runs.cli import VDIBCLI
from vdib.spike_code import SpikeCode

BATCH = 100
"""Codes that are made at once."""

ENTRIES, WORK = 50_000_000, 2e9
"""Of training codes: numbers in memory at most, and products of a pass that takes a second."""


def with_fitted(
    cli: VDIBCLI,
    trainer: Trainer,
    summary: Mapping[str, Any],
    names: Sequence[str],
    thorough: bool = False,
) -> dict[str, Any]:
    """A summary, and what the code costs under priors fitted to it, in bits.

        rate_bits_fitted_NAME   on test examples, and with validation_ on those
        rate_bits_best          on test examples, under the one that costs least on validation
        rate_prior_best         examples, and its name

    Among these are earlier fits of the summary and the training's own prior, `as_trained`. Keys are
    those of the experiment: `rate_bits_best_per_step`, or `code_length_bits_best`.

    Args:
        cli: model, its best weights, and data.
        trainer: whose device and precision it is.
        summary: with the number of examples that were measured.
        names: words of `PRIORS`.
        thorough: fit to all training codes that memory can hold, rather than for seconds.

    Raises:
        ValueError: no such prior.
    """
    kinds = {name: chosen("prior", name, PRIORS) for name in names}
    found = dict(summary)
    if not spiking(cli.model.vdib.encoder.readout):
        return found
    if kinds:
        found |= _fitted(cli, trainer, summary, kinds, thorough)
    return {**found, **_best(cli.model, found)}


def _fitted(
    cli: VDIBCLI,
    trainer: Trainer,
    summary: Mapping[str, Any],
    kinds: Mapping[str, Callable[[int, float], Prior]],
    thorough: bool,
) -> dict[str, float]:
    """What the code costs under each, fitted, on validation and on test examples, in bits."""
    module, of_test = cli.model, summary["test_samples"]
    validation = _whole(_codes(cli, trainer, "validation", summary["validation_samples"]))
    steps, neurons = validation.spikes.shape[1:]
    passes = ENTRIES // (steps * neurons) if thorough else WORK // (steps * neurons**2)
    count = min(len(cli.datamodule.split("train")), max(BATCH, int(passes)))
    train = _whole(_codes(cli, trainer, "train", count))
    weights = module.step_weights(steps)
    quiet = trainer.progress_bar_callback is None
    priors: dict[str, Prior] = {}
    found: dict[str, float] = {}
    for name, kind in tqdm(kinds.items(), "fitting priors", leave=False, disable=quiet):
        prior = start_of_fit(cli, name, kind, train.spikes)
        priors[name] = fit_prior(prior, train, validation, cli.config.seed, weights)
        nats = mean_nats(priors[name], validation, weights)
        found[f"validation_{module.figure_under(f'fitted_{name}')}"] = nats * BITS_PER_NAT
    totals = dict.fromkeys(priors, 0.0)
    for code in _codes(cli, trainer, "test", of_test):
        for name, prior in priors.items():
            totals[name] += mean_nats(prior, code, weights) * len(code.spikes)
    for name, nats in totals.items():
        found[module.figure_under(f"fitted_{name}")] = nats / of_test * BITS_PER_NAT
    return found


def start_of_fit(
    cli: VDIBCLI, name: str, kind: Callable[[int, float], Prior], like: Tensor
) -> Prior:
    """Where a fit begins: as freshly drawn; where training had such a prior, as it left it."""
    if cli.config.model.init_args.get("prior") == name:
        trained: Prior = cli.model.vdib.prior
        return trained
    with torch.random.fork_rng():
        torch.manual_seed(cli.config.seed)
        return kind(like.shape[-1], cli.model.rho).to(like)


def _best(module: VDIBModule, found: Mapping[str, Any]) -> dict[str, Any]:
    """The cost under the prior that costs least on validation examples, and which that is."""
    own = module.cost_name(module.PLANE[0])
    keys = {name: module.figure_under(f"fitted_{name}") for name in PRIORS}
    keys = {"as_trained": own, **{name: key for name, key in keys.items() if key in found}}
    name = min(keys, key=lambda name: found[f"validation_{keys[name]}"])
    kind = own.split("_bits")[0]
    return {module.figure_under("best"): found[keys[name]], f"{kind}_prior_best": name}


def _whole(parts: Iterator[SpikeCode]) -> SpikeCode:
    codes = list(parts)
    spikes = torch.cat([code.spikes for code in codes])
    logits = [code.logits for code in codes if code.stochastic]
    return SpikeCode(spikes, torch.cat(logits) if logits else None, stochastic=bool(logits))


def _codes(cli: VDIBCLI, trainer: Trainer, split: str, count: int) -> Iterator[SpikeCode]:
    """The codes of the first examples of a split, as evaluation draws them, some at a time."""
    module, data, device = cli.model, cli.datamodule, trainer.strategy.root_device
    module.to(device).eval()
    examples = data.split(split)
    for first in range(0, count, BATCH):
        raw = examples.__getitems__(range(first, min(first + BATCH, count)))
        batch = data.code(data.transfer_batch_to_device(raw, device, 0), EVALUATION)
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            code = module.vdib.encode(batch.spikes, Noise(module.seed, EVALUATION, batch.id))
        v = single(code.logits) if code.stochastic else None
        yield SpikeCode(single(code.spikes), v, stochastic=code.stochastic)
