"""Pictures of events without learning: what a naturalised image has to be better than.

h, w: rows and columns of the sensor.
"""

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.events import Recording


def summed_events(recording: Recording) -> NDArray[np.float64]:
    """Events of both polarities per pixel, (h, w)."""
    width, height = recording.sensor_size
    place = recording.y.astype(np.int64) * width + recording.x
    counts = np.bincount(place, minlength=width * height)
    return counts.reshape(height, width).astype(np.float64)


def time_surface(recording: Recording, tau_ms: float = 100.0) -> NDArray[np.float64]:
    """`exp(-(t_end - t_last) / tau)` of each pixel's last event of either polarity, (h, w).

    Lagorce et al., "HOTS: A hierarchy of event-based time-surfaces for pattern recognition", 2017,
    https://doi.org/10.1109/TPAMI.2016.2574707.
    """
    width, height = recording.sensor_size
    last = np.full(width * height, -np.inf)
    # In time order, so the last of equal places stays.
    last[recording.y.astype(np.int64) * width + recording.x] = recording.t
    age_ms = ((recording.t[-1] if len(recording) else 0) - last) / 1000
    surface: NDArray[np.float64] = np.exp(-age_ms / tau_ms).reshape(height, width)
    return surface


def like_mnist(picture: NDArray[np.float64], size: int = 28) -> NDArray[np.float64]:
    """The picture as MNIST's images are made: bright in [0, 1], its centre of mass in the middle.

    A pixel is as bright as its value over the 95th percentile of those that are not zero.
    """
    seen = picture[picture > 0]
    bright = np.clip(picture / np.quantile(seen, 0.95), 0, 1) if seen.size else picture
    total = max(bright.sum(), 1e-12)
    shift = []
    for axis in (0, 1):
        along = bright.sum(1 - axis)
        shift.append(round(float((along * np.arange(len(along))).sum() / total)))
    padded = np.pad(bright, size)
    top, left = (place + size - size // 2 for place in shift)
    return padded[top : top + size, left : left + size]
