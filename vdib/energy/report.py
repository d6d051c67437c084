"""What a finished run costs: measured on its test split, priced, compared, and written down.

Beside the network stands an ordinary one of the same weights, of which every weight is multiplied:
once, as for an input that does not move, and at every step, as for one that does.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.energy.costs import Costs
from vdib.energy.counts import Work, dense_network, encoder_work, together
from vdib.energy.decoding import decoder_work
from vdib.files import replacing
from vdib.model import VDIB
from vdib.noise import EVALUATION, Noise
from vdib.runs.cli import VDIBCLI
from vdib.runs.folder import Run

BITS = ("rate_bits", "rate_bits_marginal", "code_length_bits")
"""Of the summary, per sample; with `_per_step` behind them per step."""
ACCURACIES = ("judge_accuracy", "class_accuracy", "symbol_accuracy")
"""Of the summary: shares of answers that are right."""


class Measured(NamedTuple):
    """Means over examples of a split.

    Attributes:
        encoder: by layer.
        decoder: by part.
        dense: an ordinary network of the same weights, once and at every step.
        examples: how many.
        steps: T of each.
        decodings: of each.
    """

    encoder: dict[str, Work]
    decoder: dict[str, Work]
    dense: dict[str, Work]
    examples: int
    steps: int
    decodings: int

    @property
    def parts(self) -> dict[str, Work]:
        """Layers and decoder together."""
        return {**self.encoder, "decoder": together(self.decoder.values())}


def measure(cli: VDIBCLI, examples: int | None = None) -> Measured:
    """Count what the first examples of the test split cause; all of them by default.

    Noise and precision are those of the run's evaluation, so that its spikes are as well.
    """
    data, model, seed = cli.datamodule, cli.model.vdib, cli.model.seed
    split = data.split("test")
    count = min(examples or len(split), len(split))
    encoder: dict[str, Work] = {}
    decoder: dict[str, Work] = {}
    steps = 0
    starts = range(0, count, data.evaluated)
    mixed = torch.autocast("cpu", torch.bfloat16, str(cli.config.trainer.precision) == "bf16-mixed")
    for start in tqdm(starts, unit="batch", desc="energy", disable=None):
        some = range(start, min(start + data.evaluated, count))
        batch = data.code(split.__getitems__(some), EVALUATION)
        with torch.no_grad(), mixed:
            code = model.encode(batch.spikes, Noise(seed, EVALUATION, batch.id))
        share, steps = len(some) / count, batch.spikes.shape[1]
        _add(encoder, encoder_work(model.encoder, batch.spikes, code), share)
        _add(decoder, decoder_work(model.decoder, code, model.every_step), share)
    decodings = steps if model.every_step else 1
    return Measured(
        encoder, decoder, _dense(model, decoder, steps, decodings), count, steps, decodings
    )


def _add(into: dict[str, Work], parts: Mapping[str, Work], share: float) -> None:
    for name, work in parts.items():
        into[name] = into.get(name, Work()) + work.times(share)


def _dense(model: VDIB, decoder: Mapping[str, Work], steps: int, decodings: int) -> dict[str, Work]:
    one_decoding = {name: work.times(1 / decodings) for name, work in decoder.items()}
    encoder = dense_network(model.encoder, {})
    whole = dense_network(model.encoder, one_decoding)
    reads_out = dense_network(model.encoder, decoder) + encoder.times(-1)
    return {"once": whole, "every step": encoder.times(steps) + reads_out}


def content(
    run: Run, measured: Measured, costs: Mapping[str, Costs], summary: Mapping[str, Any]
) -> dict[str, Any]:
    """What is written down: everything that was counted, and joules, per example."""
    joules = {name: prices(measured, model) for name, model in costs.items()}
    parts = measured.parts
    return {
        "run": str(run.folder),
        "split": "test",
        "examples": measured.examples,
        "steps": measured.steps,
        "decodings": measured.decodings,
        "per": "example",
        "layers": {name: work.as_dict() for name, work in measured.encoder.items()},
        "decoder": {name: work.as_dict() for name, work in measured.decoder.items()},
        "total": together(parts.values()).as_dict(),
        "dense": {
            name: {"macs": work.macs, "bytes": work.bytes} for name, work in measured.dense.items()
        },
        "joules": joules,
        "per_joule": {
            name: per_joule(summary, found["total"], measured.steps)
            for name, found in joules.items()
        },
        "sources": {name: model.source for name, model in costs.items()},
    }


def prices(measured: Measured, costs: Costs) -> dict[str, float]:
    """Joules for an example: of each layer, the decoder, all of it, and of the dense networks."""
    found = {name: costs.picojoules(work).total for name, work in measured.encoder.items()}
    reads_out = together(measured.decoder.values())
    found["decoder"] = costs.picojoules(reads_out, on_chip=False).total
    found["total"] = sum(found.values())
    for name, work in measured.dense.items():
        found[f"dense, {name}"] = costs.picojoules(work, on_chip=False).total
    return {name: picojoules * 1e-12 for name, picojoules in found.items()}


def per_joule(summary: Mapping[str, Any], joules: float, steps: int) -> dict[str, float]:
    """Bits of the code, and right answers, that a joule buys.

    Args:
        summary: of the run.
        joules: for an example.
        steps: T, of an example whose bits and answers are given per step.
    """
    if not joules > 0:
        return {}
    found = {}
    for name in BITS:
        if name in summary:
            found[name] = summary[name] / joules
        elif (each := f"{name}_per_step") in summary:
            found[name] = steps * summary[each] / joules
    for name in ACCURACIES:
        if name in summary:
            answers = steps if name == "symbol_accuracy" else 1
            found[name] = answers * summary[name] / joules
    return found


def write(run: Run, found: Mapping[str, Any]) -> None:
    """Write `energy.json`."""
    with replacing(run.energy_file) as file:
        file.write(f"{json.dumps(found, indent=2)}\n".encode())


def table(found: Mapping[str, Any]) -> str:
    """What was counted and what it costs, in words."""
    rows = [*found["layers"].items()]
    decoder = together(
        Work(**{k: v for k, v in work.items() if k != "synops"})
        for work in found["decoder"].values()
    )
    rows += [("decoder", decoder.as_dict()), ("total", found["total"])]
    columns = {"synops": "synops", "macs": "of them MACs", "dense_synops": "dense"}
    columns |= {"updates": "updates", "spikes": "spikes", "bytes": "bytes"}
    names = [*found["joules"]]
    head = ["", *columns.values(), *(f"nJ {name}" for name in names)]
    lines = [head]
    for name, work in rows:
        counts = [f"{work[key]:,.0f}" for key in columns]
        lines.append([name, *counts, *(_nj(found["joules"][n].get(name)) for n in names)])
    for name, work in found["dense"].items():
        counts = [f"{work['macs']:,.0f}"] * 3 + ["", "", f"{work['bytes']:,.0f}"]
        joules = [_nj(found["joules"][n][f"dense, {name}"]) for n in names]
        lines.append([f"ANN of these weights, {name}", *counts, *joules])
    keys = dict.fromkeys(key for values in found["per_joule"].values() for key in values)
    for key in keys:
        values = [f"{found['per_joule'][n].get(key, 0):,.3g}" for n in names]
        lines.append([f"{key.replace('_', ' ')} per joule", *[""] * len(columns), *values])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    steps = "steps" if found["steps"] != 1 else "step"
    title = f"per example, mean of {found['examples']:,} test examples of {found['steps']} {steps}"
    text = [title]
    for line in lines:
        first = line[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        text.append("  ".join(["", first, *rest]).rstrip())
    return "\n".join(text)


def _nj(joules: float | None) -> str:
    return (
        ""
        if joules is None
        else f"{joules * 1e9:,.3g}"
        if joules < 1e-6
        else f"{joules * 1e9:,.0f}"
    )
