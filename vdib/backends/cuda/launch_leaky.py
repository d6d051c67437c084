"""The leaky neurons of `vdib.backends.fused_leaky` handed to the kernels in Triton.

Importing this imports Triton. Legend: B batch, T steps, N neurons (any number of axes).
"""

import numpy as np
from torch import Tensor

from vdib.backends.cuda import leaky_kernels as triton_kernels
from vdib.backends.cuda.launch import launch, per_neuron
from vdib.backends.describe import Slope
from vdib.dynamics.integrate_and_fire import Reset


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
    """Fill `spikes` and `v`, with shapes as in `vdib.backends.fused_leaky`."""
    launch(
        triton_kernels.leaky_forward,
        v,
        TO_ZERO=reset.to_zero,
        currents=currents.detach().contiguous(),
        bias=per_neuron(bias, v),
        decay=per_neuron(decay, v),
        theta=per_neuron(theta, v),
        steepness=per_neuron(width.reciprocal(), v),
        spikes=spikes,
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
    """Fill the last two, with shapes as in `vdib.backends.fused_leaky`."""
    launch(
        triton_kernels.leaky_backward,
        v,
        TO_ZERO=reset.to_zero,
        DETACHED=reset.detached,
        LEARNED=len(sums) > 1,
        SPIKES_REACHED=grad_spikes is not None,
        grad_spikes=v if grad_spikes is None else grad_spikes.contiguous(),
        V_REACHED=grad_v is not None,
        grad_v=v if grad_v is None else grad_v.contiguous(),
        decay=per_neuron(decay, v),
        theta=per_neuron(theta, v),
        width=per_neuron(width, v),
        steepness=per_neuron(width.reciprocal(), v),
        SLOPE=slope.kind,
        slope_p=float(np.float32(slope.p)),
        slope_q=float(np.float32(slope.q)),
        grad_currents=grad_currents,
        sums=sums,
    )
