"""From a recording to its spikes: the events of T steps, transformed, then binned.

T: steps; C, H, W: channels, rows and columns of input neurons; S: spikes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.events import Recording
from vdib.datasets.transforms.binning import SpikeBinning


@dataclass(frozen=True)
class Preparation:
    """From a recording to spikes: the events of its T steps, transformed, then binned.

    Nothing before or after the steps has a say, so a stream gives the same spikes as a file.

    Attributes:
        transforms: applied in order, each from `Recording` to `Recording`; frozen dataclasses,
            whose `repr` says all that they depend on.
        binning: with `dt` and `num_steps`, from `start` or the recording's first event on.
        sensor_size: (width, height) that recordings must have to begin with; None for any.
    """

    transforms: tuple[Callable[[Recording], Recording], ...]
    binning: SpikeBinning
    sensor_size: tuple[int, int] | None = None

    @property
    def past_us(self) -> int:
        """How much of a recording becomes spikes: T steps."""
        assert self.binning.dt is not None
        assert self.binning.num_steps is not None
        return self.binning.dt * self.binning.num_steps

    def __call__(
        self, recording: Recording, start: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Spikes per step `(T,)`, and the neurons that fire, step after step, `(S,)`.

        Args:
            recording: from a sensor of `sensor_size`.
            start: time of the first step, us; None for what the binning says.

        Raises:
            ValueError: the recording comes from a sensor of another size.
        """
        if self.sensor_size not in (None, recording.sensor_size):
            raise ValueError(
                f"{recording.origin.path}: a sensor of {_pixels(recording.sensor_size)}, "
                f"expected {_pixels(self.sensor_size)} (sensor_size: where a file does not say)"
            )
        start = self.binning.start if start is None else start
        if start is None:
            start = int(recording.t[0]) if len(recording) else 0
        recording = recording.between(start, start + self.past_us)
        for transform in self.transforms:
            recording = transform(recording)
        spikes = replace(self.binning, start=start).sparse(recording)
        count = np.bincount(spikes.time.numpy(), minlength=spikes.num_steps)
        return count, spikes.neuron.numpy()

    def shape(self, sensor_size: tuple[int, int]) -> tuple[int, int, int]:
        """(C, H, W) of the spikes of a recording from this sensor; transforms have a `size`."""
        for transform in self.transforms:
            sensor_size = getattr(transform, "size", sensor_size)
        return self.binning.shape(sensor_size)


def _pixels(size: tuple[int, int] | None) -> str:
    return "any" if size is None else f"{size[0]} x {size[1]} pixels"
