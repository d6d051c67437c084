"""Fused layers: filter, threshold and refractoriness of all steps in one compiled pass.

What `vdib.dynamics.filters` and `scan` compute, in single precision, for the filters, feedbacks and
thresholds that have kernels: spikes agree to the last one, gradients to rounding. The kernels are
in numba for CPUs and in Triton, not measured, for CUDA. Everything else takes the plain code. So
does everything inside `plain()`, and everything where the environment variable `VDIB_PLAIN` is set.
Currents that come in bfloat16, of mixed precision, are read as such and receive their gradient so;
hidden layers then also store their spikes, which lose nothing by it, and v, where it is only wanted
for the slope of a threshold. What adds up over time stays in single precision.

Legend: B batch, T steps, K kernels, N neurons (any number of trailing axes).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from vdib.backends.cpu import launch as numba_launch
from vdib.backends.describe import compiled, compiled_for, known
from vdib.dynamics.feedback import Feedback
from vdib.dynamics.filters import Filter
from vdib.dynamics.firing import Fire, Threshold
from vdib.noise import Draws, Stream

BY_TRITON = ("cuda",)
"""Devices whose layers run in Triton; tests put the CPU here, for Triton's interpreter."""

_enabled = "VDIB_PLAIN" not in os.environ


@contextmanager
def plain() -> Iterator[None]:
    """Everything inside runs in plain PyTorch."""
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


def fits(x: Tensor, *parts: object) -> bool:
    """Whether there is a kernel for `x` and for each of a layer's parts."""
    return (
        _enabled
        and x.device.type in ("cpu", *BY_TRITON)
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.numel() > 0
        and not torch.compiler.is_compiling()
        and all(known(part) for part in parts)
        and (compiled_for(x.device) if by_triton(x) else compiled())
    )


def by_triton(x: Tensor) -> bool:
    """Whether the kernels for `x` are those of `vdib.backends.cuda.layer_kernels`."""
    return x.device.type in BY_TRITON


def on_cpu(x: Tensor) -> bool:
    """Whether `x` may go to the kernels that only CPUs have, which are all but the layers'."""
    return x.device.type == "cpu" and fits(x)


def _launcher(x: Tensor) -> ModuleType:
    if not by_triton(x):
        return numba_launch
    from vdib.backends.cuda import launch as triton_launch

    return triton_launch


def uniform(stream: Stream, num_steps: int, shape: tuple[int, ...]) -> Tensor:
    """`stream.uniform(num_steps, shape)`, drawn by the kernel where there is one."""
    size = len(stream), num_steps, *shape
    out = torch.empty(size, device=stream.keys.device, dtype=torch.float32)
    if not on_cpu(out):
        return stream.uniform(num_steps, shape)
    numba_launch.uniform(stream, out)
    return out


def drive(currents: Tensor, filter: Filter, shift: Tensor, width: float) -> Tensor:
    """`(eps * currents + shift) / width`, `(B, T, K, *N)` to `(B, T, *N)`.

    Args:
        currents: `(B, T, K, *N)`.
        filter: the kernels eps.
        shift: broadcastable to `(*N)`, bias minus threshold.
        width: of the threshold, in units of the potential.
    """
    parts = (filter, None, None)
    v: Tensor
    _, v = _Fused.apply(currents, shift, shift.detach(), width, parts, None)  # type: ignore[no-untyped-call, unused-ignore]
    return v


def respond(
    currents: Tensor,
    filter: Filter | None,
    shift: Tensor,
    width: float,
    gain: Tensor,
    feedback: Feedback,
    fire: Fire,
    noise: Draws | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes and distances from threshold v, each `(B, T, *N)`, as `scan` of `drive`.

    Args:
        currents: `(B, T, K, *N)`; without a filter the drive itself, as `(B, T, 1, *N)`.
        filter: the kernels eps.
        shift: broadcastable to `(*N)`, bias minus threshold; not used without a filter.
        width: of the threshold, in units of the potential; not used without a filter.
        gain: broadcastable to `(*N)`, the weight of the neuron's own feedback in v.
        feedback: the kernel nu.
        fire: how the neurons fire.
        noise: `(B, T, *N)` uniform in (0, 1) or a stream of B rows, for a stochastic threshold.
    """
    parts = (filter, feedback, fire)
    spikes, v = _Fused.apply(currents, shift, gain, width, parts, noise)  # type: ignore[no-untyped-call, unused-ignore]
    return spikes, v


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,
        shift: Tensor,
        gain: Tensor,
        width: float,
        parts: tuple[Any, Any, Any],
        noise: Draws | None,
    ) -> tuple[Tensor | None, Tensor]:
        fire = parts[2]
        shape = currents.shape[:2] + currents.shape[3:]
        # A deterministic threshold's spikes can be told from v.
        told = isinstance(fire, Threshold)
        dtype = currents.dtype if told else torch.float32
        v = currents.new_empty(shape, dtype=dtype)
        spikes = currents.new_empty(shape, dtype=dtype) if fire else None
        _launcher(v).forward(currents, shift, width, gain, parts, noise, spikes, v)
        ctx.save_for_backward(None if told else spikes, v, shift, gain)
        ctx.parts, ctx.width = parts, width
        ctx.currents_shape, ctx.currents_dtype = currents.shape, currents.dtype
        ctx.set_materialize_grads(False)
        return spikes, v

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        spikes, v, shift, gain = ctx.saved_tensors
        grad_currents = v.new_empty(ctx.currents_shape, dtype=ctx.currents_dtype)
        grad_shift, grad_gain = shift.new_empty((2, len(v), *v.shape[2:]))
        out = grad_currents, grad_shift, grad_gain
        _launcher(v).backward(*grads, ctx.width, gain, ctx.parts, spikes, v, *out)
        return (
            grad_currents,
            grad_shift.sum(0).sum_to_size(shift.shape),
            grad_gain.sum(0).sum_to_size(gain.shape),
            None,
            None,
            None,
        )
