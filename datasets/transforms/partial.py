"""Partial evidence, as an augmentation: recordings that begin late, and looks before they end.

A model that is only shown whole recordings from their first event on knows no other beginning and
no shorter past.

Legend: B recordings, T steps, S looks.
"""

import torch
from torch import Tensor

from vdib.noise import Noise
from vdib.sparse import SparseSpikes

BEGIN, LOOKS = -2, -3
"""The layer numbers of the noise by which both are drawn."""


def late(spikes: SparseSpikes, begin: Tensor) -> SparseSpikes:
    """The same spikes from another step on; as many steps, of which the last ones are silent.

    Args:
        spikes: `(B, T, *N)`.
        begin: the step that becomes the first, `(B,)` int64, 0 to T - 1.
    """
    count, steps = spikes.shape[:2]
    at = torch.arange(steps, device=spikes.device) + begin[:, None]  # B, T
    seen = at < steps
    row = torch.arange(count, device=spikes.device)[:, None] * steps + at.clamp(max=steps - 1)
    number = torch.where(seen, spikes.offset.diff()[row], 0).flatten()
    offset = torch.nn.functional.pad(number.cumsum(0), (1, 0))
    # Of each recording the spikes that are left lie in one piece.
    kept = begin[:, None] <= torch.arange(steps, device=spikes.device)
    chosen = torch.repeat_interleave(kept.flatten(), spikes.offset.diff())
    return SparseSpikes(offset, spikes.neuron[chosen], spikes.shape)


def drawn_begin(noise: Noise, most: int) -> Tensor:
    """The step at which each recording begins, `(B,)` int64.

        max(0, floor((2 u - 1) (most + 1))),   u uniform in (0, 1)

    Half of them begin at their first step, so that long stretches of time stay as frequent as
    short ones; the others at 0 to `most`, all alike.
    """
    drawn = noise.uniform(BEGIN, 1, (1,))[:, 0, 0]
    return ((2 * drawn - 1) * (most + 1)).floor().long().clamp(min=0)


def drawn_looks(noise: Noise, count: int, steps: Tensor) -> Tensor:
    """After how many steps each recording is looked at, one look in each S-th of them.

        look_s = ceil((s + u_s) / S * steps),   u_s uniform in (0, 1),   s = 0 .. S - 1

    so that early and late looks count alike, and a few do for all.

    Args:
        noise: its address.
        count: S.
        steps: that there are to look at, `(B,)`, at least 1.

    Returns:
        `(B, S)` int64, rising, 1 to `steps`.
    """
    drawn = noise.uniform(LOOKS, 1, (count,))[:, 0]
    share = (torch.arange(count, device=drawn.device) + drawn) / count
    at = (share.double() * steps[:, None]).ceil().long()
    return at.clamp(min=1).minimum(steps[:, None])
