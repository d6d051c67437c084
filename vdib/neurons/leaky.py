"""Leaky integrate-and-fire neurons: of either reset, with constants that are fixed or learned.

    I[t] = W x[t] + b
    U[t] = beta U[t-1] + I[t] - theta S[t-1]          reset by subtraction
    U[t] = beta (1 - S[t-1]) U[t-1] + I[t]            reset to zero
    v[t] = (U[t] - theta) / width,     S[t] = 1[v[t] > 0]

As `leaky` makes them they are those of snnTorch, `snntorch.Leaky` behind `nn.Linear`: the reset is
*detached*, it carries no gradient, so that dU[t]/dU[t-1] = beta (0 where a neuron was reset to
zero) whatever a spike depends on. Eshraghian et al., "Training Spiking Neural Networks Using
Lessons from Deep Learning", 2023, https://arxiv.org/abs/2109.12894.

What differs from `vdib.neurons.lif`: the bias is a *current*, which the membrane integrates. The
weights and the filter do not commute past it, nor past a decay that is learned or a reset to zero,
so that e-prop, direct feedback and online learning refuse these neurons.

Legend: B batch, T steps, N neurons (dense: N; convolutional: C, H, W).
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from vdib.backends import dispatch
from vdib.dynamics.firing import Fire, Threshold
from vdib.dynamics.integrate_and_fire import Reset, step
from vdib.dynamics.surrogate import Surrogate, arctan
from vdib.neurons.constants import Decay, Positive
from vdib.neurons.layer import UNMOVED, Connect, Synapses
from vdib.noise import Draws, check_draws
from vdib.precision import single
from vdib.sparse import Spikes

ResetName = Literal["subtract", "zero"]
Learned = Sequence[Literal["beta", "theta", "width"]]

State = tuple[Tensor, Tensor]
"""U and S of the last step, `(B, *N)`."""


class Leaky(nn.Module):
    """One layer of them.

    Args:
        synapses: from one step's spikes to a current per neuron.
        shape: of the neurons, `(N,)` or `(C, H, W)`.
        fire: how the neurons fire, where a call does not say.
        reset: what a spike does to its neuron.
        beta: what a step leaves of the potential, in [0, 1).
        theta: the threshold.
        width: of the threshold, in units of the potential: the surrogate is felt at this scale.
        learn: which of the three training moves.
        shared: whether a learned constant is one number for the layer or one per neuron.
        decay_input: whether currents are scaled by 1 - beta, as those of a low-pass filter are.

    Raises:
        ValueError: a constant out of its range, or no such constant to learn.
    """

    stochastic = False

    def __init__(
        self,
        synapses: Synapses,
        shape: tuple[int, ...],
        fire: Fire,
        reset: Reset,
        beta: float,
        theta: float,
        width: float = 1.0,
        learn: Learned = (),
        shared: bool = True,
        decay_input: bool = False,
    ) -> None:
        super().__init__()
        if unknown := set(learn) - {"beta", "theta", "width"}:
            raise ValueError(f"learn: got {min(unknown)!r}, expected some of beta, theta and width")
        own = (shape[0],) + (1,) * (len(shape) - 1)  # per neuron, or per channel
        each: tuple[int, ...] = () if shared else own
        self.synapses = synapses
        self.input_shape = synapses.input_shape
        self.shape = shape
        self.fire = fire
        self.reset = reset
        self.decay_input = decay_input
        self.beta = Decay("beta", beta, "beta" in learn, each)
        self.theta = Positive("theta", theta, "theta" in learn, each)
        self.width = Positive("width", width, "width" in learn, each)
        weights = [weight.numel() for _, weight in synapses.named_parameters()]
        # As PyTorch draws a bias, by the fan-in; none where weights are fixed.
        bound = math.sqrt(shape[0] / weights[0]) if weights else 0.0
        self.bias = nn.Parameter(torch.empty(own).uniform_(-bound, bound))
        self.scaled = False

    def constants(self) -> tuple[Tensor, Tensor, Tensor]:
        """Decay, threshold and width, in units of what the membrane adds up, `()` or per neuron.

        Scaled currents make a scaled potential, which is the same as another scale of threshold.
        """
        beta = self.beta(self.bias)
        unit = 1 - beta if self.decay_input else 1
        return beta, self.theta(self.bias) / unit, self.width(self.bias) / unit

    def currents(self, x: Spikes) -> Tensor:
        """W x, `(B, T, *N_in)` to `(B, T, *N)`."""
        steps = x.shape[1]
        if isinstance(x, Tensor) and steps > 1 and x.stride(1) == 0:
            return self.currents(x[:, :1]).expand(-1, steps, *self.shape)  # constant: goes in once
        rows = x.flatten(0, 1) if isinstance(x, Tensor) else x
        return self.synapses(rows).view(*x.shape[:2], *self.shape)

    def forward(
        self, x: Spikes, fire: Fire | None = None, noise: Draws | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes and v of whole sequences, each `(B, T, *N)`."""
        fire = self._firing(fire, noise, *x.shape[:2])
        return dispatch.integrate_and_fire(
            self.currents(x), self.bias, *self.constants(), self.reset, fire, noise
        )

    def _firing(self, fire: Fire | None, noise: Draws | None, *rows: int) -> Fire:
        fire = fire or self.fire
        if fire.stochastic:
            check_draws(noise, (*rows, *self.shape), type(fire).__name__)
        return fire

    def step(
        self,
        x: Tensor,
        state: State | None,
        fire: Fire | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """One step of `forward`, and what the neurons remember."""
        fire = self._firing(fire, noise, len(x))
        current = single(self.synapses(x).view(-1, *self.shape)) + self.bias
        decay, theta, width = self.constants()
        zeros = torch.zeros_like(current)
        potential = step(current, state or (zeros, zeros), decay, theta, self.reset)
        v = (potential - theta) * width.reciprocal()
        spikes = fire(v, noise)
        return spikes, v, (potential, spikes)

    @torch.no_grad()
    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Scale the weights so that the spikes `x` make potentials of rms `spread` theta.

        A bias is a current, of which a silent membrane comes to hold `bias / (1 - beta)`: as drawn,
        many thresholds where the membrane forgets slowly. It is scaled once, so that this comes to
        as many thresholds as were drawn.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.
            spread: dimensionless.
            rate: of a stochastic layer only, which this is not.

        Raises:
            ValueError: where `x` leaves every potential at zero.
        """
        if not spread > 0 or (rate is not None and not 0 < rate < 1):
            raise ValueError(f"expected spread > 0 and rate in (0, 1), got {spread} and {rate}")
        decay, theta, _ = self.constants()
        potential, squares, currents = theta.new_zeros(()), [], single(self.currents(x))
        for current in currents.unbind(1):
            potential = decay * potential + current
            squares.append((potential / theta).square().mean())
        rms = torch.stack(squares).mean().sqrt()
        if not rms > 0:
            raise ValueError(UNMOVED)
        for _, weight in self.synapses.named_parameters():
            weight.mul_(spread / rms)
        if not self.scaled:
            self.bias.mul_((1 - decay) * theta)
            self.scaled = True


def leaky(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    beta: float = 0.95,
    theta: float = 1.0,
    width: float = 1.0,
    reset: ResetName = "subtract",
    detach: bool = True,
    learn: Learned = (),
    shared: bool = True,
) -> Leaky:
    """A layer of them.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes; arctan by default.
        beta: what a step leaves of the potential, in [0, 1).
        theta: the threshold.
        width: of the surrogate, in units of the potential.
        reset: by subtraction of theta, or to zero.
        detach: whether the reset carries no gradient.
        learn: which of beta, theta and width training moves.
        shared: whether a learned constant is one number for the layer or one per neuron.
    """
    rule, fire = Reset.of(reset, detach), Threshold(surrogate or arctan)
    return Leaky(connect(1), shape, fire, rule, beta, theta, width, learn, shared)
