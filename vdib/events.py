"""Weights driven by events: work in proportion to the spikes, not to the neurons.

    current[r, i] = sum of w[i, j] over the neurons j that fire in row r

Inputs may come as lists of spikes; spikes that come dense are listed first where that pays. The sum
is the dense product's, up to the order of its terms.
Legend: R rows (batch and time), N_in input and N output neurons.
"""

import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, linear

from vdib import fused
from vdib.sparse import SparseSpikes

DENSE = 0.2
"""Spikes per neuron and step above which the dense product is taken.

Measured on one core of an AMD EPYC without AVX-512, forward and weight gradient: listing dense
spikes and adding weights takes 0.16 to 0.25 of the dense products' time at 2 %, 0.5 to 0.6 at 10 %,
0.8 to 1.05 at 20 % and 0.9 to 1.2 at 25 %, from 600-2312 inputs to 256-2048 outputs. It pays for
hidden layers too, which fire at 5 to 15 %.
"""

LARGE = 100_000
"""Elements of dense spikes from which on it is worth counting them."""


def _kernels() -> ModuleType:
    from vdib import event_kernels

    return event_kernels


def listed(spikes: Tensor) -> SparseSpikes | None:
    """The spikes `(R, N_in)` as lists, `(R, 1, N_in)`; None where they are not few, or not 0 or 1.

    Only for what is `vdib.fused.on_cpu`.
    """
    kernels = _kernels()
    rows = spikes.detach().contiguous()
    counts = torch.empty(len(rows), dtype=torch.int64)
    fused.spread(kernels.count, len(rows), rows.numel(), rows.numpy(), counts.numpy())
    if counts.min() < 0 or counts.sum() > DENSE * rows.numel():
        return None
    offset = nn.functional.pad(counts.cumsum(0), (1, 0))
    neuron = torch.empty(int(offset[-1]), dtype=torch.int32)
    lists = offset.numpy(), neuron.numpy()
    fused.spread(kernels.fill, len(rows), rows.numel(), rows.numpy(), *lists)
    return SparseSpikes(offset, neuron, (len(rows), 1, rows.shape[1]))


class EventLinear(nn.Linear):
    """Weights without bias, `(R, N_in)` to `(R, N)`, that skip silent neurons where it pays."""

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__(num_inputs, num_outputs, bias=False)

    def forward(self, x: Tensor | SparseSpikes) -> Tensor:
        """Currents of spikes `(R, N_in)`, or of lists of `(B, T, *N_in)` with R = B T."""
        if isinstance(x, SparseSpikes):
            if x.num_neurons != self.in_features:
                raise ValueError(f"expected {self.in_features} inputs, got {x.num_neurons}")
            if x.density <= DENSE:
                return _product(self.weight, x)
            return linear(x.dense(self.weight.dtype).view(-1, x.num_neurons), self.weight)
        if x.numel() >= LARGE and fused.on_cpu(x) and fused.on_cpu(self.weight):
            lists = listed(x)
            if lists is not None:
                return _product(self.weight, lists, x)
        return linear(x, self.weight)


def _product(weight: Tensor, lists: SparseSpikes, spikes: Tensor | None = None) -> Tensor:
    """Currents of `lists`; where they came from dense `spikes`, these receive a gradient."""
    if not fused.on_cpu(weight):
        return _gather(weight, lists.offset, lists.neuron)
    out: Tensor = _Product.apply(weight, spikes, lists.offset, lists.neuron)  # type: ignore[no-untyped-call, unused-ignore]
    return out


def _gather(weight: Tensor, offset: Tensor, neuron: Tensor) -> Tensor:
    # Of torch, as it was the fastest of what was tried: rows of weights are read in one piece.
    return embedding_bag(neuron, weight.t().contiguous(), offset[:-1].int(), mode="sum")


class _Product(torch.autograd.Function):
    """`_gather`, with a weight gradient four times as fast and one for the spikes."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, spikes: Tensor | None, offset: Tensor, neuron: Tensor
    ) -> Tensor:
        ctx.save_for_backward(weight, offset, neuron)
        return _gather(weight, offset, neuron)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, offset, neuron = ctx.saved_tensors
        (grad,) = grads
        grad_weight = grad_spikes = None
        if ctx.needs_input_grad[0]:
            kernels = _kernels()
            grad_weight = torch.empty_like(weight)
            fused.spread(
                kernels.grad_weight,
                math.ceil(len(weight) / kernels.BLOCK),
                len(neuron) * len(weight),
                *(x.detach().contiguous().numpy() for x in (offset, neuron, grad, grad_weight)),
            )
        if ctx.needs_input_grad[1]:
            grad_spikes = grad @ weight
        return grad_weight, grad_spikes, None, None
