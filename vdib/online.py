"""Learning from a stream: an update at every step, in constant memory.

At step t the loss is that of this step's decoding and of this step's spikes,

    L_t = -log q_phi(r_t | y_{t - tau_d + 1 .. t}) + beta KL_t

and the credit is local in time. Weights and filters commute, so a neuron's potential is a product
of its weights with *traces* of the spikes below, which do not depend on the weights:

    v_i[t] = sum_jk w_ij^k z_jk[t] + gain_i (nu * s_i)[t - 1] + b_i,     z_jk = eps_k * s_j
    dL_t/dw_ij^k = beta dKL_t/dv_i[t] z_jk[t]
                   + sum_{l < tau_d} dL_t/dy_i[t - l] slope(v_i[t - l]) z_jk[t - l]

The traces of the last tau_d steps are the eligibility of the weights: they are kept, and nothing
else is, so memory does not grow with time. The spikes are those that were emitted; only the
potentials under them are evaluated again with the weights of now.

What this leaves out, and so how it is biased against `VDIB.training_loss` with straight-through
spikes: a spike's influence on its neuron's own later potentials (refractoriness); and, with hidden
layers, what a hidden spike does to later steps of the layer above (e-prop's bias, `vdib.credit`).
A prior sees the spikes of the window only, and what a spike does to the rates by way of the prior
(later ones; under an ordered prior also of its own step) is left out.
Free bits are of a neuron's rate at one step, where a sequence has them of its mean over steps.
Over a sequence, under constant weights, the gradients sum to the sequence's without these paths.

Legend: B streams in parallel, K filters, L = tau_d steps, N_in inputs and N neurons of a layer.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vdib.decoder import WindowDecoder
from vdib.dynamics.firing import Fire
from vdib.encoder import SpikeCode
from vdib.model import VDIB
from vdib.neurons.layer import CommutingLayer, State, commuting
from vdib.objective import distortion


@dataclass(frozen=True)
class LayerMemory:
    """What a layer remembers of a stream.

    Attributes:
        filter: the state of the traces.
        feedback: the state of the neurons' own feedback.
        traces: z over the last steps, `(B, L, K, *N_in)`.
        own: `(nu * s)[t - 1]` over the last steps, `(B, L, *N)`.
        spikes: over the last steps, `(B, L, *N)`.
    """

    filter: State
    feedback: State
    traces: Tensor
    own: Tensor
    spikes: Tensor


@dataclass(frozen=True)
class Memory:
    """All that online learning carries from one step to the next.

    Attributes:
        layers: from the input up, the readout last.
        lived: which of the last steps there were, `(L,)` in {0, 1}.
    """

    layers: tuple[LayerMemory, ...]
    lived: Tensor


def _parts(
    model: VDIB, progress: float = 1.0
) -> tuple[list[CommutingLayer], list[Fire], WindowDecoder]:
    """The layers from the input up, how each fires in training, and the decoder."""
    encoder, decoder = model.encoder, model.decoder
    layers = commuting([*encoder.layers, encoder.readout], "online learning")
    if not isinstance(decoder, WindowDecoder):
        raise ValueError("online learning needs a decoder of a window of recent spikes")
    stochastic = encoder.readout.stochastic
    readout = model.estimator.firing(progress) if stochastic else layers[-1].fire
    return layers, [*(layer.fire for layer in layers[:-1]), readout], decoder


def begin(model: VDIB, x: Tensor) -> Memory:
    """The memory before the first step of streams of the shape of `x`, `(B, *N_in)`.

    Raises:
        ValueError: a layer whose weights and filters do not commute, or a decoder without a window.
    """
    layers, _, decoder = _parts(model)
    length = decoder.window.length
    memories = []
    for layer in layers:
        traces = layer.trace(torch.zeros_like(x), None)[0]
        traces = traces[:, None].repeat(1, length, *[1] * (traces.dim() - 1))
        x = x.new_zeros(x.shape[0], *layer.shape)
        quiet = x.new_zeros(x.shape[0], length, *layer.shape)
        memories.append(LayerMemory((), (), traces, quiet, quiet))
    return Memory(tuple(memories), x.new_zeros(length))


@torch.no_grad()
def advance(model: VDIB, x: Tensor, noise: Tensor, memory: Memory, progress: float = 1.0) -> Memory:
    """One step of the encoder under the weights of now.

    Args:
        model: encoder, decoder and estimator.
        x: `(B, *N_in)` spikes of this step.
        noise: `(B, N_y)`, uniform in (0, 1).
        memory: of the last step.
        progress: the share of the training that is over, on which the estimator may depend.
    """
    layers, fires, _ = _parts(model, progress)
    memories = []
    for layer, fire, own in zip(layers, fires, memory.layers, strict=True):
        traces, filter = layer.trace(x, own.filter)
        fed_back = layer.feedback.read(own.feedback) + x.new_zeros(x.shape[0], *layer.shape)
        x = fire(layer.from_traces(traces, fed_back), noise)
        memories.append(
            LayerMemory(
                filter,
                layer.feedback.write(own.feedback, x),
                _push(own.traces, traces),
                _push(own.own, fed_back),
                _push(own.spikes, x),
            )
        )
    lived = torch.cat([memory.lived[1:], torch.ones_like(memory.lived[:1])])
    return replace(memory, layers=tuple(memories), lived=lived)


def step_loss(
    model: VDIB, memory: Memory, r: Tensor, progress: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Distortion and rate of the step just made, in nats, each `(B,)`.

    Of a deterministic readout the rate is its code's length. `(distortion + beta rate).mean()` has
    the gradient above, less that of the rates of neurons that are free (`vdib.price`: their mean
    is taken over the B streams at this step, not over steps). Around several updates, autocast
    needs `cache_enabled=False`, or it keeps the old weights.

    Args:
        model: encoder, decoder, prior and estimator.
        memory: as `advance` returned it.
        r: what is to be decoded at this step, `(B, ...)`.
        progress: as of `advance`.
    """
    layers, fires, decoder = _parts(model, progress)
    below: Tensor | None = None
    for layer, fire, own in zip(layers, fires, memory.layers, strict=True):
        batch, length = own.spikes.shape[:2]
        v = layer.from_traces(own.traces.flatten(0, 1), own.own.flatten(0, 1))
        v = v.view(batch, length, *layer.shape)
        if below is not None and below.requires_grad:
            v = v + layer.same_step_drive(below - below.detach())  # adds 0, carries gradient
        below = own.spikes
        slope = fire.slope(v.detach(), own.spikes)
        if slope is not None:
            lived = memory.lived.view(-1, *[1] * len(layer.shape))
            below = own.spikes + lived * slope * (v - v.detach())
    assert below is not None
    stochastic = model.encoder.readout.stochastic
    code = SpikeCode(below, v, stochastic=stochastic)
    costs = distortion(decoder(code), r[:, None])[:, 0]
    lived = below[:, -int(memory.lived.sum()) :]  # before the first step there was no silence
    prior: Tensor = model.prior(lived.detach() if stochastic else lived)
    prior = prior[..., -1, :] if prior.dim() > 1 else prior
    rates = SpikeCode(below[:, -1], v[:, -1], stochastic=stochastic).cost_by_neuron(prior)
    if model.price.free_bits:
        rates = torch.where(model.price.paid(rates[:, None]) > 0, rates, rates.detach())
    return costs, rates.sum(-1)


def _push(last: Tensor, now: Tensor) -> Tensor:
    """The last L steps `(B, L, ...)` once a new one `(B, ...)` has come."""
    return torch.cat([last[:, 1:], now[:, None]], dim=1)
