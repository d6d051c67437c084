"""Spike response model (SRM) layers, dense and convolutional.

    u_i[t] = sum_j sum_k w_ij^k (eps_k * s_j)[t] + gain_i (nu * s_i)[t - 1] + b_i
    v_i[t] = (u_i[t] - theta) / Delta,     s_i[t] = fire(v_i[t])

Filter and weights commute, so the weights come first: one product over all (batch, time) rows, then
the causal filter, then the scan. Whether the threshold is deterministic or stochastic is the
business of `fire` (`vdib.dynamics.firing`); of a stochastic one `p(s = 1 | u) = sigmoid(v)`.

Legend: B batch, T steps, K filters, N neurons (dense: N; convolutional: C, H, W).
"""

import math
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from vdib.backends import dispatch
from vdib.dynamics.feedback import Feedback, over
from vdib.dynamics.filters import Filter, State
from vdib.dynamics.firing import Fire
from vdib.neurons.layer import UNMOVED, Expansion, Synapses
from vdib.neurons.synapses import Dense
from vdib.noise import Draws, check_draws
from vdib.precision import single
from vdib.sparse import Spikes


class SRM(nn.Module):
    """One layer of SRM neurons behind a linear map.

    Args:
        synapses: from one step's spikes to K currents per neuron.
        shape: of the layer's neurons, `(N,)` or `(C, H, W)`.
        filter: the synaptic filters eps.
        feedback: the impulse response nu of a neuron's own spikes.
        fire: how the neurons fire, where a call does not say.
        threshold: theta, in units of the potential.
        width: Delta, the spread of a stochastic threshold, in units of the potential.

    Raises:
        ValueError: a width that is not positive.
    """

    ATTACHED: ClassVar[bool] = True
    """Whether gradients reach through a neuron's own past spikes."""

    def __init__(
        self,
        synapses: Synapses,
        shape: tuple[int, ...],
        filter: Filter,
        feedback: Feedback,
        fire: Fire,
        threshold: float = 1.0,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if width <= 0:
            raise ValueError(f"the threshold's width must be positive, got {width}")
        self.synapses = synapses
        self.input_shape = synapses.input_shape
        self.shape = shape
        self.filter, self.feedback, self.fire = filter, feedback, fire
        self.threshold, self.width = threshold, width
        # One number per neuron, or per channel of a convolution.
        own = (shape[0],) + (1,) * (len(shape) - 1)
        self.bias = nn.Parameter(torch.zeros(own))
        self.gain = nn.Parameter(torch.full(own, width))

    @property
    def stochastic(self) -> bool:
        """Whether the layer needs noise."""
        return self.fire.stochastic

    def currents(self, x: Spikes) -> Tensor:
        """What the spikes `(B, T, *N_in)` send through the weights, `(B, T, K, *N)`."""
        currents = self._currents(x.flatten(0, 1) if isinstance(x, Tensor) else x)
        return currents.view(*x.shape[:2], *currents.shape[1:])

    def _currents(self, x: Spikes, detach: bool = False) -> Tensor:
        """Spikes of any number of steps `(R, *N_in)`, or lists of them, to `(R, K, *N)`."""
        if detach:
            weights = {name: w.detach() for name, w in self.synapses.named_parameters()}
            out = torch.func.functional_call(cast(nn.Module, self.synapses), weights, (x,))
        else:
            out = self.synapses(x)
        expected = (self.filter.num_filters * self.shape[0], *self.shape[1:])
        if out.shape[1:] != expected:
            got, came = tuple(out.shape[1:]), tuple(x.shape[1 if isinstance(x, Tensor) else 2 :])
            raise ValueError(f"inputs {came} make currents {got}, expected {expected}")
        currents: Tensor = out.view(-1, self.filter.num_filters, *self.shape)
        return currents

    def _distance(self, potential: Tensor) -> Tensor:
        return (potential + (self.bias - self.threshold)) * (1 / self.width)

    def drive(self, x: Spikes) -> Tensor:
        """Distance from threshold but for the neurons' own feedback, for all steps at once.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.

        Returns:
            `(B, T, *N)`.
        """
        currents = self.currents(x)
        return dispatch.drive(currents, self.filter, self.bias - self.threshold, self.width)

    def same_step_drive(self, x: Tensor) -> Tensor:
        """The part of the drive at t that spikes at t cause, with the weights held constant."""
        currents = single(self._currents(x.flatten(0, 1), detach=True))
        at_once = self.filter.impulse_response(1)[:, 0].to(currents)
        now = torch.einsum("k,rk...->r...", at_once, currents)
        return now.view(*x.shape[:2], *self.shape) / self.width

    def forward(
        self, x: Spikes, fire: Fire | None = None, noise: Draws | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes and distances from threshold over a whole sequence.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.
            fire: how the neurons fire; as the layer was made by default.
            noise: `(B, T, *N)`, uniform in (0, 1), or `LayerNoise` of B rows, for a stochastic
                threshold.

        Returns:
            Spikes and v, each `(B, T, *N)`.
        """
        fire = self._firing(fire, noise, *x.shape[:2])
        # Named, so that they are freed last: otherwise the allocator gives their pages back to the
        # system and asks for them again at every step, a tenth of its time.
        currents = self.currents(x)
        shift, gain = self.bias - self.threshold, self.gain / self.width
        own = gain, self.feedback, fire, noise, self.ATTACHED
        return dispatch.respond(currents, self.filter, shift, self.width, *own)

    def _firing(self, fire: Fire | None, noise: Draws | None, *rows: int) -> Fire:
        fire = fire or self.fire
        if fire.stochastic:
            check_draws(noise, (*rows, *self.shape), type(fire).__name__)
        return fire

    def respond(
        self, drive: Tensor, fire: Fire | None = None, noise: Draws | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes and v of a given drive, each `(B, T, *N)`."""
        fire = self._firing(fire, noise, *drive.shape[:2])
        own = self.gain / self.width, self.feedback, fire, noise, self.ATTACHED
        return dispatch.scan(drive, *own)

    def given(self, drive: Tensor, spikes: Tensor) -> Tensor:
        """v at every step given the neurons' own past spikes: `drive + gain (nu * s)[t - 1]`.

        All steps at once: the threshold is autoregressive through its feedback only.
        """
        return drive + self.gain / self.width * over(self.feedback, spikes)

    def step(
        self,
        x: Tensor,
        state: tuple[State, State] | None,
        fire: Fire | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, tuple[State, State]]:
        """One step of `forward`: `(B, *N_in)` to spikes and v, `(B, *N)`, and the next state.

        The state is that of the filter and that of the feedback; None before the first step.
        """
        fire = self._firing(fire, noise, len(x))
        synaptic, own = state or ((), ())
        potential, synaptic = self.filter.step(single(self._currents(x)), synaptic)
        v = self._distance(potential) + self.gain / self.width * self.feedback.read(own)
        s = fire(v, noise)
        return s, v, (synaptic, self.feedback.write(own, s))

    def trace(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Each filter of one step's spikes, `(B, *N_in)` to `(B, K, *N_in)`, and their state."""
        count = self.filter.num_filters
        eye = torch.eye(count, dtype=x.dtype, device=x.device)
        # The filter sums over filters: give each of K copies of the input to one filter alone.
        alone = eye.view(1, count, count, *[1] * (x.dim() - 1)) * x[:, None, None]
        return self.filter.step(alone, state or ())

    def from_traces(self, traces: Tensor, fed_back: Tensor) -> Tensor:
        """v from traces `(R, K, *N_in)` and `(nu * s)[t - 1]`, `(R, *N)`; `(R, *N)`."""
        count = self.filter.num_filters
        currents = single(self.synapses(traces.flatten(0, 1))).view(-1, count, count, *self.shape)
        potential = currents.diagonal(dim1=1, dim2=2).sum(-1)  # filter k of the trace of filter k
        return (potential + self.bias - self.threshold + self.gain * fed_back) / self.width

    def expansion(self, longest: int) -> Expansion | None:
        """What spikes add to the coming v; None where that lasts, or the layer is not dense."""
        eps, nu = self.filter.impulse_response(longest), self.feedback.impulse_response(longest)
        if not isinstance(self.synapses, Dense) or max(eps.shape[1], len(nu)) >= longest:
            return None
        weight = self.synapses.weight
        by_filter = weight.reshape(len(eps), self.shape[0], -1)
        return Expansion(
            torch.einsum("knj,kl->jln", by_filter, eps.to(weight)) / self.width,
            torch.outer(nu.to(weight), self.gain / self.width),
            (self.bias - self.threshold) / self.width,
        )

    @torch.no_grad()
    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Scale the weights so that the potentials of `x` are of the order of the threshold.

        Afterwards the feed-forward part of the potential has root mean square `spread` times the
        threshold's width over `x`. With `rate`, the bias makes a silent stochastic neuron fire with
        that probability per step.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists, a batch of the kind the layer will see.
            spread: dimensionless.
            rate: spikes per step, in (0, 1).

        Raises:
            ValueError: where `x` leaves every potential at zero.
        """
        if not spread > 0 or (rate is not None and not 0 < rate < 1):
            raise ValueError(f"expected spread > 0 and rate in (0, 1), got {spread} and {rate}")
        constant = self._distance(torch.zeros_like(self.bias))  # to the last bit as in `drive`
        rms = (self.drive(x) - constant).square().mean().sqrt()
        if not rms > 0:
            raise ValueError(UNMOVED)
        for _, weight in self.synapses.named_parameters():
            weight.mul_(spread / rms)
        if rate is not None:
            self.bias.fill_(self.threshold + self.width * math.log(rate / (1 - rate)))
