"""LSTM cells over time: the spiking one and the ordinary one.

    z_k[t] = W_k x[t] + U_k h[t-1] + b_k - theta,     k = f, i, o, g

Spiking, of 0 and 1: gates f, i, o and candidate g fire, and the memory is clipped,

    f, i, o, g = 1[z > 0],          c[t] = min(f c[t-1] + i g, 1),      h[t] = o c[t]

Rezaabad & Vishwanath, "Long Short-Term Memory Spiking Networks and Their Applications", 2020,
https://arxiv.org/abs/2007.04779. A spike's derivative is a surrogate's value at z, one for the
gates and one for the candidate; where c was clipped, its derivative by the sum is gamma <= 1.

Ordinary, of real numbers (Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997,
https://doi.org/10.1162/neco.1997.9.8.1735, with the forget gate of Gers, Schmidhuber & Cummins):

    f, i, o = sigmoid(z),   g = tanh(z),        c[t] = f c[t-1] + i g,      h[t] = o tanh(c[t])

What inputs add to z is known for all steps at once. The loop over time has one product and one
elementwise part a step; the latter is an argument (`Cell`), so that a compiled one can take its
place. Both backward passes are written by hand.

Legend: B batch, T steps, N neurons; the axis of size 4 is f, i, o, g.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vdib.dynamics.firing import Fire

Advance = Callable[[int, Tensor], None]
"""`(t, U h[t-1])`, `(B, 4 N)`: fills step t of z, c and h."""

Retreat = Callable[[int, Tensor], None]
"""`(t, what later steps say of h[t])`, `(B, N)`: fills step t of the gradient of z."""


class Cell(ABC):
    """The elementwise part of a step."""

    @abstractmethod
    def remember(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """c and h of this step, from z `(B, 4, N)` and c of the last, `(B, N)`."""

    @abstractmethod
    def adjoint(
        self, z: Tensor, before: Tensor, c: Tensor, dh: Tensor, carried: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step of the backward pass.

        Args:
            z: of this step, `(B, 4, N)`.
            before: c of the last step, `(B, N)`.
            c: of this one.
            dh: what the loss and later steps say of h, by way of h.
            carried: what later steps say of c, by way of c.

        Returns:
            The gradient of z, and what this step says of c of the last.
        """

    def forward(self, currents: Tensor, shift: Tensor, z: Tensor, c: Tensor, h: Tensor) -> Advance:
        """How to fill z `(B, T, 4, N)`, c and h `(B, T, N)`, from `currents` and `shift`."""

        def advance(t: int, fed_back: Tensor) -> None:
            z[:, t] = (currents[:, t] + shift) + fed_back.view_as(z[:, t])
            c[:, t], h[:, t] = self.remember(z[:, t], _before(c, t))

        return advance

    def backward(self, z: Tensor, c: Tensor, grad_h: Tensor, grad_z: Tensor) -> Retreat:
        """How to fill `grad_z`, from the last step to the first, given the loss's `grad_h`."""
        carried = torch.zeros_like(grad_h[:, 0])

        def retreat(t: int, fed_back: Tensor) -> None:
            dh = grad_h[:, t] + fed_back
            grad_z[:, t], more = self.adjoint(z[:, t], _before(c, t), c[:, t], dh, carried)
            carried.copy_(more)

        return retreat


def _before(c: Tensor, t: int) -> Tensor:
    return c[:, t - 1] if t else torch.zeros_like(c[:, t])


@dataclass(frozen=True)
class SpikingCell(Cell):
    """A cell of spikes.

    Args:
        gate: how f, i and o fire.
        candidate: how g fires.
        gamma: derivative of the memory where it was clipped, in [0, 1].
    """

    gate: Fire
    candidate: Fire
    gamma: float

    def _spikes(self, z: Tensor) -> tuple[Tensor, ...]:
        return (*self.gate(z[:, :3]).unbind(1), self.candidate(z[:, 3]))

    def remember(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        f, i, o, g = self._spikes(z)
        c = (f * c + i * g).clamp(max=1)
        return c, o * c

    def adjoint(
        self, z: Tensor, before: Tensor, c: Tensor, dh: Tensor, carried: Tensor
    ) -> tuple[Tensor, Tensor]:
        f, i, o, g = spikes = self._spikes(z)
        dc = o * dh + carried
        dc = torch.where(f * before + i * g > 1, self.gamma * dc, dc)  # from here on of the sum
        by_spike = torch.stack([dc * before, dc * g, dh * c, dc * i], 1)
        by_gates = self.gate.slope(z[:, :3], torch.stack(spikes[:3], 1))
        by_candidate = self.candidate.slope(z[:, 3:], g[:, None])
        assert by_gates is not None
        assert by_candidate is not None
        return by_spike * torch.cat([by_gates, by_candidate], 1), f * dc


@dataclass(frozen=True)
class RealCell(Cell):
    """A cell of real numbers."""

    def remember(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        f, i, o = torch.sigmoid(z[:, :3]).unbind(1)
        c = f * c + i * torch.tanh(z[:, 3])
        return c, o * torch.tanh(c)

    def adjoint(
        self, z: Tensor, before: Tensor, c: Tensor, dh: Tensor, carried: Tensor
    ) -> tuple[Tensor, Tensor]:
        f, i, o = torch.sigmoid(z[:, :3]).unbind(1)
        g, read = torch.tanh(z[:, 3]), torch.tanh(c)
        dc = dh * o * (1 - read * read) + carried
        by_f, by_i = dc * before * f * (1 - f), dc * g * i * (1 - i)
        by_o, by_g = dh * read * o * (1 - o), dc * i * (1 - g * g)
        return torch.stack([by_f, by_i, by_o, by_g], 1), f * dc


def lstm(currents: Tensor, shift: Tensor, recurrent: Tensor, cell: Cell) -> Tensor:
    """Whole sequences through a layer of cells, from silence.

    The backward pass goes through time, memory and recurrent weights: exact but, of spiking cells,
    for the surrogates and gamma.

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
        z = shift.new_empty(currents.shape)
        c, h = (shift.new_empty(batch, steps, size) for _ in range(2))
        advance = cell.forward(currents, shift, z, c, h)
        advance(0, z.new_zeros(batch, 4 * size))
        for t in range(1, steps):
            advance(t, (h[:, t - 1].to(recurrent) @ recurrent).to(z))
        ctx.save_for_backward(recurrent, z, c, h)
        ctx.cell, ctx.dtype = cell, currents.dtype
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        recurrent, z, c, h = ctx.saved_tensors
        grad_z = torch.empty_like(z)
        retreat = ctx.cell.backward(z, c, grads[0], grad_z)
        fed_back = torch.zeros_like(h[:, 0])
        for t in range(z.shape[1] - 1, -1, -1):
            retreat(t, fed_back)
            if t:
                fed_back = (grad_z[:, t].flatten(1).to(recurrent) @ recurrent.T).to(z)
        before = torch.nn.functional.pad(h[:, :-1], (0, 0, 1, 0))
        rows = grad_z.flatten(2).flatten(0, 1).to(recurrent)
        grad_recurrent = before.flatten(0, 1).to(recurrent).T @ rows
        return grad_z.to(ctx.dtype), grad_z.sum((0, 1)), grad_recurrent, None
