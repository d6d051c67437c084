"""Convolutions driven by events: each spike adds the weights around it.

    current[r, o, i, j] = sum of w[o, c, y + p - d i, x + p - d j] over spikes (c, y, x) of row r

with stride d and padding p; the convolution's sum, up to the order of its terms. Mixed precision
is as in `vdib.backends.event_linear`. Legend: R rows (batch and time), C channels, H x W pixels.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input

from vdib.backends.cpu.launch import array, in_threads
from vdib.backends.event_linear import driven, listed, product_type, worth_counting
from vdib.sparse import SparseSpikes, Spikes

DENSE = {torch.float32: 0.06, torch.bfloat16: 0.05}
"""Spikes per neuron and step above which lists go to the dense convolution, by the product's type.

Measured by `benchmarks/break_even.py` for three sizes on one core of a Xeon with AVX-512 and AMX:
0.25 to 0.65 of the dense time at 2 %, 0.5 to 1.1 in float32 at 6 % and 1 to 1.25 in bfloat16. On a
CPU with AVX2 dense convolutions take longer, and it was 0.55 to 1.3 at 10 %.
"""

LISTED = {torch.float32: 0.03, torch.bfloat16: 0.03}
"""The same for spikes that come dense.

At 2 % 0.4 to 0.7 in float32 and 0.7 to 0.85 in bfloat16, at 4 % 0.6 to 1.7 and 0.9 to 1.2.
"""

ROW_GROUPS = 16
"""Groups of rows whose weight gradients are added up in turn, whatever the number of threads."""


def event_conv2d(x: Spikes, weight: Tensor, stride: int, padding: int) -> Tensor:
    """`torch.nn.functional.conv2d` that skips silent neurons where it pays.

    Args:
        x: `(R, C_in, H, W)` of any type, or lists of `(B, T, C_in, H, W)` with R = B T.
        weight: `(C_out, C_in, K, K)`.
        stride: d.
        padding: p.

    Returns:
        `(R, C_out, H', W')`.

    Raises:
        ValueError: other channels than the weights'.
    """
    shape, channels = (
        tuple(x.shape[2:] if isinstance(x, SparseSpikes) else x.shape[1:]),
        weight.shape[1],
    )
    if len(shape) != 3 or shape[0] != channels:
        raise ValueError(f"expected inputs of shape ({channels}, H, W), got {shape}")
    dtype = product_type(weight)
    if isinstance(x, SparseSpikes):
        if driven(weight) and x.density <= DENSE[dtype]:
            place = x.offset, x.neuron, x.shape[3:], stride, padding
            return _Convolution.apply(weight, None, *place, dtype)  # type: ignore[no-any-return, no-untyped-call, unused-ignore]
        x = x.dense(dtype).flatten(0, 1)
    else:
        x = x if x.dtype in LISTED else x.to(dtype)  # booleans, say
        if worth_counting(x) and driven(weight):
            lists = listed(x.flatten(1), LISTED[dtype])
            if lists is not None:
                place = lists.offset, lists.neuron, x.shape[2:], stride, padding
                return _Convolution.apply(weight, x, *place, dtype)  # type: ignore[no-any-return, no-untyped-call, unused-ignore]
    return conv2d(x.to(dtype), weight.to(dtype), stride=stride, padding=padding)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        spikes: Tensor | None,
        offset: Tensor,
        neuron: Tensor,
        size: tuple[int, int],
        stride: int,
        padding: int,
        dtype: torch.dtype,
    ) -> Tensor:
        from vdib.backends.cpu import event_kernels as kernels

        rows, outputs, reach = len(offset) - 1, len(weight), weight.shape[2]
        shape = ((pixels + 2 * padding - reach) // stride + 1 for pixels in size)
        out = weight.new_empty(rows, outputs, *shape, dtype=dtype)
        turned = weight.detach().to(dtype).float().permute(1, 2, 3, 0)
        lists = array(offset), array(neuron), np.array(size)
        in_threads(
            kernels.convolve, rows, out.numel(), *lists, array(turned), stride, padding, array(out)
        )
        ctx.save_for_backward(weight, offset, neuron)
        ctx.shape = None if spikes is None else spikes.shape
        ctx.size, ctx.stride, ctx.padding = size, stride, padding
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from vdib.backends.cpu import event_kernels as kernels

        weight, offset, neuron = ctx.saved_tensors
        (grad,) = grads
        grad_weight = grad_spikes = None
        if ctx.needs_input_grad[0]:
            outputs, inputs, *reach = weight.shape
            groups = weight.new_empty(min(ROW_GROUPS, len(grad)), inputs, *reach, outputs)
            in_threads(
                kernels.convolve_grad_weight,
                len(groups),
                grad.numel(),
                array(offset),
                array(neuron),
                np.array(ctx.size),
                array(grad),
                ctx.stride,
                ctx.padding,
                array(groups),
            )
            grad_weight = groups.sum(0).permute(3, 0, 1, 2)
        if ctx.needs_input_grad[1]:
            weight = weight.to(grad.dtype)
            grad_spikes = conv2d_input(ctx.shape, weight, grad, ctx.stride, ctx.padding)  # type: ignore[no-untyped-call, unused-ignore]
        return (grad_weight, grad_spikes, *[None] * 6)
