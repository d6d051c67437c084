"""What encoder and decoder do for an example, layer by layer.

Memory traffic is of a machine that keeps nothing at hand: every operation of a spike reads a
weight, reads the sum that it adds to, and writes it; one of a real number reads that as well. A
neuron reads and writes what it remembers at every step, and again what its own spike changes. A
spike is an address, written once and read once; one that is delayed, twice.

Legend: B batch, T steps, N neurons of a layer.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

import torch
from torch import Tensor, nn

from vdib.encoder import SpikingEncoder
from vdib.energy.updates import update
from vdib.neurons.delayed import Delayed
from vdib.neurons.layer import Layer, spiking
from vdib.operations import Arrivals, arrivals, connections, own_spikes
from vdib.sparse import Spikes
from vdib.spike_code import SpikeCode

ADDRESS = 4
"""Bytes of a spike."""


@dataclass(frozen=True)
class Work:
    """Of a part of the network, for an example; synaptic operations are additions and macs.

    Attributes:
        events: spikes that arrive, or numbers other than 0.
        additions: operations of weights that are not zero, for spikes.
        macs: multiply-accumulates of such weights and real numbers.
        unpruned_synops: had no weight been zero.
        dense_synops: of every weight at every step, or decoding.
        updates: of neurons.
        update_multiplications: in them.
        update_additions: in them.
        spikes: that leave.
        bytes: of memory that are read or written.
    """

    events: float = 0.0
    additions: float = 0.0
    macs: float = 0.0
    unpruned_synops: float = 0.0
    dense_synops: float = 0.0
    updates: float = 0.0
    update_multiplications: float = 0.0
    update_additions: float = 0.0
    spikes: float = 0.0
    bytes: float = 0.0

    @property
    def synops(self) -> float:
        return self.additions + self.macs

    def __add__(self, other: Self) -> Self:
        mine, its = asdict(self), asdict(other)
        return type(self)(**{name: mine[name] + its[name] for name in mine})

    def times(self, factor: float) -> Self:
        """The same, so many times."""
        return type(self)(**{name: factor * value for name, value in asdict(self).items()})

    def as_dict(self) -> dict[str, float]:
        """By name, `synops` among them."""
        return {"synops": self.synops} | {f.name: getattr(self, f.name) for f in fields(self)}


def together(parts: Iterable[Work]) -> Work:
    """All of them."""
    return sum(parts, Work())


def names(encoder: SpikingEncoder) -> list[str]:
    """What the layers are called, from the input up."""
    return [f"hidden {i + 1}" for i in range(len(encoder.layers))] + ["readout"]


@torch.no_grad()
def encoder_work(encoder: SpikingEncoder, x: Spikes, code: SpikeCode) -> dict[str, Work]:
    """What hidden layers and readout do, the mean over a batch.

    Args:
        encoder: of the code.
        x: its input, `(B, T, *N)`, dense or as lists.
        code: one for each input.

    Raises:
        ValueError: neurons whose updates are of no known kind.
    """
    layers = (*encoder.layers, encoder.readout)
    left = (*code.hidden, code.spikes)
    found = [
        _neurons(layer, left[i], left[i - 1] if i else x, x.shape[1])
        for i, layer in enumerate(layers)
    ]
    for arrived in arrivals(encoder, x, code):
        found[arrived.layer] += _weights(arrived, layers[arrived.layer])
    return dict(zip(names(encoder), found, strict=True))


def _weights(arrived: Arrivals, layer: Layer) -> Work:
    events, synops = float(arrived.events.sum()) / arrived.examples, float(arrived.operations())
    word = _word(layer)
    late = isinstance(layer, nn.Module) and any(isinstance(p, Delayed) for p in layer.modules())
    return Work(
        events=events,
        additions=synops if arrived.spikes else 0.0,
        macs=0.0 if arrived.spikes else synops,
        unpruned_synops=float(arrived.operations(pruned=False)),
        dense_synops=arrived.dense(),
        bytes=synops * (3 if arrived.spikes else 4) * word
        + (2 * ADDRESS * events if late and not arrived.recurrent else 0),
    )


def _neurons(layer: Layer, left: Tensor, below: Spikes, steps: int) -> Work:
    word, each = _word(layer), update(layer)
    updates = math.prod(layer.shape) * steps
    if not spiking(layer):  # real numbers leave, all of them
        traffic = 2.0 * word * updates
        own = sent = 0.0
    else:
        own = float(own_spikes(layer, left, below).float().sum()) / len(left)
        sent = float(left.float().sum()) / len(left)
        traffic = 2 * ADDRESS * sent
    return Work(
        updates=updates,
        update_multiplications=each.multiplications * updates,
        update_additions=each.additions * updates + each.per_spike * own,
        spikes=sent,
        bytes=traffic + 2 * word * (each.words * updates + each.per_spike * own),
    )


def _word(layer: Layer) -> int:
    """Bytes of a number."""
    return next(layer.parameters()).element_size()


def dense_network(encoder: SpikingEncoder, decoder: Mapping[str, Work]) -> Work:
    """The same weights as an ordinary network's: each multiplied once, whatever with.

    Reads a weight and what it is multiplied with; what is summed up stays at hand until it is
    written.

    Args:
        encoder: of which one step is taken.
        decoder: what it does for one decoding.
    """
    macs = outputs = 0.0
    for layer in (*encoder.layers, encoder.readout):
        macs += sum(float(part.fan_out(False).sum()) for part, _ in connections(layer))
        outputs += math.prod(layer.shape)
    macs += together(decoder.values()).dense_synops
    word = _word(encoder.readout)
    return Work(macs=macs, dense_synops=macs, bytes=word * (2 * macs + outputs))
