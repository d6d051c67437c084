"""Layers of spiking LSTM cells: what a neuron remembers stays until a gate says otherwise.

    f, i, o, g = spikes of W x[t] + U h[t-1] + b - theta
    c[t] = min(f[t] c[t-1] + i[t] g[t], 1),     h[t] = o[t] c[t]

h is the layer's output, 0 or 1. The cell and its derivatives are in `vdib.dynamics.lstm`. Its
neurons feed back on each other, so that weights and filters do not commute: e-prop, direct
feedback and online learning refuse them.

Rezaabad & Vishwanath, "Long Short-Term Memory Spiking Networks and Their Applications", 2020,
https://arxiv.org/abs/2007.04779.

Legend: B batch, T steps, N neurons (dense: N; convolutional: C, H, W).
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from vdib.backends import dispatch
from vdib.backends.event_linear import product_type
from vdib.dynamics.firing import Fire, Threshold
from vdib.dynamics.lstm import Cell
from vdib.dynamics.surrogate import Surrogate, gaussian
from vdib.neurons.layer import Connect, Synapses
from vdib.noise import Draws
from vdib.precision import single
from vdib.sparse import Spikes


class SpikingLSTM(nn.Module):
    """One layer of cells, all of which hear all others.

    Args:
        synapses: from one step's spikes to four currents per neuron, of f, i, o and g.
        shape: of the neurons, `(N,)` or `(C, H, W)`.
        cell: how gates and candidate fire.
        theta: the threshold of all four.
        forget_bias: what the bias of f starts from; others start from 0.
    """

    stochastic = False

    def __init__(
        self,
        synapses: Synapses,
        shape: tuple[int, ...],
        cell: Cell,
        theta: float,
        forget_bias: float,
    ) -> None:
        super().__init__()
        if not 0 <= cell.gamma <= 1:
            raise ValueError(f"gamma: got {cell.gamma}, expected 0 to 1")
        self.synapses = synapses
        self.input_shape = synapses.input_shape
        self.shape = shape
        self.cell = cell
        self.theta = theta
        size = math.prod(shape)
        self.recurrent = nn.Parameter(torch.empty(size, 4 * size))
        bound = 1 / math.sqrt(size)
        nn.init.uniform_(self.recurrent, -bound, bound)
        self.bias = nn.Parameter(torch.zeros(4, size))
        self.bias.data[0] = forget_bias

    def currents(self, x: Spikes) -> Tensor:
        """What the spikes `(B, T, *N_in)` send through the input weights, `(B, T, 4, N)`."""
        rows = x.flatten(0, 1) if isinstance(x, Tensor) else x
        out: Tensor = self.synapses(rows).view(*x.shape[:2], *self.bias.shape)
        return out

    def _cell(self, fire: Fire | None, noise: object) -> Cell:
        if noise is not None or (fire is not None and fire.stochastic):
            raise ValueError("spiking LSTM cells are deterministic: they take no noise")
        return self.cell if fire is None else Cell(fire, fire, self.cell.gamma)

    def forward(
        self, x: Spikes, fire: Fire | None = None, noise: Draws | None = None
    ) -> tuple[Tensor, None]:
        """h of whole sequences, `(B, T, *N)`; a cell has four distances from threshold, no one v.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.
            fire: how gates and candidate fire in this call; deterministic.
            noise: none is taken.

        Raises:
            ValueError: a stochastic `fire`, or noise.
        """
        weights = self.recurrent.to(product_type(self.recurrent))
        shift, cell = self.bias - self.theta, self._cell(fire, noise)
        h = dispatch.lstm(self.currents(x), shift, weights, cell)
        return h.view(*h.shape[:2], *self.shape), None

    def step(
        self,
        x: Tensor,
        state: tuple[Tensor, Tensor] | None,
        fire: Fire | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, None, tuple[Tensor, Tensor]]:
        """One step of `forward`; the state is h and c, `(B, N)` each."""
        cell = self._cell(fire, noise)
        h, c = state or 2 * (self.bias.new_zeros(len(x), self.bias.shape[1]),)
        currents = single(self.synapses(x)).view(-1, *self.bias.shape)
        v = (currents + (self.bias - self.theta)) + (h @ self.recurrent).view_as(currents)
        c, h = cell.remember(v, c)
        return h.view(-1, *self.shape), None, (h, c)

    @torch.no_grad()
    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Scale the input weights so that the currents of `x` have root mean square `spread`.

        Gates without input lie theta below their thresholds, and the surrogates are about as wide
        as 1. Recurrent weights stay as they were drawn.

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
            raise ValueError("cannot calibrate a layer on spikes that move no potential")
        for _, weight in self.synapses.named_parameters():
            weight.mul_(spread / rms)


def spiking_lstm(
    connect: Connect,
    shape: tuple[int, ...],
    surrogate: Surrogate | None = None,
    theta: float = 0.1,
    alpha_1: float = 4.0,
    alpha_2: float = 0.3,
    gamma: float = 1.0,
    forget_bias: float = 1.0,
) -> SpikingLSTM:
    """A layer of them.

    A surrogate is `exp(-v^2 / alpha) / sqrt(pi alpha)`: the normal density of variance alpha / 2.

    Args:
        connect: makes the synapses.
        shape: `(*N)`.
        surrogate: derivative of the spikes of gates and candidate alike; otherwise the paper's two.
        theta: the threshold of gates and candidate.
        alpha_1: of the gates' surrogate.
        alpha_2: of the candidate's.
        gamma: derivative of the memory where it was clipped, in [0, 1].
        forget_bias: what the bias of f starts from; above theta, cells at rest remember.

    Raises:
        ValueError: a gamma outside of 0 to 1, or an alpha that is not positive.
    """
    if not min(alpha_1, alpha_2) > 0:
        raise ValueError(f"alpha_1 and alpha_2: got {alpha_1} and {alpha_2}, expected above 0")
    gate, candidate = (
        Threshold(surrogate or partial(gaussian, std=math.sqrt(alpha / 2)))
        for alpha in (alpha_1, alpha_2)
    )
    return SpikingLSTM(connect(4), shape, Cell(gate, candidate, gamma), theta, forget_bias)
