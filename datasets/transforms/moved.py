"""Turn and shift the spikes of each recording, as an augmentation.

Legend: B recordings, T steps, C channels, H rows and W columns of input neurons, S spikes.
"""

import torch
from torch import Tensor

from vdib.noise import INPUT, Noise
from vdib.sparse import SparseSpikes


def moved(spikes: SparseSpikes, angle: Tensor, right: Tensor, down: Tensor) -> SparseSpikes:
    """The same spikes elsewhere; those that leave the sensor are left out.

    Turned about the sensor's centre by three shears of whole pixels (Paeth, "A fast algorithm for
    general raster rotation", Graphics Interface 1986), so that no two pixels become one, and then
    shifted.

    Args:
        spikes: `(B, T, C, H, W)`.
        angle: degrees, `(B,)`, from the axis of x towards that of y: clockwise where row 0 is on
            top; between -90 and 90.
        right, down: pixels, `(B,)` int64, negative for left and up.
    """
    num_recordings, num_steps, _, height, width = spikes.shape
    count = spikes.offset.diff()
    recording = torch.arange(num_recordings, device=spikes.device).repeat_interleave(
        count.view(num_recordings, num_steps).sum(1)
    )  # (S,)
    neuron = spikes.neuron.long()
    x, y = neuron % width, neuron // width % height
    from_x, from_y = (width - 1) / 2, (height - 1) / 2
    radians = angle.deg2rad()
    along_x, along_y = (radians / 2).tan()[recording], radians.sin()[recording]
    new_x = x - (along_x * (y - from_y)).round().long()
    new_y = y + (along_y * (new_x - from_x)).round().long()
    new_x = new_x - (along_x * (new_y - from_y)).round().long()
    new_x, new_y = new_x + right[recording], new_y + down[recording]
    inside = (new_x >= 0) & (new_x < width) & (new_y >= 0) & (new_y < height)
    there = neuron + (new_y - y) * width + (new_x - x)
    before = torch.nn.functional.pad(inside.cumsum(0), (1, 0))
    return SparseSpikes(before[spikes.offset], there[inside].int(), spikes.shape)


def drawn_move(noise: Noise, turn: float, shift: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """How far each recording is turned and shifted.

    Args:
        noise: its address: the same recording in the same step is moved alike.
        turn: degrees; angles are uniform from -turn to turn.
        shift: pixels, lowest and highest, both included, all whole numbers alike.

    Returns:
        Angle `(B,)` float32, right and down, `(B,)` int64 each.
    """
    lowest, highest = shift
    drawn = noise.uniform(INPUT, 1, (3,))[:, 0]
    right, down = (lowest + (drawn[:, :2] * (highest - lowest + 1)).floor().long()).unbind(1)
    return turn * (2 * drawn[:, 2] - 1), right, down
