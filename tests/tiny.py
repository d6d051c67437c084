"""A network small enough to enumerate every code it can emit, and spikes for any other."""

import itertools
import math

import torch
from torch import Tensor

from vdib.credit import Credit
from vdib.decoder import MLPDecoder
from vdib.dynamics.feedback import ExponentialFeedback, NoFeedback
from vdib.dynamics.filters import Filter, RaisedCosines
from vdib.dynamics.firing import Threshold
from vdib.dynamics.surrogate import fast_sigmoid
from vdib.encoder import SpikeCode, SpikingEncoder
from vdib.estimator import Estimator
from vdib.model import VDIB
from vdib.neurons.layer import Connect
from vdib.neurons.spike_response import SRM
from vdib.neurons.srm import srm, stochastic_srm
from vdib.neurons.synapses import dense
from vdib.objective import distortion, per_step, rate
from vdib.penalty import Penalty
from vdib.price import Price
from vdib.prior import AutoregressivePrior
from vdib.signal import Image
from vdib.window import FullWindow

STEPS, READOUT, BETA = 3, 2, 0.7


def spike_train(
    *shape: int, rate: float = 0.3, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Independent spikes of one probability, of any shape."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < rate).to(dtype)


def filtered(connect: Connect, shape: tuple[int, ...], filter: Filter) -> SRM:
    """A hidden SRM layer with any filter."""
    feedback, fire = ExponentialFeedback(), Threshold(fast_sigmoid)
    return SRM(connect(filter.num_filters), shape, filter, feedback, fire)


class Gates(torch.nn.Module):
    """`1[W x > 0]`, step by step: a layer that has no v, no memory, no drive and no traces."""

    stochastic = False

    def __init__(self, input_shape: tuple[int, ...], num_neurons: int) -> None:
        super().__init__()
        self.input_shape, self.shape = input_shape, (num_neurons,)
        self.weight = torch.nn.Parameter(torch.randn(num_neurons, math.prod(input_shape)))

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        soft = torch.tanh(x.flatten(-len(self.input_shape)) @ self.weight.T)
        return (soft > 0).to(soft) + (soft - soft.detach()), None

    def step(self, x: Tensor, state: tuple[()] | None) -> tuple[Tensor, None, tuple[()]]:
        return *self(x), ()

    def calibrate(self, x: Tensor, spread: float = 1.0, rate: float | None = None) -> None:
        pass


def encoder(
    num_inputs: int = 3,
    hidden: tuple[int, ...] = (4,),
    credit: Credit | None = None,
    feedback: bool = True,
) -> SpikingEncoder:
    """Float64, strong weights and strong refractoriness, all of which the gradient must see.

    Without feedback, all spikes of the readout are independent given the input.
    """
    sizes = (num_inputs, *hidden)
    layers = [srm(*dense((below,), size)) for below, size in itertools.pairwise(sizes)]
    readout = stochastic_srm(*dense((sizes[-1],), READOUT), RaisedCosines(2, 3))
    readout.feedback = readout.feedback if feedback else NoFeedback()
    for layer in (*layers, readout):
        weight = layer.synapses.weight  # drawn in the order of its entries, however it lies
        weight.data.copy_(torch.empty(weight.shape).normal_(std=1.5))
        torch.nn.init.uniform_(layer.gain, 0.8, 1.6)
        torch.nn.init.normal_(layer.bias, 0.5, 0.3)
    return SpikingEncoder(layers, readout, credit).double()


def drive(encoder: SpikingEncoder, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The readout's drive `(B, T, N_y)` under the encoder's credit, and the hidden spikes."""
    hidden = encoder.hidden_spikes(x)
    value = encoder.credit.drive(encoder.readout, (x, *hidden)[-1])
    return encoder.credit.feed_back(value, hidden), hidden


def bottleneck(
    estimator: Estimator,
    credit: Credit | None = None,
    seed: int = 0,
    penalties: dict[str, tuple[Penalty, float]] | None = None,
    readout: SRM | None = None,
    price: Price | None = None,
) -> VDIB:
    """Windowed decoding at every step, so that costs fall due all along the sequence.

    Args:
        estimator: of the gradient through the readout's spikes.
        credit: of the hidden layer.
        seed: of all weights.
        penalties: by name, each with its weight.
        readout: another one, on the four neurons of the hidden layer.
        price: of a nat of rate in training.

    Antithetic codes are of a readout without feedback, others of one with.
    """
    torch.manual_seed(seed)
    code = encoder(credit=credit, feedback=not estimator.antithetic)
    if readout is not None:
        code = SpikingEncoder(code.layers, readout, credit)
    decoder = MLPDecoder(FullWindow(2), READOUT, Image((3,)), num_hidden=5)
    for weight in (decoder.hidden.weight, decoder.head.weight):
        torch.nn.init.normal_(weight, std=1.5)
    prior = AutoregressivePrior(READOUT, 0.3)
    torch.nn.init.normal_(prior.linear.weight, std=0.5)
    return VDIB(code, decoder, prior, estimator, BETA, True, penalties, True, price).double()


def example(seed: int = 1, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """One input `(1, T, 3)` and its target at every step, `(1, T, 3)`."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(1, steps, 3, generator=generator) < 0.6).double()
    return x, torch.rand(1, steps, 3, generator=generator).double()


def all_codes(steps: int = STEPS) -> Tensor:
    """Every code, `(2^(T N), T, N)`."""
    bits = itertools.product((0.0, 1.0), repeat=steps * READOUT)
    return torch.tensor(list(bits), dtype=torch.float64).view(-1, steps, READOUT)


def forcing(codes: Tensor) -> Tensor:
    """Noise in (0, 1) under which a stochastic threshold emits just these codes."""
    return torch.where(codes > 0.5, 1e-15, 1 - 1e-15)


def log_probability(model: VDIB, x: Tensor, codes: Tensor) -> tuple[Tensor, SpikeCode]:
    """`log p(y || x)` of spikes `(C, T, N)`, `(C,)`, and these spikes as codes of x."""
    value, hidden = drive(model.encoder, x)
    code = model.encoder(x, forcing(codes), hidden_v=True)
    logits = model.encoder.readout.given(value.expand(len(codes), -1, -1), codes)
    signs = 2 * codes - 1
    log_p = torch.nn.functional.logsigmoid(signs * logits).sum((1, 2))
    return log_p, SpikeCode(codes, logits, hidden, hidden_v=code.hidden_v)


def exact_loss(model: VDIB, x: Tensor, r: Tensor) -> Tensor:
    """The VDIB loss of one example by enumeration, differentiable in every parameter."""
    steps = x.shape[1]
    log_p, code = log_probability(model, x, all_codes(steps))
    costs = per_step(distortion(model.decode(code), r.expand(len(log_p), -1, -1)), steps)
    costs = costs + model.beta * rate(code.logits, model.prior(code.spikes))
    for penalty, weight in model.penalties.values():
        costs = costs + weight * penalty(code)
    return (log_p.exp() * costs.sum(1)).sum()


def exact_bound(model: VDIB, x: Tensor, r: Tensor, count: int) -> Tensor:
    """`E[-log 1/K sum_k exp(-c_k)]` of K codes of one example, by enumeration of their multisets.

    c is the cost with the log-ratio of p and q at the code for its mean.
    """
    steps = x.shape[1]
    codes = all_codes(steps)
    log_p, code = log_probability(model, x, codes)
    costs = per_step(distortion(model.decode(code), r.expand(len(log_p), -1, -1)), steps).sum(1)
    q = torch.sigmoid(model.prior(codes))
    log_q = torch.where(codes > 0.5, q, 1 - q).log().sum((1, 2))
    costs = costs + model.beta * (log_p - log_q)
    chosen = torch.combinations(torch.arange(len(codes)), count, with_replacement=True)
    # In how many orders the same codes may come.
    repeats = (chosen[:, :, None] == chosen[:, None]).tril().sum(2).double().prod(1)
    weights = math.factorial(count) / repeats * log_p[chosen].sum(1).exp()
    return (weights * -torch.exp(-costs[chosen]).mean(1).log()).sum()


def gradient(model: VDIB, loss: Tensor) -> Tensor:
    """Of all parameters but the estimator's own, flat."""
    parts = model.encoder, model.decoder, model.prior
    parameters = [parameter for part in parts for parameter in part.parameters()]
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    filled = [
        torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)
    ]
    return torch.cat([g.flatten() for g in filled])
