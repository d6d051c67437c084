"""Layers on a live input: one step in NumPy at a time, with what they remember of the past.

A stochastic layer with finite filters keeps what its spikes will still add to the coming steps,

    coming[l] += sum_j (sum_k w_ij^k eps_k[l]) x_j          (now and up to the filters' length)
    s = fire(coming[0] + constant)
    coming[l] += gain nu[l - 1] s                           (from the next step on)
    coming[l] <- coming[l + 1]

so that a step is one small product and a handful of additions, which NumPy does in microseconds.
Other layers go through their `step`. Readout spikes are hard.

Legend: N neurons of a layer, L steps of its filters.
"""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdib.dynamics.firing import Bernoulli
from vdib.neurons.layer import CommutingLayer, Expansion, Layer, State

LONGEST = 1000
"""Layers that remember for longer than this, in steps, are not expanded."""

Array = NDArray[np.floating[Any]]


class Stepped(Protocol):
    """A layer that remembers, for one stream.

    Attributes:
        v: distances from threshold of the last step, `(*N)`; None where there are none.
    """

    @property
    def v(self) -> Array | None: ...

    def push(self, x: Array, noise: Array | None) -> Array:
        """Spikes of this step, from those below and uniform noise."""

    def memory(self) -> list[Tensor]:
        """What it remembers; zeros before the first step."""

    def remember(self, memory: list[Tensor] | None) -> None:
        """Go on from what another such layer remembered; None begins anew."""


def tensors_of(state: State) -> list[Tensor]:
    """The tensors of a state, in order."""
    return [state] if isinstance(state, Tensor) else [t for part in state for t in tensors_of(part)]


def like_state(state: State, tensors: list[Tensor]) -> State:
    """The state with other tensors, taken from the front of the list."""
    if isinstance(state, Tensor):
        return tensors.pop(0)
    return tuple(like_state(part, tensors) for part in state)


class _ByStep:
    """Any layer, by its `step`."""

    v: Array | None

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        zeros = torch.zeros(1, *layer.input_shape).to(next(layer.parameters()))
        self.state, self.v = None, None
        given = (Bernoulli(), zeros.new_full((1, *layer.shape), 0.5)) if layer.stochastic else ()
        _, _, self.pattern = layer.step(zeros, None, *given)

    def push(self, x: Array, noise: Array | None) -> Array:
        now = torch.from_numpy(x).view(1, *self.layer.input_shape)
        given = () if noise is None else (Bernoulli(), torch.from_numpy(noise)[None])
        spikes, v, self.state = self.layer.step(now, self.state, *given)
        self.v = None if v is None else v[0].numpy()
        out: Array = spikes[0].numpy()
        return out

    def memory(self) -> list[Tensor]:
        known = tensors_of(self.pattern)
        return (
            [torch.zeros_like(x) for x in known] if self.state is None else tensors_of(self.state)
        )

    def remember(self, memory: list[Tensor] | None) -> None:
        self.state = None if memory is None else like_state(self.pattern, memory)


class _Expanded:
    """A stochastic layer by its expansion."""

    def __init__(self, layer: Expansion) -> None:
        # u < sigmoid(v) where 2 u - 1 < tanh(v / 2), which does not overflow: all is kept as v / 2.
        self.felt, size = layer.response.shape[1:]
        self.response: Array = (layer.response / 2).flatten(1).numpy()
        self.after: Array = (layer.after / 2).numpy()
        self.constant: Array = (layer.constant / 2).numpy()
        steps = max(self.felt, len(self.after) + 1)
        self.coming = layer.response.new_zeros(steps, size)
        self._half: Array = self.constant

    @property
    def v(self) -> Array:
        return 2 * self._half

    def push(self, x: Array, noise: Array | None) -> Array:
        assert noise is not None
        coming: Array = self.coming.numpy()  # a view
        now = coming[: self.felt]
        now += np.dot(x.ravel(), self.response).reshape(now.shape)
        half = self._half = coming[0] + self.constant
        spikes: Array = (2 * noise - 1 < np.tanh(half)).astype(half.dtype)
        coming[:-1] = coming[1:]
        coming[-1] = 0
        coming[: len(self.after)] += self.after * spikes
        return spikes

    def memory(self) -> list[Tensor]:
        return [self.coming]

    def remember(self, memory: list[Tensor] | None) -> None:
        (self.coming,) = memory or [torch.zeros_like(self.coming)]


class Driven:
    """A readout whose drive is looked at: v but for the neurons' own feedback, from traces.

    Attributes:
        drive: of the last step, `(N,)`.
    """

    def __init__(self, layer: CommutingLayer) -> None:
        self.layer, self.inner = layer, stepped(layer)
        zeros = torch.zeros(1, *layer.input_shape).to(next(layer.parameters()))
        self.state = None
        traces, self.pattern = layer.trace(zeros, None)
        self.drive: Array = self._of(traces)

    @property
    def v(self) -> Array | None:
        return self.inner.v

    def _of(self, traces: Tensor) -> Array:
        silent = traces.new_zeros(1, *self.layer.shape)
        drive: Array = self.layer.from_traces(traces, silent)[0].numpy()
        return drive

    def push(self, x: Array, noise: Array | None) -> Array:
        now = torch.from_numpy(x).view(1, *self.layer.input_shape)
        traces, self.state = self.layer.trace(now, self.state)
        self.drive = self._of(traces)
        return self.inner.push(x, noise)

    def memory(self) -> list[Tensor]:
        known = tensors_of(self.pattern)
        own = [torch.zeros_like(x) for x in known] if self.state is None else tensors_of(self.state)
        return [*own, *self.inner.memory()]

    def remember(self, memory: list[Tensor] | None) -> None:
        rest = list(memory or [])
        self.state = None if memory is None else like_state(self.pattern, rest)
        self.inner.remember(None if memory is None else rest)


def stepped(layer: Layer) -> Stepped:
    """The fastest way to step a layer."""
    expand = getattr(layer, "expansion", None)
    expansion = expand(LONGEST) if layer.stochastic and expand is not None else None
    return _ByStep(layer) if expansion is None else _Expanded(expansion)
