"""Fused layers: filter, threshold and refractoriness of all steps in one compiled pass.

What `vdib.filters` and `vdib.scan` compute, in single precision, for the filters, feedbacks and
thresholds that have kernels: spikes agree to the last one, gradients to rounding. The kernels are
in numba for CPUs and in Triton, not measured, for CUDA. Everything else takes the plain code. So
does everything inside `plain()`, and everything where the environment variable `VDIB_PLAIN` is set.

On CPUs, work is split over `torch.get_num_threads()` threads of our own, so that torch's setting is
obeyed.
Legend: B batch, T steps, K kernels, N neurons (any number of trailing axes).
"""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdib import kernel_kinds as kinds
from vdib.filters import Filter
from vdib.kernel_arguments import (
    compiled,
    compiled_for,
    feedback_arguments,
    filter_arguments,
    fire_arguments,
    known,
)
from vdib.noise import Draws, Stream
from vdib.scan import Feedback, Fire
from vdib.surrogate import Threshold

SMALL = 20_000
"""Elements below which a second thread costs more than it saves."""

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
        and x.dtype == torch.float32
        and x.numel() > 0
        and not torch.compiler.is_compiling()
        and all(known(part) for part in parts)
        and (compiled_for(x.device) if by_triton(x) else compiled())
    )


def by_triton(x: Tensor) -> bool:
    """Whether the kernels for `x` are those of `vdib.triton_kernels`."""
    return x.device.type in BY_TRITON


def on_cpu(x: Tensor) -> bool:
    """Whether `x` may go to the kernels that only CPUs have, which are all but the layers'."""
    return x.device.type == "cpu" and fits(x)


_EMPTY = np.zeros((0, 0, 0), np.float32)


def _noise_arguments(noise: Draws | None) -> tuple[Any, ...]:
    if isinstance(noise, Stream):
        return kinds.ADDRESSED, _EMPTY, noise.keys.contiguous().numpy().view(np.uint64)
    if isinstance(noise, Tensor):
        return kinds.GIVEN, _rows(noise.float()), np.zeros(0, np.uint64)
    return kinds.NO_NOISE, _EMPTY, np.zeros(0, np.uint64)


def _rows(x: Tensor, axes: int = 2) -> NDArray[np.float32]:
    """The leading axes kept, the rest flattened."""
    array: NDArray[np.float32] = x.detach().contiguous().view(*x.shape[:axes], -1).numpy()
    return array


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Per process, as threads do not survive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix="vdib")


def spread(kernel: Callable[..., None], items: int, elements: int, *arguments: Any) -> None:
    """`kernel(first, last, *arguments)` over `items` work items, on torch's number of threads."""
    threads = min(torch.get_num_threads(), items) if elements > SMALL else 1
    if threads == 1:
        return kernel(0, items, *arguments)
    bounds = [items * i // threads for i in range(threads + 1)]
    pool = _pool(os.getpid(), threads - 1)
    waiting = [pool.submit(kernel, *pair, *arguments) for pair in pairwise(bounds[1:])]
    kernel(bounds[0], bounds[1], *arguments)
    for future in waiting:
        future.result()


def uniform(stream: Stream, num_steps: int, shape: tuple[int, ...]) -> Tensor:
    """`stream.uniform(num_steps, shape)`, drawn by the kernel where there is one."""
    out = torch.empty(len(stream), num_steps, *shape, device=stream.keys.device)
    if not on_cpu(out):
        return stream.uniform(num_steps, shape)
    from vdib import kernels

    keys = stream.keys.contiguous().numpy().view(np.uint64)
    spread(kernels.draw, len(out), out.numel(), keys, np.uint64(0), _rows(out, 1))
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
    """Spikes and distances from threshold v, each `(B, T, *N)`, as `vdib.scan.scan` of `drive`.

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
        filter, feedback, fire = parts
        shape = currents.shape[:2] + currents.shape[3:]
        v = currents.new_empty(shape)
        spikes = currents.new_empty(shape) if fire else None
        size = math.prod(shape[2:])
        neurons = shape[2:]
        if by_triton(v):
            from vdib import triton_launch

            triton_launch.forward(currents, shift, width, gain, parts, noise, spikes, v)
        else:
            from vdib import kernels

            spread(
                kernels.forward,
                shape[0] * math.ceil(size / kernels.BLOCK),
                v.numel(),
                _rows(currents, 3),
                *filter_arguments(filter)[0],
                shift.detach().expand(neurons).reshape(-1).numpy(),
                np.float32(width),
                gain.detach().expand(neurons).reshape(-1).numpy(),
                *feedback_arguments(feedback),
                *fire_arguments(fire)[0],
                *_noise_arguments(noise),
                _EMPTY if spikes is None else _rows(spikes),
                _rows(v),
            )
        # A deterministic threshold's spikes can be told from v.
        told = isinstance(fire, Threshold)
        ctx.save_for_backward(None if told else spikes, v, shift, gain)
        ctx.parts, ctx.width, ctx.currents_shape = parts, width, currents.shape
        ctx.set_materialize_grads(False)
        return spikes, v

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        spikes, v, shift, gain = ctx.saved_tensors
        filter, feedback, fire = ctx.parts
        grad_currents = v.new_empty(ctx.currents_shape)
        neurons = v.shape[2:]
        size = math.prod(neurons)
        grad_shift, grad_gain = v.new_empty((2, len(v), *neurons))
        if by_triton(v):
            from vdib import triton_launch

            out = grad_currents, grad_shift, grad_gain
            triton_launch.backward(grads[0], grads[1], ctx.width, gain, ctx.parts, spikes, v, *out)
        else:
            from vdib import kernels

            spread(
                kernels.backward,
                len(v) * math.ceil(size / kernels.BLOCK),
                v.numel(),
                *(_EMPTY if grad is None else _rows(grad) for grad in grads),
                *filter_arguments(filter)[1],
                np.float32(ctx.width),
                gain.detach().expand(neurons).reshape(-1).numpy(),
                *feedback_arguments(feedback),
                *fire_arguments(fire)[1],
                _EMPTY if spikes is None else _rows(spikes),
                _rows(v),
                _rows(grad_currents, 3),
                _rows(grad_shift, 1),
                _rows(grad_gain, 1),
            )
        return (
            grad_currents,
            grad_shift.sum(0).sum_to_size(shift.shape),
            grad_gain.sum(0).sum_to_size(gain.shape),
            None,
            None,
            None,
        )
