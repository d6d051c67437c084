"""Learnable axonal delays: every input neuron of a layer by its own.

    y_j[t] = x_j[t - d_j],    d_j = round(D sigmoid(p_j)) steps,  0 to D

Rounding has no gradient: d_j is taken for the real number, and the train's derivative with respect
to it for the finite difference of the delayed train,

    dL/dd_j = sum_t dL/dy_j[t] (y_j[t - 1] - y_j[t])

which is the change of y when the delay grows by one step. So do Shrestha & Orchard, "SLAYER: Spike
Layer Error Reassignment in Time", 2018, https://arxiv.org/abs/1810.08646, and lava-dl
(https://github.com/lava-nc/lava-dl). Theirs are clamped to the range and start in the first step of
it. Ours are drawn evenly over the range, and p moves them at the pace of the weights: with an Adam
step of 0.002, d would need a thousand steps to move by two.

Legend: B batch, T steps, D the longest delay in steps, N_in inputs (any number of axes).
"""

from typing import Any

import torch
from torch import Tensor, nn

from vdib.neurons.layer import Layer, State
from vdib.neurons.wrapped import Wrapped
from vdib.sparse import Spikes


class Delayed(Wrapped):
    """A layer whose inputs arrive later. Lists of spikes are made dense: delays learn from them.

    Args:
        inner: the layer.
        longest: D, in steps.

    Attributes:
        position: p, `(*N_in)`.

    Raises:
        ValueError: a longest delay below 1.
    """

    def __init__(self, inner: Layer, longest: int) -> None:
        if longest < 1:
            raise ValueError(f"delays: got {longest} steps, expected at least 1")
        super().__init__(inner)
        self.longest = longest
        drawn = torch.rand(self.input_shape).clamp(0.01, 0.99)
        self.position = nn.Parameter(torch.logit(drawn))

    @property
    def delays(self) -> Tensor:
        """d before it is rounded, in steps, `(*N_in)`."""
        return self.longest * torch.sigmoid(self.position)

    def before(self, x: Spikes) -> Tensor:
        out: Tensor = _Shift.apply(self._dense(x).flatten(2), self.delays.flatten())  # type: ignore[no-untyped-call, unused-ignore]
        return out.view(*x.shape)

    def step(
        self, x: Tensor, state: tuple[Tensor, State] | None, *how: Any
    ) -> tuple[Tensor, Tensor | None, State]:
        """One step; the state is the last D inputs, `(B, D, *N_in)`, and the inner layer's."""
        past, own = state or (x.new_zeros(len(x), self.longest, *x.shape[1:]), None)
        known = torch.cat([x[:, None], past], 1)
        late = self.delays.round().long()[None, None].expand(len(x), 1, *x.shape[1:])
        spikes, v, own = self.inner.step(known.gather(1, late)[:, 0], own, *how)
        return spikes, v, (known[:, :-1], own)


def _shifted(x: Tensor, steps: Tensor) -> Tensor:
    """`x[t - steps]`, `(B, T, N)` and `(N,)`; zero where that lies outside."""
    num_steps = x.shape[1]
    at = torch.arange(num_steps, device=x.device)[:, None] - steps
    inside = (at >= 0) & (at < num_steps)
    return x.gather(1, at.clamp(0, num_steps - 1).expand_as(x)) * inside


class _Shift(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, delays: Tensor) -> Tensor:
        steps = delays.round().long()
        out = _shifted(x, steps)
        ctx.save_for_backward(out, steps)
        ctx.dtype = delays.dtype
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        out, steps = ctx.saved_tensors
        (grad,) = grads
        grad_x = _shifted(grad, -steps) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return grad_x, None
        later = nn.functional.pad(out, (0, 0, 1, 0))[:, :-1]
        return grad_x, (grad * (later - out)).sum((0, 1)).to(ctx.dtype)
