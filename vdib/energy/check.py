"""The same operations counted by others: the event kernels, and NeuroBench.

Kernels add weights, so they count once all weights are ones: what all their currents sum up to is
how many weights they added. NeuroBench (Yik et al., 2025, version 2.3.0) counts what goes through
modules of type `torch.nn.Linear` and `Conv2d`, by the same trick with a dense product, and nothing
else: of our network it would count none. It is therefore handed such modules with our weights, and
the spikes that reached ours, a convolution's as its pooled weights. Where its counting goes wrong,
`docs/energy.md` says.
"""

import importlib.util
from typing import Any

import torch
from torch import Tensor, nn

from vdib.backends.event_conv import event_conv2d
from vdib.backends.event_linear import EventLinear
from vdib.encoder import SpikingEncoder
from vdib.neurons.synapses import Dense, PooledConv2d
from vdib.noise import EVALUATION, Noise
from vdib.operations import Connection, arriving
from vdib.runs.cli import VDIBCLI
from vdib.sparse import SparseSpikes, Spikes
from vdib.spike_code import SpikeCode

EXAMPLES = 100


def check(cli: VDIBCLI) -> str:
    """Counts of some test examples side by side, in words."""
    batch = cli.datamodule.examples("test", EXAMPLES)
    model = cli.model.vdib
    with torch.no_grad():
        code = model.encode(batch.spikes, Noise(cli.model.seed, EVALUATION, batch.id))
    rows = compared(model.encoder, batch.spikes, code)
    heads = ("synops of", "counted", "by the kernels", "by NeuroBench")
    row = "  {:<24}{:>16}{:>16}{:>16}"
    lines = [f"{len(batch.id)} test examples, all together", row.format(*heads)]
    for name, *counts in rows:
        cells = ["-" if count is None else f"{count:,.0f}" for count in counts]
        lines.append(row.format(name, *cells))
    return "\n".join(lines)


@torch.no_grad()
def compared(
    encoder: SpikingEncoder, x: Spikes, code: SpikeCode
) -> list[tuple[str, float, float | None, float | None]]:
    """Of each connection its name, our count of a whole batch, the kernels' and NeuroBench's.

    None where they do not count: real numbers, and fixed sums; NeuroBench where it is not there.
    """
    found: list[tuple[str, float, float | None, float | None]] = []
    for arrived, given in arriving(encoder, x, code):
        name = f"layer {arrived.layer + 1}" + (", recurrent" if arrived.recurrent else "")
        ours = float(arrived.operations()) * arrived.examples
        if arrived.spikes and not isinstance(given, SparseSpikes) and int(given.max()) > 1:
            found.append((name, ours, None, None))  # counts, which are no lists of spikes
            continue
        lists = given if isinstance(given, SparseSpikes) else SparseSpikes.of(given)
        kernels = by_kernels(arrived.connection, lists) if arrived.spikes else None
        found.append((name, ours, kernels, by_neurobench(arrived.connection, lists.dense())))
    return found


def by_kernels(connection: Connection, lists: SparseSpikes) -> float | None:
    """How many weights that are not zero the event kernels add for lists of spikes."""
    total = 0.0
    if isinstance(connection, Dense):
        ones = EventLinear(*connection.by_input.shape)
        ones.by_input.data = (connection.by_input != 0).float()
        total = float(ones(lists).double().sum())
    elif isinstance(connection, PooledConv2d):
        total = float(event_conv2d(lists, _ones(connection), *_place(connection)).double().sum())
    else:
        return None
    return total


def by_neurobench(connection: Connection, x: Tensor) -> float | None:
    """How many it counts of `(B, T, *N)` spikes, step by step; None where it is not installed."""
    if importlib.util.find_spec("neurobench") is None:
        return None
    from neurobench.metrics.utils import layers as counter  # type: ignore[import-untyped, import-not-found, unused-ignore]

    layer = as_module(connection)
    if layer is None:
        return None
    rows: Any = x.unbind(1) if isinstance(connection, PooledConv2d) else x.flatten(2).unbind(1)
    return float(sum(counter.single_layer_MACs(step.float(), layer)[0] for step in rows))


def as_module(connection: Connection) -> nn.Module | None:
    """A module that NeuroBench knows, of the same weights."""
    if isinstance(connection, Dense):
        inputs, outputs = connection.by_input.shape
        linear = nn.Linear(inputs, outputs, bias=False)
        linear.weight.data = connection.weight.detach()
        return linear
    if isinstance(connection, PooledConv2d):
        weight = connection.pooled_weight()
        outputs, inputs, size, _ = weight.shape
        conv = nn.Conv2d(inputs, outputs, size, *_place(connection), bias=False)
        conv.weight.data = weight
        return conv
    return None


def _ones(connection: PooledConv2d) -> Tensor:
    return (connection.pooled_weight() != 0).float()


def _place(connection: PooledConv2d) -> tuple[int, int]:
    return connection.pool, connection.padding
