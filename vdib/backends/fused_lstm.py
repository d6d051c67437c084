"""Spiking LSTM cells whose elementwise part is compiled: `vdib.dynamics.lstm` on CPUs.

The loop over time and its products are the plain code's; a step of all that is elementwise is one
kernel.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdib.backends import kinds
from vdib.backends.available import on_cpu
from vdib.backends.cpu.launch import array, in_threads
from vdib.backends.describe import FireDescription, NoKernel, describe
from vdib.dynamics.lstm import Advance, Cell, Retreat, SpikingCell
from vdib.dynamics.lstm import lstm as in_time


def lstm(currents: Tensor, shift: Tensor, recurrent: Tensor, cell: Cell) -> Tensor:
    """The second implementation of `vdib.dynamics.lstm.lstm`.

    Raises:
        NoKernel: for these numbers, this device, or for cells that fire so.
    """
    if type(cell) is not SpikingCell or shift.dtype != torch.float32 or not on_cpu(currents):
        raise NoKernel(f"none for {type(cell).__name__} on {currents.device}")
    for fire in (cell.gate, cell.candidate):
        if describe(fire).kind != kinds.THRESHOLD:
            raise NoKernel(f"none for cells whose spikes are those of a {type(fire).__name__}")
    return in_time(currents, shift, recurrent, _Fused(cell.gate, cell.candidate, cell.gamma))


@dataclass(frozen=True)
class _Fused(SpikingCell):
    def forward(self, currents: Tensor, shift: Tensor, z: Tensor, c: Tensor, h: Tensor) -> Advance:
        from vdib.backends.cpu import lstm_cell

        batch, steps = c.shape[:2]
        filled = [array(x).reshape(batch * steps, -1) for x in (z, c, h)]
        given = array(currents).reshape(batch * steps, -1), array(shift).reshape(-1)

        def advance(t: int, fed_back: Tensor) -> None:
            arrays = *given, array(fed_back), *filled
            in_threads(lstm_cell.advance, batch, fed_back.numel(), t, steps, *arrays)

        return advance

    def backward(self, z: Tensor, c: Tensor, grad_h: Tensor, grad_z: Tensor) -> Retreat:
        from vdib.backends.cpu.lstm_cell import retreat_for

        batch, steps, size = c.shape
        gate: FireDescription = describe(self.gate)
        candidate: FireDescription = describe(self.candidate)
        slopes = gate.slope, candidate.slope
        kernel = retreat_for(*(slope.kind for slope in slopes))
        numbers = [np.float32(x) for slope in slopes for x in (slope.p, slope.q)]
        v_rows, c_rows, h_rows, out = (
            array(x).reshape(batch * steps, -1) for x in (z, c, grad_h, grad_z)
        )
        carried = np.zeros((batch, size), np.float32)

        def retreat(t: int, fed_back: Tensor) -> None:
            given = v_rows, c_rows, h_rows, array(fed_back), np.float32(self.gamma)
            in_threads(kernel, batch, z[:, 0].numel(), t, steps, *given, *numbers, carried, out)

        return retreat
