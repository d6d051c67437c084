"""Layers on a live input of events: work in proportion to the spikes, one step at a time.

A layer is told of the spikes below as they come (`feel`), in whatever pieces, and fires when the
step ends (`fire`). What it would fire if the step ended now can be asked at any time (`peek`), and
changes nothing. Sums are in double precision: in which pieces spikes came does not show.

Legend: N_in neurons below and N of the layer, flattened; L steps of its filters; S spikes.
"""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vdib.backends.describe import NoKernel, describe
from vdib.backends.kinds import EXPONENTIAL, EXPONENTIAL_PAIR
from vdib.backends.rows import add_rows
from vdib.dynamics.firing import Bernoulli, Threshold
from vdib.neurons.layer import Layer, spiking
from vdib.neurons.spike_response import SRM
from vdib.neurons.stepping import LONGEST
from vdib.neurons.synapses import Dense

Fired = NDArray[np.int64]
"""The neurons that fire, each once, `(S,)`."""
Doubles = NDArray[np.float64]


class EventStepped(Protocol):
    """A layer that remembers, for one stream of events."""

    def feel(self, below: Fired) -> None:
        """Neurons below that have fired in this step, besides those told of before."""

    def fire(self, noise: Doubles) -> Fired:
        """Who fires in this step, which is over."""

    def peek(self, below: Fired, noise: Doubles) -> Fired:
        """Who would, if these fired below as well and the step ended now."""

    def reset(self) -> None:
        """Forget everything."""


class _Deterministic:
    """A dense layer of SRM neurons with a double-exponential kernel.

    i <- c i + sum of w_j,   u <- a u + i,   v = (u / peak + b - theta) / Delta + gain f
    s = 1[v > 0],   f <- d f - s
    """

    def __init__(
        self, layer: SRM, by_input: torch.Tensor, decays: tuple[float, float, float], decay: float
    ) -> None:
        self.table = by_input.detach().contiguous().numpy()
        self.membrane, self.synapse, self.scale = decays
        self.decay, self.width = decay, layer.width
        self.shift: Doubles = (layer.bias - layer.threshold).detach().double().numpy()
        self.gain: Doubles = layer.gain.detach().double().numpy() / layer.width
        self.reset()

    def reset(self) -> None:
        self.felt, self.current, self.potential, self.fed_back = np.zeros((4, len(self.shift)))
        self._threshold()

    def _threshold(self) -> None:
        """Of the potential in the step to come: v is above 0 where u is above this."""
        self.needed = -(self.shift + self.width * self.gain * self.fed_back) / self.scale

    def feel(self, below: Fired) -> None:
        add_rows(self.felt, self.table, below)

    def fire(self, noise: Doubles) -> Fired:
        self.current = self.synapse * self.current + self.felt
        self.potential = self.membrane * self.potential + self.current
        fired = np.flatnonzero(self.potential > self.needed)
        self.fed_back *= self.decay
        self.fed_back[fired] -= 1
        self.felt[:] = 0
        self._threshold()
        return fired

    def peek(self, below: Fired, noise: Doubles) -> Fired:
        current = self.synapse * self.current + self.felt
        add_rows(current, self.table, below)
        return np.flatnonzero(self.membrane * self.potential + current > self.needed)


class _Sampled:
    """A dense stochastic layer with finite filters, by its expansion (see `stepping.py`)."""

    def __init__(self, response: torch.Tensor, after: torch.Tensor, constant: torch.Tensor) -> None:
        # u < sigmoid(v) where 2 u - 1 < tanh(v / 2), which does not overflow: all is kept as v / 2.
        self.lags, self.size = response.shape[1:]
        self.table = (response / 2).flatten(1).detach().contiguous().numpy()
        self.at_once = np.ascontiguousarray(self.table[:, : self.size])
        self.after: Doubles = (after / 2).detach().double().numpy()
        self.constant: Doubles = (constant / 2).detach().double().numpy()
        self.reset()

    def reset(self) -> None:
        self.felt = np.zeros(self.lags * self.size)
        self.coming = np.zeros((max(self.lags, len(self.after) + 1), self.size))

    def feel(self, below: Fired) -> None:
        add_rows(self.felt, self.table, below)

    def fire(self, noise: Doubles) -> Fired:
        self.coming[: self.lags] += self.felt.reshape(self.lags, self.size)
        fired = np.flatnonzero(2 * noise - 1 < np.tanh(self.coming[0] + self.constant))
        self.coming[:-1] = self.coming[1:]
        self.coming[-1] = 0
        self.coming[: len(self.after), fired] += self.after[:, fired]
        self.felt[:] = 0
        return fired

    def peek(self, below: Fired, noise: Doubles) -> Fired:
        half = self.coming[0] + self.felt[: self.size] + self.constant
        add_rows(half, self.at_once, below)
        return np.flatnonzero(2 * noise - 1 < np.tanh(half))


class _ByStep:
    """Any layer whose spikes are 0 or 1, by its `step`."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.reset()

    def reset(self) -> None:
        self.felt = torch.zeros(1, *self.layer.input_shape).to(next(self.layer.parameters()))
        self.state: Any = None

    def feel(self, below: Fired) -> None:
        self.felt.view(-1)[torch.from_numpy(below)] = 1

    @torch.no_grad()
    def _step(self, x: torch.Tensor, noise: Doubles) -> tuple[Fired, Any]:
        given: tuple[Any, ...] = ()
        if self.layer.stochastic:
            drawn = torch.from_numpy(noise).to(x).view(1, *self.layer.shape)
            given = Bernoulli(), drawn
        spikes, _, state = self.layer.step(x, self.state, *given)
        return np.flatnonzero(spikes.numpy()), state

    def fire(self, noise: Doubles) -> Fired:
        fired, self.state = self._step(self.felt, noise)
        self.felt = torch.zeros_like(self.felt)
        return fired

    def peek(self, below: Fired, noise: Doubles) -> Fired:
        x = self.felt.clone()
        x.view(-1)[torch.from_numpy(below)] = 1
        return self._step(x, noise)[0]


@torch.no_grad()
def by_events(layer: Layer) -> EventStepped:
    """The fastest way to step a layer on events.

    Raises:
        ValueError: its outputs are real numbers.
    """
    if not spiking(layer):
        raise ValueError(f"a stream of events needs layers that spike, got {type(layer).__name__}")
    if type(layer) is SRM and type(layer.synapses) is Dense:
        if layer.stochastic and (made := layer.expansion(LONGEST)) is not None:
            return _Sampled(made.response, made.after, made.constant)
        try:
            filter, feedback = describe(layer.filter), describe(layer.feedback)
        except NoKernel:
            return _ByStep(layer)
        kinds = filter.kind, feedback.kind
        if type(layer.fire) is Threshold and kinds == (EXPONENTIAL_PAIR, EXPONENTIAL):
            constants = filter.decays, feedback.numbers[0]
            return _Deterministic(layer, layer.synapses.by_input, *constants)
    return _ByStep(layer)
