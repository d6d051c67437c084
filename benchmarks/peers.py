"""Spiking layers of the peers, as their own documentation builds them.

    pip install -e ".[bench]"

Each is told the advice of its library that makes it fast: linear maps applied to all steps at once,
multi-step modules where there are any. Neurons are leaky integrate-and-fire, which is less than
ours do: no second filter, no noise, no refractory feedback beyond the reset.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Layer = Callable[[Tensor], Tensor]
"""Currents `(T, B, *N)` to spikes of the same shape, from rest."""


def spikingjelly() -> Layer:
    """Multi-step mode, PyTorch backend (the others need a GPU)."""
    from spikingjelly.activation_based import functional, neuron

    layer = neuron.LIFNode(step_mode="m")

    def run(currents: Tensor) -> Tensor:
        functional.reset_net(layer)
        return layer(currents)  # type: ignore[no-any-return]

    return run


def snntorch() -> Layer:
    """`Leaky` in a loop over steps."""
    import snntorch as snn

    layer = snn.Leaky(beta=0.9)

    def run(currents: Tensor) -> Tensor:
        potential, spikes = layer.init_leaky(), []
        for current in currents.unbind(0):
            spike, potential = layer(current, potential)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def norse() -> Layer:
    """`LIF` over sequences."""
    import norse.torch as norse_torch

    layer = norse_torch.LIF()
    return lambda currents: layer(currents)[0]


def sinabs() -> Layer:
    """`LIF` over sequences, batch first."""
    import sinabs.layers as layers

    layer = layers.LIF(tau_mem=10.0)

    def run(currents: Tensor) -> Tensor:
        layer.reset_states()
        return layer(currents.transpose(0, 1)).transpose(0, 1)  # type: ignore[no-any-return]

    return run


PEERS: dict[str, Callable[[], Layer]] = {
    "SpikingJelly": spikingjelly,
    "snnTorch": snntorch,
    "norse": norse,
    "sinabs": sinabs,
}


def network(name: str, maps: Sequence[nn.Module]) -> Layer:
    """Spikes `(T, B, *N_x)` through linear maps, each followed by a spiking layer of a peer."""
    layers = [PEERS[name]() for _ in maps]

    def run(x: Tensor) -> Tensor:
        steps = len(x)
        for linear, layer in zip(maps, layers, strict=True):
            x = layer(linear(x.flatten(0, 1)).unflatten(0, (steps, -1)))
        return x

    return run
