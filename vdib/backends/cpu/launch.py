"""The layers of `vdib.backends.fused` handed to the CPU's kernels, over threads of our own.

Work is split over `torch.get_num_threads()` of them, so that torch's setting is obeyed. Numba loads
at the first launch. Legend: B batch, T steps, K filters, N neurons (any number of axes).
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdib.backends import kinds
from vdib.backends.describe import LayerDescription
from vdib.backends.settings import settings
from vdib.noise import Draws, LayerNoise

_NO_KEYS = np.zeros(0, np.uint64)


def array(x: Tensor) -> NDArray[Any]:
    """What kernels are given for a tensor: of bfloat16 its bits."""
    x = x.detach().contiguous()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def rows(x: Tensor, axes: int = 2) -> NDArray[Any]:
    """The leading axes flattened, and the others."""
    return array(x).reshape(math.prod(x.shape[:axes]), -1)


def per_neuron(x: Tensor, v: Tensor) -> NDArray[Any]:
    return array(x.detach().expand(v.shape[2:])).reshape(-1)


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Per process, as threads do not survive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix="vdib")


def in_threads(kernel: Callable[..., None], items: int, elements: int, *arguments: Any) -> None:
    """`kernel(first, last, *arguments)` over `items` work items, on torch's number of threads."""
    threads = min(torch.get_num_threads(), items) if elements > settings().thread_from else 1
    if threads == 1:
        return kernel(0, items, *arguments)
    bounds = [items * i // threads for i in range(threads + 1)]
    pool = _pool(os.getpid(), threads - 1)
    waiting = [pool.submit(kernel, *pair, *arguments) for pair in pairwise(bounds[1:])]
    kernel(bounds[0], bounds[1], *arguments)
    for future in waiting:
        future.result()


def uniform(noise: LayerNoise, out: Tensor) -> None:
    """Fill `out`, `(B, T, *N)`, with the first T steps of a layer's noise."""
    from vdib.backends.cpu.noise import draw

    in_threads(draw, len(out), out.numel(), _keys(noise), np.uint64(0), rows(out, 1))


def _keys(noise: LayerNoise) -> NDArray[np.uint64]:
    return noise.keys.contiguous().numpy().view(np.uint64)


def forward(
    currents: Tensor,  # B T K *N
    shift: Tensor,  # broadcastable to *N
    width: float,
    gain: Tensor,  # broadcastable to *N
    layer: LayerDescription,
    noise: Draws | None,
    spikes: Tensor | None,  # B T *N
    v: Tensor,  # B T *N
) -> None:
    """Fill `spikes` and `v`."""
    from vdib.backends.cpu.layer_forward import forward as kernel_for
    from vdib.backends.cpu.layer_state import NEURON_BLOCK

    filter, feedback, fire = layer.filter, layer.feedback, layer.fire
    distances = rows(v)  # also in the place of what there is not, which that kind never touches
    noise_kind, given, keys = kinds.NO_NOISE, distances, _NO_KEYS
    if isinstance(noise, LayerNoise):
        noise_kind, keys = kinds.ADDRESSED, _keys(noise)
    elif isinstance(noise, Tensor):
        noise_kind, given = kinds.GIVEN, rows(noise.float())
    in_threads(
        kernel_for(filter.kind, feedback.kind, fire.kind, noise_kind),
        len(v) * math.ceil(distances.shape[1] / NEURON_BLOCK),
        v.numel(),
        *currents.shape[1:3],
        rows(currents, 3),
        *filter.forward,
        per_neuron(shift, v),
        np.float32(1 / width),
        per_neuron(gain, v),
        feedback.nu,
        np.float32(fire.temperature),
        given,
        keys,
        distances if spikes is None else rows(spikes),
        distances,
    )


def backward(
    grad_spikes: Tensor | None,  # B T *N
    grad_v: Tensor | None,  # B T *N
    width: float,
    gain: Tensor,  # broadcastable to *N
    layer: LayerDescription,
    spikes: Tensor | None,  # B T *N, None where v > 0 says the same
    v: Tensor,  # B T *N
    grad_currents: Tensor,  # B T K *N
    grad_shift: Tensor,  # B *N
    grad_gain: Tensor,  # B *N
) -> None:
    """Fill the last three."""
    from vdib.backends.cpu.layer_backward import backward as kernel_for
    from vdib.backends.cpu.layer_state import NEURON_BLOCK

    filter, feedback, slope = layer.filter, layer.feedback, layer.fire.slope
    given = grad_spikes, grad_v, spikes
    distances = rows(v)  # also in the place of what there is not, which that kind never touches
    by_spikes, by_v, fired = (distances if x is None else rows(x) for x in given)
    in_threads(
        kernel_for(filter.kind, feedback.kind, slope.kind, *(x is not None for x in given)),
        len(v) * math.ceil(distances.shape[1] / NEURON_BLOCK),
        v.numel(),
        *grad_currents.shape[1:3],
        by_spikes,
        by_v,
        *filter.backward,
        np.float32(1 / width),
        per_neuron(gain, v),
        feedback.nu,
        np.float32(slope.p),
        np.float32(slope.q),
        fired,
        distances,
        rows(grad_currents, 3),
        rows(grad_shift, 1),
        rows(grad_gain, 1),
    )
