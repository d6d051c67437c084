"""Recurrent layers of SRM neurons (of LIF ones too): all hear all others, from the next step on.

    I[t] = W x[t] + U s[t-1]
    v[t] = ((eps * I)[t] + b - theta) / Delta + gain (nu * s)[t-1],     s[t] = fire(v[t])

Spikes of the layer reach it through the same filters as those from below. Weights and filters do
not commute past the neurons' own spikes: e-prop, direct feedback and online learning refuse it.

Legend: B batch, T steps, K filters, N neurons (dense: N; convolutional: C, H, W).
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from vdib.dynamics.filters import State
from vdib.dynamics.firing import Fire
from vdib.dynamics.surrogate import Surrogate
from vdib.neurons.constants import Decay
from vdib.neurons.layer import Connect
from vdib.neurons.learned import LearnedFeedback, LearnedPair
from vdib.neurons.lif import lif
from vdib.neurons.spike_response import SRM
from vdib.neurons.srm import LearnedDecays, srm_with_decays
from vdib.neurons.synapses import Dense
from vdib.neurons.wrapped import Wrapped
from vdib.noise import Draws, check_draws
from vdib.precision import single
from vdib.sparse import Spikes

Past = tuple[Tensor, State, State]
"""The spikes of the last step, `(B, *N)`, and the states of the filter and of the feedback."""


class Recurrent(Wrapped):
    """A layer, and weights between its neurons.

    In plain PyTorch, step by step: the products of what comes from below are one, of all steps.

    Args:
        inner: deterministic, and not recurrent.
    """

    inner: SRM

    def __init__(self, inner: SRM) -> None:
        super().__init__(inner)
        self.recurrent = Dense(inner.shape, inner.filter.num_filters * math.prod(inner.shape))

    @property
    def synapses(self) -> Any:
        """Those from below."""
        return self.inner.synapses

    def forward(
        self, x: Spikes, fire: Fire | None = None, noise: Draws | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes and v of whole sequences, each `(B, T, *N)`."""
        fire = self._firing(fire)
        currents = single(self.inner.currents(x))
        constants = self._constants()
        state, spikes, v = self._silence(currents[:, 0]), [], []
        for now in currents.unbind(1):
            v_t, synaptic = self._v(now, state, *constants)
            s_t: Tensor = _Fired.apply(v_t, fire)  # type: ignore[no-untyped-call, unused-ignore]
            state = s_t, synaptic, self.inner.feedback.write(state[2], s_t)
            spikes.append(s_t)
            v.append(v_t)
        return torch.stack(spikes, 1), torch.stack(v, 1)

    def step(
        self,
        x: Tensor,
        state: Past | None,
        fire: Fire | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Past]:
        """One step of `forward`, `(B, *N_in)` to spikes and v, `(B, *N)`, and the next state."""
        fire = self._firing(fire)
        currents = single(self.inner.currents(x[:, None]))[:, 0]
        state = state or self._silence(currents)
        v, synaptic = self._v(currents, state, *self._constants())
        s = fire(v)
        return s, v, (s, synaptic, self.inner.feedback.write(state[2], s))

    def _firing(self, fire: Fire | None) -> Fire:
        fire = fire or self.inner.fire
        if fire.stochastic:
            check_draws(None, (), type(fire).__name__)
        return fire

    def _silence(self, currents: Tensor) -> Past:
        return torch.zeros_like(currents[:, 0]), (), ()

    def _constants(self) -> tuple[Tensor, Tensor]:
        """Of all steps: what is added to v, and the weight of a neuron's own feedback in it."""
        inner = self.inner
        return (inner.bias - inner.threshold) / inner.width, inner.gain / inner.width

    def _v(
        self, currents: Tensor, state: Past, shift: Tensor, gain: Tensor
    ) -> tuple[Tensor, State]:
        """v of one step and the filter's state, from the currents `(B, K, *N)` from below."""
        spikes, synaptic, own = state
        currents = currents + single(self.recurrent(spikes)).view_as(currents)
        potential, synaptic = self.inner.filter.step(currents, synaptic)
        v = torch.add(shift, potential, alpha=1 / self.inner.width)
        return v + gain * self.inner.feedback.read(own), synaptic


class _Fired(torch.autograd.Function):
    """Spikes, whose derivative is the slope that goes with them."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, fire: Fire) -> Tensor:
        spikes = fire(v)
        ctx.save_for_backward(v, spikes)
        ctx.fire = fire
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None]:
        slope = ctx.fire.slope(*ctx.saved_tensors)
        return None if slope is None else grads[0] * slope, None


def recurrent_srm(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    membrane: float = 0.9,
    synapse: float = 0.85,
    refractory: float = 0.65,
    learn: LearnedDecays = (),
    shared: bool = True,
) -> Recurrent:
    """SRM neurons that hear each other; arguments as of `vdib.neurons.srm.srm`."""
    decays = membrane, synapse, refractory
    return Recurrent(srm_with_decays(connect, shape, surrogate, *decays, learn, shared))


def recurrent_lif(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    beta: float = 0.95,
    theta: float = 1.0,
    learn: Sequence[Literal["beta"]] = (),
    shared: bool = True,
) -> Recurrent:
    """LIF neurons (`vdib.neurons.lif`) that hear each other.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes; arctan by default.
        beta: what a step leaves of the potential, in [0, 1).
        theta: the threshold, which the bias moves.
        learn: whether training moves beta.
        shared: whether a learned beta is one number for the layer or one per neuron.

    Raises:
        ValueError: a beta out of its range, or another constant to learn.
    """
    if unknown := set(learn) - {"beta"}:
        raise ValueError(f"learn: got {min(unknown)!r}, expected beta")
    inner = lif(connect, shape, surrogate, beta, theta)
    assert isinstance(inner, SRM)  # as a soft reset with fixed constants is
    if learn:
        decay = Decay("beta", beta, True, () if shared else tuple(inner.bias.shape))
        inner.filter = LearnedPair(decay, Decay("synapse", 0.0, False, ()))
        inner.feedback = LearnedFeedback(decay)
    return Recurrent(inner)
