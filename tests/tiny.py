"""A network small enough to enumerate every code it can emit."""

import itertools

import torch
from torch import Tensor

from vdib.credit import BPTT
from vdib.decoder import MLPDecoder
from vdib.dynamics.filters import RaisedCosines
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.estimator import StraightThrough
from vdib.model import VDIB
from vdib.neurons.srm import readout_dense
from vdib.objective import distortion, per_step, rate
from vdib.prior import AutoregressivePrior
from vdib.window import FullWindow

STEPS, READOUT, BETA = 3, 2, 0.7


def encoder(num_inputs: int = 3, hidden: tuple[int, ...] = (4,)) -> SpikingEncoder:
    """Float64, strong weights and strong refractoriness, all of which the gradient must see."""
    built = build_encoder((num_inputs,), READOUT, hidden)
    size = hidden[-1] if hidden else num_inputs
    built.readout = readout_dense(size, READOUT, RaisedCosines(2, 3))
    for layer in (*built.layers, built.readout):
        weight = layer.synapses[1].weight  # drawn in the order of its entries, however it lies
        weight.data.copy_(torch.empty(weight.shape).normal_(std=1.5))
        torch.nn.init.uniform_(layer.gain, 0.8, 1.6)
        torch.nn.init.normal_(layer.bias, 0.5, 0.3)
    return built.double()


def bottleneck(estimator: StraightThrough, credit: BPTT | None = None, seed: int = 0) -> VDIB:
    """Windowed decoding at every step, so that costs fall due all along the sequence."""
    torch.manual_seed(seed)
    code = encoder()
    code.credit = credit or BPTT()
    decoder = MLPDecoder(FullWindow(2), READOUT, 3, num_hidden=5)
    for weight in (decoder.hidden.weight, decoder.head.weight):
        torch.nn.init.normal_(weight, std=1.5)
    prior = AutoregressivePrior(READOUT, 0.3)
    torch.nn.init.normal_(prior.linear.weight, std=0.5)
    return VDIB(code, decoder, prior, estimator, BETA, every_step=True).double()


def example(seed: int = 1) -> tuple[Tensor, Tensor]:
    """One input `(1, T, 3)` and its target at every step, `(1, T, 3)`."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(1, STEPS, 3, generator=generator) < 0.6).double()
    return x, torch.rand(1, STEPS, 3, generator=generator).double()


def all_codes() -> Tensor:
    """Every code, `(2^(T N), T, N)`."""
    bits = itertools.product((0.0, 1.0), repeat=STEPS * READOUT)
    return torch.tensor(list(bits), dtype=torch.float64).view(-1, STEPS, READOUT)


def forcing(codes: Tensor) -> Tensor:
    """Noise in (0, 1) under which a stochastic threshold emits just these codes."""
    return torch.where(codes > 0.5, 1e-15, 1 - 1e-15)


def log_probability(model: VDIB, x: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """`log p(y || x)` of codes, `(C,)`, and their logits, `(C, T, N)`."""
    drive, _ = model.encoder.drive(x)
    logits = model.encoder.readout.given(drive.expand(len(codes), -1, -1), codes)
    signs = 2 * codes - 1
    return torch.nn.functional.logsigmoid(signs * logits).sum((1, 2)), logits


def exact_loss(model: VDIB, x: Tensor, r: Tensor) -> Tensor:
    """The VDIB loss of one example by enumeration, differentiable in every parameter."""
    codes = all_codes()
    log_p, logits = log_probability(model, x, codes)
    d = distortion(model.decode(codes), r.expand(len(codes), -1, -1))
    kl = rate(logits, model.prior(codes))
    return (log_p.exp() * (per_step(d, STEPS) + model.beta * kl).sum(1)).sum()


def gradient(model: VDIB, loss: Tensor) -> Tensor:
    """Of all parameters, flat."""
    grads = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    filled = [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(model.parameters(), grads, strict=True)
    ]
    return torch.cat([g.flatten() for g in filled])
