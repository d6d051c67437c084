"""A trained model on a live input: one step in, one prediction out, in constant time and memory.

    stream = model.stream(seed=0)
    prediction = stream.push(x_t)

equals `model(x, ...)` over the whole sequence, step by step and spike by spike, to rounding.

A layer with finite kernels keeps what its past spikes will still add to each of the coming steps:

    coming[l] += sum_j (sum_k w_ij^k eps_k[l]) x_j          (now and up to the kernels' length)
    s = fire(coming[0] + constant)
    coming[l] += gain nu[l - 1] s                           (from the next step on)
    coming[l] <- coming[l + 1]

so that a step is one small product and a handful of additions, which NumPy does in microseconds.
Other layers go through `SRM.step`.

Legend: N_x inputs, N_y readout neurons, N neurons of a layer, L steps of its kernels.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Distribution

from vdib.decoder import Decoder, Likelihood, LogisticDecoder
from vdib.dynamics.filters import State
from vdib.dynamics.firing import Bernoulli, Fire
from vdib.neurons.srm import SRM
from vdib.noise import EVALUATION, Noise

if TYPE_CHECKING:  # `VDIB.stream` makes streams
    from vdib.model import VDIB

BLOCK = 1024
"""Steps whose noise is drawn at once."""
LONG = 1000
"""Kernels that are longer than this, in steps, are not expanded."""

Array = NDArray[np.floating[Any]]


class _Layer(Protocol):
    """A layer that remembers, for a stream of its own."""

    state: list[Tensor]

    def push(self, x: Array, noise: Array | None) -> Array:
        """Spikes of this step, from those below and uniform noise."""


class _Stepped:
    """Any layer, by its `step`."""

    def __init__(self, layer: SRM, fire: Fire, input_shape: tuple[int, ...]) -> None:
        self.layer = layer
        self.fire = fire
        weight = next(layer.parameters())
        zeros = weight.new_zeros(1, *input_shape)
        _, _, (synaptic, own) = layer.step(zeros, ((), ()), fire, weight.new_ones(1, *layer.shape))
        self.split = len(synaptic)
        self.state = [torch.zeros_like(part) for part in (*synaptic, *own)]

    def push(self, x: Array, noise: Array | None) -> Array:
        before: tuple[State, State] = (
            tuple(self.state[: self.split]),
            tuple(self.state[self.split :]),
        )
        u = None if noise is None else torch.from_numpy(noise)[None]
        spikes, _, (synaptic, own) = self.layer.step(
            torch.from_numpy(x)[None], before, self.fire, u
        )
        self.state = [*synaptic, *own]
        out: Array = spikes[0].numpy()
        return out


class _Expanded:
    """A dense stochastic layer with finite kernels."""

    def __init__(self, layer: SRM, weight: Tensor) -> None:
        (size,) = layer.shape
        nu = layer.feedback.kernel(LONG).to(weight)
        eps = layer.filter.kernel(LONG).to(weight)
        by_kernel = weight.view(eps.shape[0], size, -1)
        # u < sigmoid(v) where 2 u - 1 < tanh(v / 2), which does not overflow: all is kept as v / 2.
        response = torch.einsum("knj,kl->jln", by_kernel, eps) / (2 * layer.width)  # N_in, L, N
        steps = max(eps.shape[1], nu.shape[0] + 1)
        self.response: Array = response.flatten(1).numpy()
        self.felt = eps.shape[1]
        self.after: Array = torch.outer(nu, layer.gain / (2 * layer.width)).numpy()
        self.constant: Array = ((layer.bias - layer.threshold) / (2 * layer.width)).numpy()
        self.state = [weight.new_zeros(steps, size)]

    def push(self, x: Array, noise: Array | None) -> Array:
        assert noise is not None
        coming: Array = self.state[0].numpy()  # a view
        now = coming[: self.felt]
        now += np.dot(x, self.response).reshape(now.shape)
        half = coming[0] + self.constant
        spikes: Array = (2 * noise - 1 < np.tanh(half)).astype(half.dtype)
        coming[:-1] = coming[1:]
        coming[-1] = 0
        coming[: len(self.after)] += self.after * spikes
        return spikes


def _layer(layer: SRM, fire: Fire, input_shape: tuple[int, ...]) -> _Layer:
    """The fastest way to step a layer."""
    linear = [m for m in layer.synapses.modules() if isinstance(m, nn.Linear)]
    finite = max(layer.filter.kernel(LONG).shape[1], len(layer.feedback.kernel(LONG))) < LONG
    if isinstance(fire, Bernoulli) and len(linear) == 1 and len(input_shape) == 1 and finite:
        return _Expanded(layer, linear[0].weight)
    return _Stepped(layer, fire, input_shape)


@dataclass(frozen=True)
class Prediction:
    """What is decoded at one step.

    Attributes:
        outputs: of the decoder, `(O,)`: logits of the patterns or of the inputs.
        likelihood: what makes a distribution of them.
    """

    outputs: Tensor
    likelihood: Likelihood

    @property
    def distribution(self) -> Distribution:
        """Over r, with batch shape `()`."""
        return self.likelihood(self.outputs)


class Stream:
    """One live input under the weights the model has now; later training does not reach it.

    Runs on the CPU, whatever the model's device.

    Args:
        model: encoder and decoder.
        seed: of the readout's noise.
        id: of the stream: the noise is that of `Noise(seed, EVALUATION, [id])`.

    Attributes:
        time: steps so far.
        spikes: the readout's spikes of the last step, `(N_y,)`.
    """

    @torch.no_grad()
    def __init__(self, model: "VDIB", seed: int, id: int = 0) -> None:
        encoder = copy.deepcopy(model.encoder).cpu()
        self._decoder = copy.deepcopy(model.decoder).cpu().eval()
        self._linear = _linear(self._decoder)
        self._noise = Noise(seed, EVALUATION, torch.tensor([id]))
        self._block: Array = np.empty((0, encoder.num_readout), np.float32)
        self.time = 0
        shapes = [_input_shape(layer) for layer in (*encoder.layers, encoder.readout)]
        self.input_shape = shapes[0]
        self._layers: list[_Layer] = [
            _layer(layer, encoder.threshold, shape)
            for layer, shape in zip(encoder.layers, shapes, strict=False)
        ]
        self._layers.append(_layer(encoder.readout, Bernoulli(), shapes[-1]))
        weight = encoder.readout.bias
        self._recent = weight.new_zeros(self._decoder.window.length, encoder.num_readout)
        self._dtype = self._recent.numpy().dtype

    @property
    def spikes(self) -> Tensor:
        return self._recent[-1].clone()

    @torch.no_grad()
    def push(self, x: Tensor | Array) -> Prediction:
        """The next step's spikes, of `input_shape`, to what is decoded now."""
        now: Array = np.asarray(x, self._dtype)
        if now.shape != self.input_shape:
            raise ValueError(f"spikes: got shape {now.shape}, expected {self.input_shape}")
        at = self.time % BLOCK
        if at == 0 or not len(self._block):
            layer, start = len(self._layers) - 1, self.time - at
            shape = self._block.shape[1:]
            self._block = self._noise.uniform(layer, BLOCK, shape, start)[0].numpy()
        for layer_ in self._layers[:-1]:
            now = layer_.push(now, None)
        recent: Array = self._recent.numpy()  # a view
        recent[:-1] = recent[1:]
        recent[-1] = self._layers[-1].push(now, self._block[at])
        self.time += 1
        if self._linear is None:
            outputs = self._decoder.outputs(self._recent[None, None])[0, 0]
        else:
            weight, bias = self._linear
            outputs = torch.from_numpy(np.dot(weight, recent.ravel()) + bias)
        return Prediction(outputs, self._decoder.likelihood)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that `load_state_dict` needs to go on as if nothing had happened."""
        parts = {
            f"layer_{i}_{j}": part
            for i, layer in enumerate(self._layers)
            for j, part in enumerate(layer.state)
        }
        address = torch.tensor([self._noise.seed, int(self._noise.ids[0]), self.time])
        whole = {"address": address, "recent": self._recent, **parts}
        return {name: part.clone() for name, part in whole.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on where another stream of the same model was, noise included.

        Raises:
            ValueError: the state is of another model.
        """
        own = self.state_dict()
        fits = own.keys() == state.keys()
        if not fits or any(own[name].shape != state[name].shape for name in own):
            raise ValueError("the state is that of a stream of another model")
        seed, id, self.time = (int(value) for value in state["address"])
        self._noise = Noise(seed, EVALUATION, torch.tensor([id]))
        self._block = self._block[:0]
        self._recent = state["recent"].to(self._recent).clone()
        for i, layer in enumerate(self._layers):
            layer.state = [
                state[f"layer_{i}_{j}"].to(part).clone() for j, part in enumerate(layer.state)
            ]


def _input_shape(layer: SRM) -> tuple[int, ...]:
    """What a layer's synapses expect of one step."""
    for module in layer.synapses.modules():
        if isinstance(module, nn.Linear):
            return (module.in_features,)
    raise ValueError("streams are for encoders whose layers are dense")


def _linear(decoder: Decoder) -> tuple[Array, Array] | None:
    """The weights `(O, L N_y)` and bias `(O)` that a logistic decoder comes to, window included."""
    if not isinstance(decoder, LogisticDecoder):
        return None
    bias = decoder.head.bias
    size = decoder.window.length * decoder.num_neurons
    one_spike = torch.eye(size).to(bias).view(size, 1, decoder.window.length, -1)
    weight = decoder.outputs(one_spike)[:, 0].T - bias[:, None]
    return weight.contiguous().numpy(), bias.numpy()
