"""Recordings as MNIST-DVS and N-MNIST have them, from images: the camera's calibrated settings.

What the numbers were fitted to, and how well they do, is in docs/dvs_camera.md. Besides the noise
of the pixels, each recording draws what differs between real ones: contrast, thresholds, position
and speed.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike

from vdib.datasets.camera_motion import Refreshed, Saccades, TrianglePath
from vdib.datasets.display import Display
from vdib.datasets.dvs_camera import DVSCamera
from vdib.datasets.recording import Recording

NMNIST_CAMERA = DVSCamera(
    width=34,
    height=34,
    threshold_on=0.3,
    threshold_off=0.3,
    mismatch=0.1,
    jitter=0.1,
    cutoff_hz=100,
    dark_cutoff_hz=20,
    noise_on_hz=0.3,
    noise_off_hz=0.3,
    flip_polarity=True,
)
NMNIST_DISPLAY = Display(scale=1.0, blur=0.45, black=0.1)
NMNIST_PATH = Saccades(
    corners=((13.85, 15.0), (15.4, 20.2), (19.0, 14.95), (14.0, 14.7)),
    starts_us=((5_000, 5_000), (105_000, 105_000), (218_000, 218_000)),
    lengths_us=((78_000, 78_000), (85_000, 85_000), (80_000, 80_000)),
)
NMNIST_DURATION_US = 306_000

MNIST_DVS_CAMERA = DVSCamera(
    width=128,
    height=128,
    threshold_on=0.3,
    threshold_off=0.3,
    mismatch=0.1,
    jitter=0.1,
    cutoff_hz=100,
    dark_cutoff_hz=20,
    noise_on_hz=0.003,
    noise_off_hz=0.018,
    flip_polarity=True,
)
MNIST_DVS_DISPLAY = Display(scale=0.8, blur=0.45, black=0.1)
MNIST_DVS_PATH = TrianglePath(((62, 60), (72, 60), (67, 65)), period_us=298_000)
MNIST_DVS_DURATION_US = 2_246_000


def nmnist_recording(
    image: ArrayLike | torch.Tensor, seed: int | Sequence[int], name: str = "N-MNIST"
) -> Recording:
    """`image` (28, 28) as N-MNIST shows it: 34 x 34, three saccades, about 306 ms.

    `seed`, a number or several such as (seed, example's id), decides everything random.
    """
    return NMNIST_CAMERA.record(image, NMNIST_PATH, NMNIST_DURATION_US, seed, NMNIST_DISPLAY, name)


def mnist_dvs_recording(
    image: ArrayLike | torch.Tensor, seed: int | Sequence[int], name: str = "MNIST-DVS"
) -> Recording:
    """`image` (28, 28) as MNIST-DVS shows it at scale 4: 128 x 128, raw, about 2.25 s.

    `seed`, a number or several such as (seed, example's id), decides everything random.
    """
    rng = np.random.default_rng(_words(seed))
    path = Refreshed(replace(MNIST_DVS_PATH, phase=rng.random()), 75.0, rng.random())
    return MNIST_DVS_CAMERA.record(
        image, path, MNIST_DVS_DURATION_US, seed, MNIST_DVS_DISPLAY, name
    )


def _words(seed: int | Sequence[int]) -> list[int]:
    """A seed for what differs between recordings, apart from the pixels' own."""
    return [*([seed] if isinstance(seed, int) else seed), 0x5EED]
