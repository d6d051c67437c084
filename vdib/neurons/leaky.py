"""Leaky integrate-and-fire neurons as snnTorch trains them: `snntorch.Leaky` behind `nn.Linear`.

    I[t] = W x[t] + b
    U[t] = beta U[t-1] + I[t] - theta S[t-1],     S[t] = 1[U[t] > theta],     v = U - theta

What differs from `vdib.neurons.lif`: the bias is a *current*, which the membrane integrates, and
the reset is *detached*, it carries no gradient: dU[t]/dU[t-1] = beta whether or not the neuron
fired. The weights and the filter do not commute past the bias, so that e-prop, direct feedback and
online learning refuse these neurons. Eshraghian et al., "Training Spiking Neural Networks Using
Lessons from Deep Learning", 2023, https://arxiv.org/abs/2109.12894.

Legend: B batch, T steps, N neurons (dense: N; convolutional: C, H, W).
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from vdib.backends import dispatch
from vdib.dynamics.feedback import ExponentialFeedback, Feedback
from vdib.dynamics.filters import ExponentialPair, State
from vdib.dynamics.firing import Fire, Threshold
from vdib.dynamics.surrogate import Surrogate, arctan
from vdib.neurons.layer import Connect, Synapses
from vdib.noise import Draws
from vdib.precision import single
from vdib.sparse import Spikes


class Leaky(nn.Module):
    """One layer of them.

    Args:
        synapses: from one step's spikes to a current per neuron.
        shape: of the neurons, `(N,)` or `(C, H, W)`.
        fire: how the neurons fire, where a call does not say.
        beta: what a step leaves of the potential, in [0, 1).
        theta: the threshold.
    """

    stochastic = False

    def __init__(
        self, synapses: Synapses, shape: tuple[int, ...], fire: Fire, beta: float, theta: float
    ) -> None:
        super().__init__()
        if not theta > 0:
            raise ValueError(f"theta: got {theta}, expected above 0")
        self.synapses = synapses
        self.input_shape = synapses.input_shape
        self.shape = shape
        self.fire = fire
        self.theta = theta
        self.filter = ExponentialPair(beta, 0.0)
        self.feedback = ExponentialFeedback(beta)
        _, weights = next(iter(synapses.named_parameters()))
        bound = math.sqrt(shape[0] / weights.numel())  # as PyTorch draws a bias, by the fan-in
        own = torch.empty(shape[0]).uniform_(-bound, bound)  # per neuron, or per channel
        self.bias = nn.Parameter(own.view(-1, *[1] * (len(shape) - 1)))

    def drive(self, x: Spikes) -> Tensor:
        """v but for the reset, `(B, T, *N_in)` to `(B, T, *N)`."""
        steps = x.shape[1]
        # A constant current goes through the weights once.
        steady = isinstance(x, Tensor) and steps > 1 and x.stride(1) == 0
        some = x[:, :1] if steady and isinstance(x, Tensor) else x
        rows = some.flatten(0, 1) if isinstance(some, Tensor) else some
        currents = self._currents(rows).view(*some.shape[:2], 1, *self.shape)
        currents = currents.expand(-1, steps, *currents.shape[2:]).contiguous()
        return dispatch.drive(currents, self.filter, self._shift(), 1.0)

    def _currents(self, x: Spikes) -> Tensor:
        """`(R, *N_in)`, or lists of R = B T rows, to `(R, *N)`."""
        return self.synapses(x).view(-1, *self.shape) + self.bias

    def _shift(self) -> Tensor:
        return torch.full_like(self.bias, -self.theta, requires_grad=False)

    def forward(
        self, x: Spikes, fire: Fire | None = None, noise: Draws | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes and v of whole sequences, each `(B, T, *N)`."""
        gain = -self._shift()
        fire = self._firing(fire, noise)
        spikes, v = _Detached.apply(self.drive(x), gain, self.feedback, fire, noise)  # type: ignore[no-untyped-call, unused-ignore]
        return spikes, v

    def _firing(self, fire: Fire | None, noise: Draws | None) -> Fire:
        fire = fire or self.fire
        if fire.stochastic and noise is None:
            raise ValueError(f"{type(fire).__name__} needs noise: uniform numbers in (0, 1)")
        return fire

    def step(
        self,
        x: Tensor,
        state: tuple[State, State] | None,
        fire: Fire | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, tuple[State, State]]:
        """One step of `forward`; the state is that of the current's filter and of the reset."""
        fire = self._firing(fire, noise)
        synaptic, own = state or ((), ())
        potential, synaptic = self.filter.step(single(self._currents(x))[:, None], synaptic)
        v = potential - self.theta + self.theta * self.feedback.read(own)
        s = fire(v, noise)
        return s, v, (synaptic, self.feedback.write(own, s))

    @torch.no_grad()
    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Scale the weights so that the spikes `x` make potentials of rms `spread` theta.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.
            spread: dimensionless.
            rate: of a stochastic layer only, which this is not.

        Raises:
            ValueError: where `x` leaves every potential at zero.
        """
        if not spread > 0 or (rate is not None and not 0 < rate < 1):
            raise ValueError(f"expected spread > 0 and rate in (0, 1), got {spread} and {rate}")
        bias = self.bias.clone()
        self.bias.zero_()
        rms = (self.drive(x) + self.theta).square().mean().sqrt()
        self.bias.copy_(bias)
        if not rms > 1e-6 * self.theta:  # theta is subtracted and added again
            raise ValueError("cannot calibrate a layer on spikes that move no potential")
        for _, weight in self.synapses.named_parameters():
            weight.mul_(spread * self.theta / rms)


class _Detached(torch.autograd.Function):
    """The scan over time, whose backward pass does not go through the neurons' own spikes."""

    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        gain: Tensor,
        feedback: Feedback,
        fire: Fire,
        noise: Draws | None,
    ) -> tuple[Tensor, Tensor]:
        spikes, v = dispatch.scan(drive, gain, feedback, fire, noise)
        ctx.save_for_backward(spikes, v)
        ctx.fire = fire
        return spikes, v

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        spikes, v = ctx.saved_tensors
        grad_spikes, grad_v = grads
        slope = ctx.fire.slope(v, spikes)
        total = grad_v if slope is None else torch.addcmul(grad_v, slope, grad_spikes)
        return total, None, None, None, None


def leaky(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    beta: float = 0.95,
    theta: float = 1.0,
) -> Leaky:
    """A layer of them.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes; arctan by default.
        beta: what a step leaves of the potential, in [0, 1).
        theta: the threshold.
    """
    return Leaky(connect(1), shape, Threshold(surrogate or arctan), beta, theta)
