"""Leaky neurons fused: integration, threshold and reset of all steps in one compiled pass.

What `vdib.dynamics.integrate_and_fire` computes, in single precision: spikes agree to the last one,
gradients to rounding. How numbers are stored is as in `vdib.backends.fused`.

Legend: B batch, T steps, N neurons (any number of trailing axes).
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from vdib.backends import kinds
from vdib.backends.available import where
from vdib.backends.cpu import launch_leaky
from vdib.backends.describe import FireDescription, NoKernel, describe
from vdib.dynamics.firing import Fire
from vdib.dynamics.integrate_and_fire import Reset
from vdib.noise import Draws


def integrate_and_fire(
    currents: Tensor,
    bias: Tensor,
    decay: Tensor,
    theta: Tensor,
    width: Tensor,
    reset: Reset,
    fire: Fire,
    noise: Draws | None = None,
) -> tuple[Tensor, Tensor]:
    """Of neurons with a deterministic threshold."""
    constants = bias, decay, theta, width
    how: FireDescription = describe(fire)
    if how.kind != kinds.THRESHOLD or type(reset) is not Reset:
        raise NoKernel(f"no kernel of leaky neurons for {fire} and {reset}")
    launch = _launcher(currents, *constants)
    spikes, v = _FusedLeaky.apply(currents, *constants, reset, how, launch)  # type: ignore[no-untyped-call, unused-ignore]
    return spikes, v


def _launcher(currents: Tensor, *constants: Tensor) -> ModuleType:
    if where(currents, *constants) == "cpu":
        return launch_leaky
    from vdib.backends.cuda import launch_leaky as triton_launch

    return triton_launch


class _FusedLeaky(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,  # B T *N
        bias: Tensor,  # broadcastable to *N, as all that follow
        decay: Tensor,
        theta: Tensor,
        width: Tensor,
        reset: Reset,
        fire: FireDescription,
        launch: ModuleType,
    ) -> tuple[Tensor, Tensor]:
        constants = bias, decay, theta, width
        v, spikes = currents.new_empty(currents.shape), currents.new_empty(currents.shape)
        launch.forward(currents, *constants, reset, spikes, v)
        ctx.save_for_backward(v, *constants)
        ctx.reset, ctx.fire, ctx.launch = reset, fire, launch
        ctx.set_materialize_grads(False)
        return spikes, v

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        v, bias, decay, theta, width = ctx.saved_tensors
        constants = bias, decay, theta, width
        grad_spikes, grad_v = grads
        by_currents = torch.empty_like(v)
        learned = any(ctx.needs_input_grad[2:5])
        sums = bias.new_empty((4 if learned else 1, len(v), *v.shape[2:]))
        ctx.launch.backward(
            grad_spikes, grad_v, *constants, ctx.reset, ctx.fire.slope, v, by_currents, sums
        )
        grad_constants: list[Tensor | None] = [None] * len(constants)
        for i, (own, constant) in enumerate(zip(sums, constants, strict=learned)):
            grad_constants[i] = own.sum(0).sum_to_size(constant.shape)
        return by_currents, *grad_constants, None, None, None
