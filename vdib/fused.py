"""Fused layers: filter, threshold and refractoriness of all steps in one compiled pass.

What `vdib.filters` and `vdib.scan` compute, on CPUs, in single precision, for the filters,
feedbacks and thresholds that have kernels: spikes agree to the last one, gradients to rounding.
Currents that come in bfloat16, of mixed precision, are read as such and receive their gradient so;
hidden layers then also store their spikes, which lose nothing by it, and v, where it is only wanted
for the slope of a threshold. What adds up over time stays in single precision.
Everything else takes the plain code. So does everything inside `plain()`, and everything where the
environment variable `VDIB_PLAIN` is set.

Work is split over `torch.get_num_threads()` threads of our own, so that torch's setting is obeyed.
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

from vdib.filters import Filter
from vdib.kernel_arguments import (
    compiled,
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
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.numel() > 0
        and not torch.compiler.is_compiling()
        and all(known(part) for part in parts)
        and compiled()
    )


_EMPTY = np.zeros((0, 0, 0), np.float32)


def _noise_arguments(noise: Draws | None) -> tuple[Any, ...]:
    from vdib import kernels

    if isinstance(noise, Stream):
        return kernels.ADDRESSED, _EMPTY, noise.keys.contiguous().numpy().view(np.uint64)
    if isinstance(noise, Tensor):
        return kernels.GIVEN, _rows(noise.float()), np.zeros(0, np.uint64)
    return kernels.NO_NOISE, _EMPTY, np.zeros(0, np.uint64)


def array(x: Tensor) -> NDArray[Any]:
    """What kernels are given for a tensor: of bfloat16 its bits."""
    x = x.detach().contiguous()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def _rows(x: Tensor, axes: int = 2) -> NDArray[Any]:
    """The leading axes kept, the rest flattened."""
    return array(x).reshape(*x.shape[:axes], -1)


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
    if not fits(out):
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
        from vdib import kernels

        filter, feedback, fire = parts
        shape = currents.shape[:2] + currents.shape[3:]
        # A deterministic threshold's spikes can be told from v.
        told = isinstance(fire, Threshold)
        dtype = currents.dtype if told else torch.float32
        v = currents.new_empty(shape, dtype=dtype)
        spikes = currents.new_empty(shape, dtype=dtype) if fire else None
        size = math.prod(shape[2:])
        neurons = shape[2:]
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
        ctx.save_for_backward(None if told else spikes, v, shift, gain)
        ctx.parts, ctx.width = parts, width
        ctx.currents_shape, ctx.currents_dtype = currents.shape, currents.dtype
        ctx.set_materialize_grads(False)
        return spikes, v

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        from vdib import kernels

        spikes, v, shift, gain = ctx.saved_tensors
        filter, feedback, fire = ctx.parts
        grad_currents = v.new_empty(ctx.currents_shape, dtype=ctx.currents_dtype)
        neurons = v.shape[2:]
        size = math.prod(neurons)
        grad_shift, grad_gain = shift.new_empty((2, len(v), *neurons))
        none = np.zeros((0, 0, 0), array(v).dtype)
        spread(
            kernels.backward,
            len(v) * math.ceil(size / kernels.BLOCK),
            v.numel(),
            *(none if grad is None else _rows(grad) for grad in grads),
            *filter_arguments(filter)[1],
            np.float32(ctx.width),
            gain.detach().expand(neurons).reshape(-1).numpy(),
            *feedback_arguments(feedback),
            *fire_arguments(fire)[1],
            none if spikes is None else _rows(spikes),
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
