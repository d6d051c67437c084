"""The spiking LSTM: a cell whose gates, candidate and memory are 0 or 1.

    (f, i, o) = 1[v_k > 0],   g = 1[v_g > 0],      v_k[t] = W_k x[t] + U_k h[t-1] + b_k - theta
    c[t] = min(f[t] c[t-1] + i[t] g[t], 1),        h[t] = o[t] c[t]

Rezaabad & Vishwanath, "Long Short-Term Memory Spiking Networks and Their Applications", 2020,
https://arxiv.org/abs/2007.04779. A spike's derivative is a surrogate's value at v, one for the
gates and one for the candidate. Where c was clipped, its derivative by the sum is gamma <= 1.

What inputs add to v is known for all steps at once. The loop over time has one product and one
elementwise part a step; the latter is an argument (`Cell`), so that a compiled one can take its
place.

Legend: B batch, T steps, N neurons; the axis of size 4 is f, i, o, g.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vdib.dynamics.firing import Fire

Advance = Callable[[int, Tensor], None]
"""`(t, U h[t-1])`, `(B, 4 N)`: fills step t of v, c and h."""

Retreat = Callable[[int, Tensor], None]
"""`(t, what later steps say of h[t])`, `(B, N)`: fills step t of the gradient of v."""


@dataclass(frozen=True)
class Cell:
    """The elementwise part.

    Args:
        gate: how f, i and o fire.
        candidate: how g fires.
        gamma: derivative of the memory where it was clipped, in [0, 1].
    """

    gate: Fire
    candidate: Fire
    gamma: float

    def spikes(self, v: Tensor) -> tuple[Tensor, ...]:
        """f, i, o and g, each `(..., N)`, of v, `(..., 4, N)`."""
        return (*self.gate(v[..., :3, :]).unbind(-2), self.candidate(v[..., 3, :]))

    def remember(self, v: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """c and h of this step, from v `(..., 4, N)` and c of the last, `(..., N)`."""
        f, i, o, g = self.spikes(v)
        c = (f * c + i * g).clamp(max=1)
        return c, o * c

    def forward(self, currents: Tensor, shift: Tensor, v: Tensor, c: Tensor, h: Tensor) -> Advance:
        """How to fill v `(B, T, 4, N)`, c and h `(B, T, N)`, from `currents` and `shift`."""

        def advance(t: int, fed_back: Tensor) -> None:
            v[:, t] = (currents[:, t] + shift) + fed_back.view_as(v[:, t])
            before = c[:, t - 1] if t else torch.zeros_like(c[:, t])
            c[:, t], h[:, t] = self.remember(v[:, t], before)

        return advance

    def backward(self, v: Tensor, c: Tensor, grad_h: Tensor, grad_v: Tensor) -> Retreat:
        """How to fill `grad_v`, from the last step to the first, given the loss's `grad_h`.

        With dh and dc all that the loss and later steps say of h[t] and c[t],

            dc[t] = o[t] dh[t] + f[t+1] ds[t+1],     ds[t] = dc[t] (gamma where c[t] was clipped)
            dv_f = ds c[t-1] f',  dv_i = ds g i',  dv_o = dh c[t] o',  dv_g = ds i g'
        """
        carried = torch.zeros_like(grad_h[:, 0])

        def retreat(t: int, fed_back: Tensor) -> None:
            now = v[:, t]
            before = c[:, t - 1] if t else torch.zeros_like(c[:, t])
            f, i, o, g = self.spikes(now)
            dh = grad_h[:, t] + fed_back
            ds = o * dh + carried
            ds = torch.where(f * before + i * g > 1, self.gamma * ds, ds)
            slopes = self._slopes(now, f, i, o, g)
            grad_v[:, t] = torch.stack([ds * before, ds * g, dh * c[:, t], ds * i], 1) * slopes
            carried.copy_(f * ds)

        return retreat

    def _slopes(self, v: Tensor, f: Tensor, i: Tensor, o: Tensor, g: Tensor) -> Tensor:
        by_gates = self.gate.slope(v[:, :3], torch.stack([f, i, o], 1))
        by_candidate = self.candidate.slope(v[:, 3:], g[:, None])
        assert by_gates is not None
        assert by_candidate is not None
        return torch.cat([by_gates, by_candidate], 1)


def lstm(currents: Tensor, shift: Tensor, recurrent: Tensor, cell: Cell) -> Tensor:
    """Whole sequences through a layer of cells, from silence.

    The backward pass is back-propagation through time by hand: exact but for the surrogates and
    gamma, through memory and recurrent weights.

    Args:
        currents: W x, `(B, T, 4, N)`.
        shift: b - theta, `(4, N)`.
        recurrent: U, `(N, 4 N)`, whose type is that of the products.
        cell: the elementwise part.

    Returns:
        h, `(B, T, N)`.
    """
    h: Tensor = _LSTM.apply(currents, shift, recurrent, cell)  # type: ignore[no-untyped-call, unused-ignore]
    return h


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, currents: Tensor, shift: Tensor, recurrent: Tensor, cell: Cell) -> Tensor:
        batch, steps, _, size = currents.shape
        v = shift.new_empty(currents.shape)
        c, h = (shift.new_empty(batch, steps, size) for _ in range(2))
        advance = cell.forward(currents, shift, v, c, h)
        advance(0, v.new_zeros(batch, 4 * size))
        for t in range(1, steps):
            advance(t, (h[:, t - 1].to(recurrent) @ recurrent).to(v))
        ctx.save_for_backward(recurrent, v, c, h)
        ctx.cell, ctx.dtype = cell, currents.dtype
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        recurrent, v, c, h = ctx.saved_tensors
        grad_v = torch.empty_like(v)
        retreat = ctx.cell.backward(v, c, grads[0], grad_v)
        fed_back = torch.zeros_like(h[:, 0])
        for t in range(v.shape[1] - 1, -1, -1):
            retreat(t, fed_back)
            if t:
                fed_back = (grad_v[:, t].flatten(1).to(recurrent) @ recurrent.T).to(v)
        before = torch.nn.functional.pad(h[:, :-1], (0, 0, 1, 0))
        rows = grad_v.flatten(2).flatten(0, 1).to(recurrent)
        grad_recurrent = before.flatten(0, 1).to(recurrent).T @ rows
        return grad_v.to(ctx.dtype), grad_v.sum((0, 1)), grad_recurrent, None
