"""Fused layers: filter, threshold and refractoriness of all steps in one compiled pass.

What `vdib.dynamics.filters` and `scan` compute, in single precision: spikes agree to the last one,
gradients to rounding. Each function here is the second implementation of the one of its name in
`vdib.backends.dispatch`, and raises `NoKernel` for arguments that it does not know.

Currents that come in bfloat16, of mixed precision, are read as such and receive their gradient so;
hidden layers then also store their spikes, which lose nothing by it, and v, where it is only wanted
for the slope of a threshold. What adds up over time stays in single precision.

Legend: B batch, T steps, K filters, N neurons (any number of trailing axes).
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from vdib.backends.available import launcher, on_cpu
from vdib.backends.cpu import launch as numba_launch
from vdib.backends.describe import (
    NO_FILTER,
    NO_FIRE,
    FilterDescription,
    LayerDescription,
    NoKernel,
    describe,
)
from vdib.dynamics.feedback import Feedback
from vdib.dynamics.filters import Filter
from vdib.dynamics.firing import Fire
from vdib.noise import Draws, LayerNoise


def drive(currents: Tensor, filter: Filter, shift: Tensor, width: float) -> Tensor:
    """Of a layer that neither fires nor feeds back."""
    layer = LayerDescription(describe(filter))
    launch = launcher(currents, shift)
    _, v = _run(currents, shift, shift.detach(), width, layer, None, launch)
    return v


def respond(
    currents: Tensor,
    filter: Filter,
    shift: Tensor,
    width: float,
    gain: Tensor,
    feedback: Feedback,
    fire: Fire,
    noise: Draws | None = None,
    attached: bool = True,
) -> tuple[Tensor, Tensor]:
    """Of a layer with all its parts."""
    layer = _description(describe(filter), feedback, fire, gain, attached)
    launch = launcher(currents, shift, gain)
    return _run(currents, shift, gain, width, layer, noise, launch)


def scan(
    drive: Tensor,
    gain: Tensor,
    feedback: Feedback,
    fire: Fire,
    noise: Draws | None = None,
    attached: bool = True,
) -> tuple[Tensor, Tensor]:
    """Of a layer without filter, which takes its currents for the drive and reads no shift."""
    layer = _description(NO_FILTER, feedback, fire, gain, attached)
    return _run(drive[:, :, None], gain.detach(), gain, 1.0, layer, noise, launcher(drive, gain))


def _description(
    filter: FilterDescription, feedback: Feedback, fire: Fire, gain: Tensor, attached: bool
) -> LayerDescription:
    if not attached and gain.requires_grad:
        raise NoKernel("none that learns the gain of a feedback without a gradient through it")
    return LayerDescription(filter, describe(feedback), describe(fire), attached)


def uniform(noise: LayerNoise, num_steps: int, shape: tuple[int, ...]) -> Tensor:
    """On CPUs."""
    size = len(noise), num_steps, *shape
    out = torch.empty(size, device=noise.keys.device, dtype=torch.float32)
    if not on_cpu(out):
        raise NoKernel(f"none to draw {size} on {out.device}")
    numba_launch.uniform(noise, out)
    return out


def _run(*arguments: Any) -> tuple[Tensor, Tensor]:
    spikes, v = _Fused.apply(*arguments)  # type: ignore[no-untyped-call, unused-ignore]
    return spikes, v


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,  # B T K *N
        shift: Tensor,  # broadcastable to *N
        gain: Tensor,  # broadcastable to *N
        width: float,
        layer: LayerDescription,
        noise: Draws | None,
        launch: ModuleType,
    ) -> tuple[Tensor | None, Tensor]:
        shape = currents.shape[:2] + currents.shape[3:]
        dtype = currents.dtype if layer.spikes_from_v else torch.float32
        v = currents.new_empty(shape, dtype=dtype)
        spikes = None if layer.fire is NO_FIRE else currents.new_empty(shape, dtype=dtype)
        launch.forward(currents, shift, width, gain, layer, noise, spikes, v)
        ctx.save_for_backward(None if layer.spikes_from_v else spikes, v, shift, gain)
        ctx.layer, ctx.width, ctx.launch = layer, width, launch
        ctx.currents_shape, ctx.currents_dtype = currents.shape, currents.dtype
        ctx.set_materialize_grads(False)
        return spikes, v

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        spikes, v, shift, gain = ctx.saved_tensors
        layer = ctx.layer
        if not layer.attached:
            layer, gain = layer.without_feedback, torch.zeros_like(gain)
        grad_currents = v.new_empty(ctx.currents_shape, dtype=ctx.currents_dtype)
        grad_shift, grad_gain = shift.new_empty((2, len(v), *v.shape[2:]))
        out = grad_currents, grad_shift, grad_gain
        ctx.launch.backward(*grads, ctx.width, gain, layer, spikes, v, *out)
        return (
            grad_currents,
            grad_shift.sum(0).sum_to_size(shift.shape),
            grad_gain.sum(0).sum_to_size(gain.shape),
            *[None] * 4,
        )
