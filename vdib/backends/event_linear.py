"""Weights driven by events: work in proportion to the spikes, not to the neurons.

    current[r, i] = sum of w[i, j] over the neurons j that fire in row r

Inputs may come as lists of spikes; spikes that come dense are listed first where that pays. The sum
is the dense product's, up to the order of its terms. In a region of mixed precision weights are
rounded to bfloat16 as the dense product's are, and currents and their gradients come in bfloat16.
Legend: R rows (batch and time), N_in input and N output neurons.
"""

import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, linear

from vdib.backends.available import on_cpu
from vdib.backends.cpu.launch import array, in_threads
from vdib.backends.settings import settings
from vdib.sparse import SparseSpikes

DENSE = {torch.float32: 0.15, torch.bfloat16: 0.08}
"""Spikes per neuron and step above which lists go to the dense product, by the product's type.

Measured by `benchmarks/break_even.py` for five sizes on one core of a Xeon with AVX-512 and AMX: in
float32 adding weights takes 0.4 to 0.9 of the time that the dense products take at 15 %, but 1.3
with 2048 outputs; in bfloat16 0.7 to 1 at 8 %, 0.9 to 1.6 at 15 %. Without AMX bfloat16's dense
products take longer than float32's, but then nothing chooses them by itself.
"""

LISTED = {torch.float32: 0.12, torch.bfloat16: 0.03}
"""The same for spikes that come dense, and would have to be counted and listed first.

In float32 0.55 to 0.8 at 10 % and 0.7 to 1.3 at 15 %; in bfloat16 0.4 to 0.95 at 2 % and 0.6 to 1.5
at 4 %.
"""

SAMPLE = 31
"""Every how many rows one is counted first: a prime, or it would be the same steps throughout."""


def _kernels() -> ModuleType:
    from vdib.backends.cpu import event_kernels

    return event_kernels


def listed(spikes: Tensor, most: float) -> SparseSpikes | None:
    """The spikes `(R, N_in)` as lists, `(R, 1, N_in)`; None where they are not 0 or 1.

    And where more than `most` of them, of all, are 1. Only for what is `on_cpu`.
    """
    kernels = _kernels()
    rows = array(spikes)
    for every in (SAMPLE, 1):  # where they are far too many, a few rows tell
        counts = torch.empty(math.ceil(len(rows) / every), dtype=torch.int64)
        in_threads(kernels.count, len(counts), rows.size // every, rows, every, counts.numpy())
        allowed = most * len(counts) * rows.shape[1]
        if counts.min() < 0 or counts.sum() > allowed * (1.2 if every > 1 else 1):
            return None
    offset = nn.functional.pad(counts.cumsum(0), (1, 0))
    neuron = torch.empty(int(offset[-1]), dtype=torch.int32)
    lists = offset.numpy(), neuron.numpy()
    in_threads(kernels.fill, len(rows), rows.size, rows, *lists)
    return SparseSpikes(offset, neuron, (len(rows), 1, rows.shape[1]))


class EventLinear(nn.Module):
    """Weights without bias, `(R, N_in)` to `(R, N)`, that skip silent neurons where it pays.

    Attributes:
        by_input: the weights, `(N_in, N)`: what a spike adds lies in one piece.
    """

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        drawn = nn.Linear(num_inputs, num_outputs, bias=False).weight.detach()
        self.by_input = nn.Parameter(drawn.t().contiguous())

    @property
    def weight(self) -> Tensor:
        """The same as `(N, N_in)`, a view."""
        return self.by_input.t()

    def forward(self, x: Tensor | SparseSpikes) -> Tensor:
        """Currents of spikes `(R, N_in)` of any type, or of lists of `(B, T, *N_in)`, R = B T."""
        size = x.num_neurons if isinstance(x, SparseSpikes) else x.shape[-1]
        if size != len(self.by_input):
            raise ValueError(f"expected {len(self.by_input)} inputs, got {size}")
        dtype = product_type(self.weight)
        if isinstance(x, SparseSpikes):
            if x.density <= DENSE.get(dtype, DENSE[torch.float32]):
                return _product(self.weight, x, dtype)
            x = x.dense(dtype).view(-1, size)
        else:
            x = x if x.dtype in LISTED else x.to(dtype)  # booleans, say
            if worth_counting(x) and driven(self.weight):
                lists = listed(x, LISTED[dtype])
                if lists is not None:
                    return _product(self.weight, lists, dtype, x)
        return linear(x.to(dtype), self.weight.to(dtype))


def worth_counting(x: Tensor) -> bool:
    """Whether dense spikes are many enough for it, and where the kernels are."""
    return x.numel() >= settings().list_from and on_cpu(x)


def driven(weight: Tensor) -> bool:
    """Whether the event kernels know the type of `weight` and what it is multiplied in."""
    return weight.dtype == torch.float32 and product_type(weight) in DENSE and on_cpu(weight)


def product_type(weight: Tensor) -> torch.dtype:
    """What `weight` is multiplied in: its own type, or that of mixed precision."""
    device = weight.device.type
    is_mixed = (
        weight.dtype == torch.float32
        and torch.amp.is_autocast_available(device)
        and torch.is_autocast_enabled(device)
    )
    return torch.get_autocast_dtype(device) if is_mixed else weight.dtype


def _product(
    weight: Tensor, lists: SparseSpikes, dtype: torch.dtype, spikes: Tensor | None = None
) -> Tensor:
    """Currents of `lists`; where they came from dense `spikes`, these receive a gradient."""
    if not driven(weight):
        return _gather(weight.to(dtype), lists.offset, lists.neuron)
    out: Tensor = _Product.apply(weight, spikes, lists.offset, lists.neuron, dtype)  # type: ignore[no-untyped-call, unused-ignore]
    return out


def _gather(weight: Tensor, offset: Tensor, neuron: Tensor) -> Tensor:
    # Of torch, as it was the fastest of what was tried: rows of weights are read in one piece.
    return embedding_bag(neuron, weight.t().contiguous(), offset[:-1].int(), mode="sum")


def _grad_weight(weight: Tensor, offset: Tensor, neuron: Tensor, grad: Tensor) -> Tensor:
    """What the gradients `(R, N)` of currents come to for each weight, shaped as `weight`."""
    kernels = _kernels()
    size, num_inputs = weight.shape
    tiles = math.ceil((len(offset) - 1) / kernels.ROW_TILE)
    begin, row = neuron.new_empty(tiles, num_inputs + 1), torch.empty_like(neuron)
    lists = [array(x) for x in (begin, row)]
    in_threads(kernels.sort, tiles, len(neuron), array(offset), array(neuron), *lists)
    out = weight.new_empty(num_inputs, size)
    in_threads(kernels.grad_weight, num_inputs, len(neuron) * size, *lists, array(grad), array(out))
    return out.t()


class _Product(torch.autograd.Function):
    """`_gather`, with a weight gradient of our own and one for the spikes."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        spikes: Tensor | None,
        offset: Tensor,
        neuron: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.save_for_backward(weight, offset, neuron)
        return _gather(weight.to(dtype), offset, neuron)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, offset, neuron = ctx.saved_tensors
        (grad,) = grads
        grad_weight = grad_spikes = None
        if ctx.needs_input_grad[0]:
            grad_weight = _grad_weight(weight, offset, neuron, grad)
        if ctx.needs_input_grad[1]:
            grad_spikes = grad @ weight.to(grad.dtype)
        return grad_weight, grad_spikes, None, None, None
