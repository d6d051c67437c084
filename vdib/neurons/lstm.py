"""Layers of LSTM cells: what a neuron remembers stays until a gate says otherwise.

The equations, spiking and ordinary, are in `vdib.dynamics.lstm`; h is a layer's output. All cells
hear all others, so that weights and filters do not commute: e-prop, direct feedback and online
learning refuse them.

Legend: B batch, T steps, N neurons (dense: N; convolutional: C, H, W).
"""

import math

import torch
from torch import Tensor, nn

from vdib.backends import dispatch
from vdib.backends.event_linear import product_type
from vdib.dynamics.firing import Fire
from vdib.dynamics.lstm import Cell, RealCell
from vdib.dynamics.surrogate import Surrogate
from vdib.neurons.layer import UNMOVED, Connect, Synapses
from vdib.neurons.synapses import Dense
from vdib.noise import Draws
from vdib.precision import single
from vdib.sparse import Spikes


class LSTM(nn.Module):
    """One layer of cells.

    Args:
        synapses: from one step's spikes to four currents per neuron, of f, i, o and g.
        shape: of the neurons, `(N,)` or `(C, H, W)`.
        cell: its equations, but for the products.
        theta: subtracted from all four sums.
        forget_bias: what the bias of f starts from; the others start from 0.

    Attributes:
        spiking: whether h is 0 or 1.
    """

    stochastic = False
    has_v = False

    def __init__(
        self,
        synapses: Synapses,
        shape: tuple[int, ...],
        cell: Cell,
        theta: float = 0.0,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        self.synapses = synapses
        self.input_shape = synapses.input_shape
        self.shape = shape
        self.cell = cell
        self.spiking = not isinstance(cell, RealCell)
        self.theta = theta
        size = math.prod(shape)
        self.recurrent = Dense(shape, 4 * size)
        self.bias = nn.Parameter(torch.zeros(4, size))
        self.bias.data[0] = forget_bias

    def currents(self, x: Spikes) -> Tensor:
        """What the spikes `(B, T, *N_in)` send through the input weights, `(B, T, 4, N)`."""
        rows = x.flatten(0, 1) if isinstance(x, Tensor) else x
        out: Tensor = self.synapses(rows).view(*x.shape[:2], *self.bias.shape)
        return out

    def _told(self, fire: Fire | None, noise: object) -> Cell:
        if noise is not None or fire is not None:
            raise ValueError("LSTM cells fire in no other way than their own")
        return self.cell

    def forward(
        self, x: Spikes, fire: Fire | None = None, noise: Draws | None = None
    ) -> tuple[Tensor, None]:
        """h of whole sequences, `(B, T, *N)`; a cell has four distances from threshold, no one v.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.
            fire: none is taken, as cells have two ways to fire, or none.
            noise: none is taken.

        Raises:
            ValueError: another way to fire, or noise.
        """
        cell = self._told(fire, noise)
        weights = self.recurrent.by_input
        products = weights.to(product_type(weights))
        h = dispatch.lstm(self.currents(x), self.bias - self.theta, products, cell)
        return h.view(*h.shape[:2], *self.shape), None

    def step(
        self,
        x: Tensor,
        state: tuple[Tensor, Tensor] | None,
        fire: Fire | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, None, tuple[Tensor, Tensor]]:
        """One step of `forward`; the state is h and c, `(B, N)` each."""
        cell = self._told(fire, noise)
        h, c = state or 2 * (self.bias.new_zeros(len(x), self.bias.shape[1]),)
        currents = single(self.synapses(x)).view(-1, *self.bias.shape)
        z = (currents + (self.bias - self.theta)) + self.recurrent(h).view_as(currents)
        c, h = cell.remember(z, c)
        return h.view(-1, *self.shape), None, (h, c)

    @torch.no_grad()
    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Scale the input weights so that the currents of `x` have root mean square `spread`.

        Gates are about as wide as 1: the sigmoid, and the surrogate of a spiking one. Recurrent
        weights stay as they were drawn.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.
            spread: dimensionless.
            rate: of a stochastic layer only, which this is not.

        Raises:
            ValueError: where `x` leaves every potential at zero.
        """
        if not spread > 0 or (rate is not None and not 0 < rate < 1):
            raise ValueError(f"expected spread > 0 and rate in (0, 1), got {spread} and {rate}")
        rms = single(self.currents(x)).square().mean().sqrt()
        if not rms > 0:
            raise ValueError(UNMOVED)
        for _, weight in self.synapses.named_parameters():
            weight.mul_(spread / rms)


def lstm(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    forget_bias: float = 1.0,
) -> LSTM:
    """An ordinary LSTM, to stand beside the spiking one: its outputs are real numbers, no spikes.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: not used, as nothing fires.
        forget_bias: what the bias of f starts from.
    """
    return LSTM(connect(4), shape, RealCell(), forget_bias=forget_bias)
