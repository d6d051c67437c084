"""Shift the spikes of each recording by whole pixels, as an augmentation.

Legend: B recordings, T steps, C channels, H rows and W columns of input neurons, S spikes.
"""

import torch
from torch import Tensor

from vdib.noise import INPUT, Noise
from vdib.sparse import SparseSpikes


def shifted(spikes: SparseSpikes, right: Tensor, down: Tensor) -> SparseSpikes:
    """The same spikes elsewhere; those that leave the sensor are left out.

    Args:
        spikes: `(B, T, C, H, W)`.
        right, down: pixels, `(B,)` int64, negative for left and up.
    """
    num_recordings, num_steps, _, height, width = spikes.shape
    count = spikes.offset.diff()
    recording = torch.arange(num_recordings, device=spikes.device).repeat_interleave(
        count.view(num_recordings, num_steps).sum(1)
    )  # (S,)
    neuron = spikes.neuron.long()
    x, y = neuron % width + right[recording], neuron // width % height + down[recording]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    moved = neuron + down[recording] * width + right[recording]
    before = torch.nn.functional.pad(inside.cumsum(0), (1, 0))
    return SparseSpikes(before[spikes.offset], moved[inside].int(), spikes.shape)


def drawn_shift(noise: Noise, lowest: int, highest: int) -> tuple[Tensor, Tensor]:
    """How far each recording is shifted: whole pixels from `lowest` to `highest`, all alike.

    Args:
        noise: its address: the same recording in the same step is shifted alike.
        lowest, highest: pixels, both included.

    Returns:
        Right and down, `(B,)` int64 each.
    """
    drawn = noise.uniform(INPUT, 1, (2,))[:, 0] * (highest - lowest + 1)
    right, down = (lowest + drawn.floor().long()).unbind(1)
    return right, down
