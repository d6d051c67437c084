"""Synaptic operations: what weights cost where work is done for spikes only.

An operation is the addition of a weight to a current. A spike costs as many as it has weights that
are not zero, which at the border of a convolution are fewer than elsewhere. So count Yik et al.,
"The neurobench framework for benchmarking neuromorphic computing algorithms and systems", 2025,
https://doi.org/10.1038/s41467-025-56739-4: *effective* operations, and *dense* ones, of every
weight at every step whatever it is multiplied with.

A count in the place of spikes, as of `Residual`, is that many spikes. Real numbers in the place of
spikes, currents or the outputs of an LSTM, cost a multiplication as well wherever they are not 0.
What neurons of a layer tell each other arrives a step later; spikes that are delayed beyond the end
of a sequence never do.

Legend: B batch, T steps, N inputs of a layer (any number of axes).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vdib.encoder import SpikingEncoder
from vdib.neurons.delayed import Delayed
from vdib.neurons.layer import Layer
from vdib.neurons.residual import Residual
from vdib.neurons.synapses import Dense, PooledConv2d, SumPool2d
from vdib.neurons.wrapped import Wrapped
from vdib.sparse import SparseSpikes, Spikes
from vdib.spike_code import SpikeCode

Connection = Dense | PooledConv2d | SumPool2d


@dataclass(frozen=True)
class Arrivals:
    """What reached a connection in a batch.

    Attributes:
        layer: number of the layer that it leads to; the readout's is the last.
        connection: the weights.
        recurrent: whether the layer's own neurons feed it.
        events: how often each input was not 0, a count as many times as it says, `(N,)` float64.
        spikes: whether they are spikes, so that weights are added; else they are multiplied first.
        examples: B.
        steps: T, less those at whose end something is felt no more.
    """

    layer: int
    connection: Connection
    recurrent: bool
    events: Tensor
    spikes: bool
    examples: int
    steps: int

    def operations(self, pruned: bool = True) -> Tensor:
        """Per example; of weights that are not zero, or of all of them."""
        fan_out = self.connection.fan_out(pruned).cpu().double()
        return self.events @ fan_out / self.examples

    def dense(self) -> float:
        """Per example, of every weight at every step."""
        return float(self.connection.fan_out(False).sum()) * self.steps


def connections(layer: Layer) -> Iterator[tuple[Connection, bool]]:
    """The synapses of a layer, whatever it is wrapped in, and whether its own neurons feed them."""
    assert isinstance(layer, nn.Module)
    for name, part in layer.named_modules():
        if isinstance(part, Connection):
            yield part, name.split(".")[-1] == "recurrent"


def arrivals(encoder: SpikingEncoder, x: Spikes, code: SpikeCode) -> Iterator[Arrivals]:
    """What reached every connection of hidden layers and readout; see `arriving`."""
    return (arrived for arrived, _ in arriving(encoder, x, code))


@torch.no_grad()
def arriving(
    encoder: SpikingEncoder, x: Spikes, code: SpikeCode
) -> Iterator[tuple[Arrivals, Spikes]]:
    """The same, and what arrived, `(B, T, *N)`.

    Args:
        encoder: of the code.
        x: its input, `(B, T, *N)`, dense or as lists.
        code: one for each input.
    """
    own = (*code.hidden, code.spikes)
    for i, layer in enumerate((*encoder.layers, encoder.readout)):
        below = own[i - 1] if i else x
        for connection, is_recurrent in connections(layer):
            given = (
                own_spikes(layer, own[i], below)[:, :-1] if is_recurrent else _late(layer, below)
            )
            events, spikes = _events(given)
            yield Arrivals(i, connection, is_recurrent, events, spikes, *given.shape[:2]), given


def operations(encoder: SpikingEncoder, x: Spikes, code: SpikeCode, pruned: bool = True) -> Tensor:
    """Synaptic operations that an input causes in hidden layers and readout, a scalar.

    The mean over the batch; multiplications of real numbers are among them.

    Args:
        encoder: of the code.
        x: its input, `(B, T, *N)`, dense or as lists.
        code: one for each input.
        pruned: whether weights that are zero are left out.
    """
    total = torch.zeros((), dtype=torch.float64)
    for arrived in arrivals(encoder, x, code):
        total += arrived.operations(pruned)
    return total


def _late(layer: Layer, x: Spikes) -> Spikes:
    """What leaves the axons of a layer that is `Delayed` before the end."""
    while isinstance(layer, Wrapped):
        if isinstance(layer, Delayed):
            x = layer.before(x)
        layer = layer.inner
    return x


def own_spikes(layer: Layer, left: Tensor, below: Spikes) -> Tensor:
    """The spikes of a layer's own neurons, which may not be what left it."""
    return layer.inner(below)[0] if isinstance(layer, Residual) else left


def _events(x: Spikes) -> tuple[Tensor, bool]:
    """How often each input fires in a batch, `(N,)` float64, and whether these are spikes."""
    if isinstance(x, SparseSpikes):
        counts = torch.bincount(x.neuron.long(), minlength=x.num_neurons)
        return counts.cpu().double(), True
    rows = x.detach().flatten(0, 1).flatten(1)
    spikes = torch.equal(rows, rows.round().abs())
    counts = rows if spikes else rows != 0
    return counts.float().sum(0).cpu().double(), spikes
