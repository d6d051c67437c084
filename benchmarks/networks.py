"""The networks that `speed.py` and `cost.py` time: ours, the peers', and dense products alone."""

import math
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

from peers import network
from timing import Step

from vdib.backends.dispatch import plain as plain_pytorch
from vdib.backends.settings import changed
from vdib.dynamics.feedback import ExponentialFeedback
from vdib.dynamics.filters import ExponentialPair
from vdib.dynamics.firing import Bernoulli, PassThrough
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.neurons.layer import Neuron
from vdib.neurons.lif import lif
from vdib.neurons.plif import plif
from vdib.neurons.readout import threshold
from vdib.neurons.spike_response import SRM
from vdib.neurons.srm import srm
from vdib.neurons.synapses import Dense, dense, pooled_conv
from vdib.noise import Noise
from vdib.sparse import SparseSpikes


@dataclass(frozen=True)
class Setting:
    """Sizes of a network and its batch."""

    inputs: tuple[int, ...]
    hidden: int
    readout: int
    steps: int
    batch: int
    channels: tuple[int, ...] = ()

    def __str__(self) -> str:
        layers = [*map(str, (math.prod(self.inputs), *self.channels, self.hidden, self.readout))]
        if self.channels:
            layers[0] = "x".join(map(str, self.inputs))
        return f"{'-'.join(layers)}, T={self.steps}, B={self.batch}"

    def spikes(self, density: float) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch, self.steps, *self.inputs)
        return (torch.rand(shape, generator=generator) < density).float()


SETTINGS = {
    "mnist": Setting((784,), 600, 256, 30, 64),
    "dvs": Setting((1352,), 800, 256, 200, 32),
    "conv": Setting((2, 34, 34), 256, 256, 100, 16, channels=(12,)),
    "long": Setting((784,), 600, 256, 1_000, 8),
    "longer": Setting((784,), 600, 256, 5_000, 2),
}


def mixed(bf16: bool) -> AbstractContextManager[object]:
    """What `--trainer.precision bf16-mixed` runs a step in."""
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


def _one_filter(at: Setting) -> SpikingEncoder:
    """What the peers have, as far as ours can: one synaptic filter a layer, hidden and readout."""
    pair, shape, layers = ExponentialPair(), at.inputs, []
    for channels in at.channels:
        layers.append(srm(*pooled_conv(shape, channels)))
        shape = layers[-1].shape
    layers.append(srm(*dense(shape, at.hidden)))
    weights = Dense((at.hidden,), at.readout)
    readout = SRM(weights, (at.readout,), pair, ExponentialFeedback(), Bernoulli())
    return SpikingEncoder(layers, readout)


def _leaky(at: Setting, neuron: Neuron) -> SpikingEncoder:
    """What the peers have: leaky neurons throughout, none of them stochastic."""
    sizes = at.inputs, at.readout, (at.hidden,), at.channels
    return build_encoder(*sizes, neuron=neuron, readout=threshold)


LEAKY: dict[str, Neuron] = {"LIF": lif, "PLIF": plif}
"""Ours of the kind of the peers: with reset by subtraction; to zero, with a learned decay."""


def ours(
    at: Setting,
    density: float = 0.02,
    leaky: str = "",
    full: bool = False,
    plain: bool = False,
    dense: bool = False,
    lists: bool = False,
    bf16: bool = False,
) -> Step:
    """A step of our encoder.

    Args:
        at: sizes.
        density: spikes per input and step.
        leaky: which of `LEAKY`, instead of stochastic neurons over refractory ones.
        full: the reference readout, of eight filters.
        plain: without compiled code.
        dense: without event-driven products.
        lists: inputs come as lists of spikes.
        bf16: in mixed precision.
    """
    torch.manual_seed(0)
    if leaky:
        encoder = _leaky(at, LEAKY[leaky])
    elif full:
        encoder = build_encoder(at.inputs, at.readout, (at.hidden,), at.channels)
    else:
        encoder = _one_filter(at)
    spikes = at.spikes(density)
    encoder.calibrate(spikes, rate=0.1)  # hidden neurons then fire at about 5 %
    x = SparseSpikes.of(spikes) if lists else spikes
    noise = Noise(0, 0, torch.arange(at.batch))

    def step() -> None:
        with ExitStack() as stack:
            if plain:
                stack.enter_context(plain_pytorch())
            if dense:
                stack.enter_context(changed(list_from=math.inf))
            with mixed(bf16):
                code = encoder(x, noise, PassThrough())
                loss = code.spikes.mean()
            loss.backward()

    return step


class PooledKernels(nn.Conv2d):
    """Dense, with pooled kernels, 6 x 6 in steps of 2: what pooling currents comes to."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 6, stride=2, padding=2, bias=False)


def maps_of(at: Setting, kernels: int = 1) -> list[nn.Module]:
    """A setting's linear maps in PyTorch's own modules, `kernels` outputs to a readout neuron."""
    maps: list[nn.Module] = []
    shape = at.inputs
    for channels in at.channels:
        maps.append(PooledKernels(shape[0], channels))
        shape = (channels, shape[1] // 2, shape[2] // 2)
    sizes = (math.prod(shape), at.hidden, kernels * at.readout)
    return [*maps, *(nn.Linear(*pair, bias=False) for pair in pairwise(sizes))]


def peer(
    at: Setting, name: str, density: float = 0.02, bf16: bool = False, compiled: bool = False
) -> Step:
    """A step of a peer's network on the same spikes, as it is or under `torch.compile`."""
    torch.manual_seed(0)
    maps = [m if isinstance(m, nn.Conv2d) else nn.Sequential(nn.Flatten(), m) for m in maps_of(at)]
    net = network(name, maps)
    if compiled:
        net = torch.compile(net, dynamic=False)
    x = at.spikes(density).transpose(0, 1).contiguous()

    def step() -> None:
        with mixed(bf16):
            loss = net(x).float().mean()
        loss.backward()

    return step


def bound(at: Setting, kernels: int = 1, bf16: bool = False) -> Step:
    """The dense products that a step cannot do without unless it skips silent neurons.

    Of each linear map forward and weight gradient, of all but the first the gradient for its input.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    x = torch.rand(at.steps * at.batch, *at.inputs, dtype=dtype)
    products = []
    for i, linear in enumerate(maps_of(at, kernels)):
        linear.to(dtype)
        if isinstance(linear, nn.Linear):
            x = x.flatten(1)
        x = x.detach().requires_grad_(i > 0)
        out = linear(x)
        products.append((linear, x, torch.rand_like(out)))
        x = out

    def step() -> None:
        for linear, x, grad in products:
            wanted = [*linear.parameters(), *([x] if x.requires_grad else [])]
            torch.autograd.grad(linear(x), wanted, grad)

    return step
