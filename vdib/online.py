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
An autoregressive prior sees the spikes of the window only.
Over a sequence, under constant weights, the gradients sum to the sequence's without these paths.

Legend: B streams in parallel, K kernels, L = tau_d steps, N_in inputs and N neurons of a layer.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vdib.dynamics.filters import State
from vdib.dynamics.firing import Fire
from vdib.model import VDIB
from vdib.neurons.srm import SRM
from vdib.objective import distortion, rate
from vdib.precision import single


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


def begin(model: VDIB, x: Tensor) -> Memory:
    """The memory before the first step of streams of the shape of `x`, `(B, *N_in)`."""
    length = model.decoder.window.length
    layers = []
    for layer in (*model.encoder.layers, model.encoder.readout):
        traces = x.new_zeros(x.shape[0], length, layer.filter.num_kernels, *x.shape[1:])
        x = x.new_zeros(x.shape[0], *layer.shape)
        quiet = x.new_zeros(x.shape[0], length, *layer.shape)
        layers.append(LayerMemory((), (), traces, quiet, quiet))
    return Memory(tuple(layers), x.new_zeros(length))


@torch.no_grad()
def advance(model: VDIB, x: Tensor, noise: Tensor, memory: Memory) -> Memory:
    """One step of the encoder under the weights of now.

    Args:
        model: encoder, decoder and estimator.
        x: `(B, *N_in)` spikes of this step.
        noise: `(B, N_y)`, uniform in (0, 1).
        memory: of the last step.
    """
    encoder = model.encoder
    fires: list[Fire] = [encoder.threshold] * len(encoder.layers) + [model.estimator.fire]
    layers = []
    every = (*encoder.layers, encoder.readout)
    for layer, fire, own in zip(every, fires, memory.layers, strict=True):
        traces, filter = _trace(layer, x, own.filter)
        fed_back = layer.feedback.read(own.feedback) + x.new_zeros(x.shape[0], *layer.shape)
        x = fire(_distance(layer, traces, fed_back), noise)
        layers.append(
            LayerMemory(
                filter,
                layer.feedback.write(own.feedback, x),
                _push(own.traces, traces),
                _push(own.own, fed_back),
                _push(own.spikes, x),
            )
        )
    lived = torch.cat([memory.lived[1:], torch.ones_like(memory.lived[:1])])
    return replace(memory, layers=tuple(layers), lived=lived)


def step_loss(model: VDIB, memory: Memory, r: Tensor) -> tuple[Tensor, Tensor]:
    """Distortion and rate of the step just made, in nats, each `(B,)`.

    `(distortion + beta rate).mean()` has the gradient above. Around several updates, autocast needs
    `cache_enabled=False`, or it keeps the old weights.

    Args:
        model: encoder, decoder, prior and estimator.
        memory: as `advance` returned it.
        r: what is to be decoded at this step, `(B, ...)`.
    """
    encoder = model.encoder
    fires: list[Fire] = [encoder.threshold] * len(encoder.layers) + [model.estimator.fire]
    below: Tensor | None = None
    every = (*encoder.layers, encoder.readout)
    for layer, fire, own in zip(every, fires, memory.layers, strict=True):
        batch, length = own.spikes.shape[:2]
        v = _distance(layer, own.traces.flatten(0, 1), own.own.flatten(0, 1))
        v = v.view(batch, length, *layer.shape)
        if below is not None and below.requires_grad:
            v = v + layer.same_step_drive(below - below.detach())  # adds 0, carries gradient
        below = own.spikes
        slope = fire.slope(v.detach(), own.spikes)
        if slope is not None:
            lived = memory.lived.view(-1, *[1] * len(layer.shape))
            below = own.spikes + lived * slope * (v - v.detach())
    assert below is not None
    costs = distortion(model.decoder(below[:, None]), r[:, None])[:, 0]
    prior: Tensor = model.prior(below.detach())
    prior = prior[..., -1, :] if prior.dim() > 1 else prior
    return costs, rate(v[:, -1], prior)


def _push(last: Tensor, now: Tensor) -> Tensor:
    """The last L steps `(B, L, ...)` once a new one `(B, ...)` has come."""
    return torch.cat([last[:, 1:], now[:, None]], dim=1)


def _trace(layer: SRM, x: Tensor, state: State) -> tuple[Tensor, State]:
    """z: each kernel of the layer's filter applied to the spikes below, `(B, K, *N_in)`."""
    count = layer.filter.num_kernels
    eye = torch.eye(count, dtype=x.dtype, device=x.device)
    # The filter sums over kernels: give each of K copies of the input to one kernel alone.
    alone = eye.view(1, count, count, *[1] * (x.dim() - 1)) * x[:, None, None]
    return layer.filter.step(alone, state)


def _distance(layer: SRM, traces: Tensor, fed_back: Tensor) -> Tensor:
    """v from traces `(R, K, *N_in)` and feedback `(R, *N)`, `(R, *N)`."""
    count = layer.filter.num_kernels
    currents = single(layer.synapses(traces.flatten(0, 1))).view(-1, count, count, *layer.shape)
    potential = currents.diagonal(dim1=1, dim2=2).sum(-1)  # kernel k of the trace of kernel k
    return (potential + layer.bias - layer.threshold + layer.gain * fed_back) / layer.width
