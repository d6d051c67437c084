"""Leaky integration up to a threshold, and a reset: to less by theta, or to zero.

    U[t] = decay (1 - h S[t-1]) U[t-1] + I[t] + b - (1 - h) theta S[t-1]
    v[t] = (U[t] - theta) / width,     S[t] = fire(v[t])

with h = 0 for a reset by subtraction, and h = 1 for one to zero. All constants may differ from
neuron to neuron, and all have a gradient. Where nothing is learned and the reset subtracts and
carries gradient, `vdib.dynamics.scan` gives the same with parts whose weights and filters commute.

The width does not move the spikes of a deterministic threshold, only where its surrogate `g` is
felt: dS/dU = g(v) / width. Its gradient is that of v,

    dL/dwidth = -sum_t dL/dv[t] v[t] / width

with g in place of the derivative of the spikes in dL/dv. So the width moves as if a spike were the
soft one whose slope is the surrogate, `G((U - theta) / width)` with G' = g.

Legend: B batch, T steps, N neurons (any trailing axes).
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from vdib.dynamics.firing import Fire


@dataclass(frozen=True)
class Reset:
    """What a spike does to the neuron that emitted it.

    Attributes:
        to_zero: whether the potential is set to zero (h = 1), or loses theta.
        detached: whether the backward pass leaves out that a reset follows from a spike.
    """

    to_zero: bool = False
    detached: bool = False

    @classmethod
    def of(cls, name: str, detached: bool) -> Self:
        """That which `subtract` or `zero` stand for.

        Raises:
            ValueError: another word.
        """
        if name not in ("subtract", "zero"):
            raise ValueError(f"reset: got {name!r}, expected subtract or zero")
        return cls(name == "zero", detached)


def step(
    current: Tensor,
    state: tuple[Tensor, Tensor],
    decay: Tensor,
    theta: Tensor,
    reset: Reset,
) -> Tensor:
    """U[t] from the current `I[t] + b` and the state, U and S of the last step, all `(B, *N)`."""
    potential, spikes = state
    if reset.to_zero:
        return decay * (potential * (1 - spikes)) + current
    return decay * potential + current - theta * spikes


def integrate_and_fire(
    currents: Tensor,
    bias: Tensor,
    decay: Tensor,
    theta: Tensor,
    width: Tensor,
    reset: Reset,
    fire: Fire,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run the neurons over time, from U = 0.

    The backward pass is exact but for `fire.slope` in place of the derivative of the spikes. With
    lambda = dL/dU and c = dL/dv,

        c[t] = g_v[t] + slope[t] (g_s[t] - lambda[t+1] (h decay U[t] + (1 - h) theta))
        lambda[t] = c[t] / width + decay (1 - h S[t]) lambda[t+1]

    where a detached reset leaves out the product with lambda[t+1] in the first line.

    Args:
        currents: I, `(B, T, *N)`.
        bias: b, a current; like all that follow broadcastable to `(*N)`.
        decay: what a step leaves of the potential, dimensionless.
        theta: the threshold, in units of the potential.
        width: of the threshold, in units of the potential.
        reset: what a spike does to its neuron.
        fire: how spikes come about.
        noise: `(B, T, *N)` uniform in (0, 1), for a stochastic threshold.

    Returns:
        Spikes and distances from threshold v, each `(B, T, *N)`.
    """
    spikes, v = _IntegrateAndFire.apply(currents, bias, decay, theta, width, reset, fire, noise)  # type: ignore[no-untyped-call, unused-ignore]
    return spikes, v


class _IntegrateAndFire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,
        bias: Tensor,
        decay: Tensor,
        theta: Tensor,
        width: Tensor,
        reset: Reset,
        fire: Fire,
        noise: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        steepness = width.reciprocal()
        potential = s = torch.zeros_like(currents[:, 0])
        spikes, v = (torch.empty(currents.shape, dtype=s.dtype, device=s.device) for _ in range(2))
        for t in range(currents.shape[1]):
            potential = step(currents[:, t] + bias, (potential, s), decay, theta, reset)
            now = (potential - theta) * steepness
            s = fire(now, None if noise is None else noise[:, t])
            v[:, t], spikes[:, t] = now, s
        ctx.save_for_backward(spikes, v, bias, decay, theta, width)
        ctx.reset, ctx.fire = reset, fire
        return spikes, v

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        spikes, v, bias, decay, theta, width = ctx.saved_tensors
        grad_spikes, grad_v = grads
        to_zero, attached = ctx.reset.to_zero, not ctx.reset.detached
        slope = ctx.fire.slope(v, spikes)
        potential = v * width + theta
        by_u = torch.empty_like(v)
        later = torch.zeros_like(v[:, 0])  # lambda[t + 1]
        none = torch.zeros((), dtype=v.dtype, device=v.device)
        by_bias, by_decay, by_theta, by_width = (none.expand_as(later) for _ in range(4))
        for t in range(v.shape[1] - 1, -1, -1):
            s, u, by_v = spikes[:, t], potential[:, t], grad_v[:, t]
            if slope is not None:
                coming = grad_spikes[:, t]
                if attached:
                    coming = coming - later * (decay * u if to_zero else theta)
                by_v = torch.addcmul(by_v, slope[:, t], coming)
            by_decay = by_decay + later * u * (1 - s if to_zero else 1)
            by_theta = by_theta - by_v / width - (0 if to_zero else later * s)
            by_width = by_width - by_v * v[:, t] / width
            later = by_v / width + decay * later * (1 - s if to_zero else 1)
            by_bias = by_bias + later
            by_u[:, t] = later
        constants = zip(
            (by_bias, by_decay, by_theta, by_width), (bias, decay, theta, width), strict=True
        )
        return (
            by_u,
            *(grad.sum(0).sum_to_size(constant.shape) for grad, constant in constants),
            *[None] * 3,
        )
