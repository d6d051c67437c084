"""The leaky neurons of `vdib.backends.fused_leaky` handed to the CPU's kernels.

Legend: B batch, T steps, N neurons (any number of axes).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vdib.backends.cpu.launch import in_threads, per_neuron, rows
from vdib.backends.describe import Slope
from vdib.dynamics.integrate_and_fire import Reset


def _items(v: Tensor, distances: NDArray[Any]) -> tuple[int, int, int]:
    """Work items and elements, and T."""
    from vdib.backends.cpu.layer_state import NEURON_BLOCK

    blocks = math.ceil(distances.shape[1] / NEURON_BLOCK)
    return len(v) * blocks, v.numel(), v.shape[1]


def forward(
    currents: Tensor,  # B T *N
    bias: Tensor,  # broadcastable to *N, as all that follow
    decay: Tensor,
    theta: Tensor,
    width: Tensor,
    reset: Reset,
    spikes: Tensor,  # B T *N
    v: Tensor,  # B T *N
) -> None:
    """Fill `spikes` and `v`."""
    from vdib.backends.cpu.leaky_kernels import forward as kernel_for

    constants = bias, decay, theta, width.reciprocal()
    distances = rows(v)
    in_threads(
        kernel_for(reset.to_zero),
        *_items(v, distances),
        rows(currents),
        *(per_neuron(constant, v) for constant in constants),
        rows(spikes),
        distances,
    )


def backward(
    grad_spikes: Tensor | None,  # B T *N
    grad_v: Tensor | None,  # B T *N
    bias: Tensor,  # broadcastable to *N, as all that follow
    decay: Tensor,
    theta: Tensor,
    width: Tensor,
    reset: Reset,
    slope: Slope,
    v: Tensor,  # B T *N
    grad_currents: Tensor,  # B T *N
    sums: Tensor,  # 1 or 4, B *N
) -> None:
    """Fill the last two."""
    from vdib.backends.cpu.leaky_kernels import backward as kernel_for

    distances = rows(v)  # also in the place of what there is not, which that kind never touches
    reached = grad_spikes is not None, grad_v is not None
    by_spikes, by_v = (distances if x is None else rows(x) for x in (grad_spikes, grad_v))
    constants = decay, theta, width, width.reciprocal()
    in_threads(
        kernel_for(reset.to_zero, reset.detached, slope.kind, *reached, len(sums) > 1),
        *_items(v, distances),
        by_spikes,
        by_v,
        *(per_neuron(constant, v) for constant in constants),
        np.float32(slope.p),
        np.float32(slope.q),
        distances,
        rows(grad_currents),
        rows(sums),
    )
