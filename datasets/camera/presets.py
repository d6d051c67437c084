"""Recordings as N-MNIST and MNIST-DVS have them, from images: the camera's calibrated settings.

What the numbers were fitted to, and how well they do, is in docs/dvs_camera.md. Besides the noise
of the pixels, each recording draws what was found to differ between real ones: N-MNIST's saccades
set out early or late and from a slightly different place; MNIST-DVS's digit is somewhere else on
its way when the recording begins, and the screen in its frame; either has its length, and its
threshold.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from vdib.datasets.camera.display import Display
from vdib.datasets.camera.dvs_camera import DVSCamera
from vdib.datasets.camera.motion import FreePath, Refreshed, TrianglePath
from vdib.datasets.recording import Recording

NMNIST_CAMERA = DVSCamera(
    width=34,
    height=34,
    threshold_on=0.286,
    threshold_off=0.285,
    mismatch=0.05,
    jitter=0.27,
    refractory_us=1220,
    cutoff_hz=436,
    dark_cutoff_hz=68,
    noise_on_hz=0.31,
    noise_off_hz=0.03,
)
NMNIST_DISPLAY = Display(
    smoothing=0.129, contrast=1.16, gamma=1.83, black=0.108, blur=0.48, inverted=True
)
# Where the image's centre was every 10 ms, x and y in pixels: three saccades, the pan motor lagging
# behind the tilt motor in the first and the second. `Saccades` is within 0.07 pixels of them.
_NMNIST_X = (
    *(13.97, 13.94, 13.93, 13.86, 13.84, 14.23, 14.81, 15.30, 15.47, 15.54),
    *(15.71, 15.84, 16.18, 16.59, 17.26, 17.85, 18.25, 18.61, 18.86, 19.06, 19.20, 19.37),
    *(19.38, 19.45, 18.56, 17.53, 16.43, 15.37, 14.74, 14.38, 14.26, 14.23),
)
_NMNIST_Y = (
    *(15.12, 15.16, 15.40, 16.07, 17.10, 18.34, 19.38, 20.02, 20.16, 19.86),
    *(19.95, 19.99, 19.90, 19.59, 18.84, 17.64, 16.34, 15.30, 14.89, 14.83, 14.86, 14.97),
    *(14.89, 14.85, 14.86, 14.91, 14.84, 14.80, 14.62, 14.59, 14.61, 14.65),
)
_NMNIST_SACCADES = (10, 12, 10)  # waypoints of each
# How early or late each saccade is, and by how much the start and the threshold differ.
_NMNIST_LATE_US = (770.0, 2_600.0, -390.0)
_NMNIST_LATE_SPREAD_US = (1_000.0, 3_400.0, 2_350.0)
_NMNIST_PLACE_SPREAD = (0.1, 0.155)  # pixels, x and y
_NMNIST_THRESHOLD_SPREAD = 0.05
_NMNIST_DURATION_US = (307_500.0, 3_000.0)

MNIST_DVS_CAMERA = DVSCamera(
    width=128,
    height=128,
    threshold_on=0.59,
    threshold_off=0.585,
    mismatch=0.25,
    jitter=0.2,
    refractory_us=446,
    cutoff_hz=300,
    dark_cutoff_hz=6.9,
    speed_spread=1.04,
    noise_on_hz=0.003,
    noise_off_hz=0.018,
    leak_hz=0.017,
    step_us=2000,
    flip_polarity=True,
)
MNIST_DVS_DISPLAY = Display(
    scale=1.036,
    aspect=1.109,
    smoothing=0.74,
    contrast=15.5,
    middle=0.166,
    gamma=1.01,
    black=0.035,
    blur=0.152,
)
MNIST_DVS_PATH = TrianglePath(
    corners=((70.75, 64.37), (65.08, 60.05), (59.31, 64.40), (65.08, 60.05)),
    period_us=1_245_270,
    phase=0.782,
)
_MNIST_DVS_FRAME_HZ = 74.94
_MNIST_DVS_RESPONSE_US = 4_400
_MNIST_DVS_LATE_SPREAD_US = 17_500.0
_MNIST_DVS_THRESHOLD_SPREAD = 0.02
_MNIST_DVS_DURATION_US = (2_246_000.0, 123_000.0)
_BEFORE_US = 100_000  # after which simulated pixels no longer notice that they began at rest


def nmnist_recording(
    image: ArrayLike | torch.Tensor, seed: int | Sequence[int], name: str = "N-MNIST"
) -> Recording:
    """`image` (28, 28) as N-MNIST shows it: 34 x 34, three saccades, about 307 ms.

    `seed`, a number or several such as (seed, example's id), decides everything random.
    """
    rng = _between(seed)
    late = rng.normal(_NMNIST_LATE_US, _NMNIST_LATE_SPREAD_US).clip(-9_000, 9_000)
    away = rng.normal(0, _NMNIST_PLACE_SPREAD)
    duration = _length(rng, _NMNIST_DURATION_US)
    camera = _with_threshold(NMNIST_CAMERA, rng, _NMNIST_THRESHOLD_SPREAD)
    return camera.record(
        image, nmnist_path(late, away), duration, _words(seed), NMNIST_DISPLAY, name
    )


def nmnist_path(late_us: ArrayLike = _NMNIST_LATE_US, away: ArrayLike = (0.0, 0.0)) -> FreePath:
    """Of N-MNIST's images: saccade k late by `late_us[k]` (us), all of it `away` (x, y) pixels."""
    late: NDArray[np.float64] = np.repeat(np.asarray(late_us, float), _NMNIST_SACCADES)
    times = np.maximum.accumulate(10_000.0 * np.arange(len(_NMNIST_X)) + late)
    times += np.arange(len(times))  # a us apart where one saccade waits for the one before
    points = np.stack([_NMNIST_X, _NMNIST_Y], 1) + np.asarray(away, float)
    return FreePath(tuple(times.tolist()), tuple((x, y) for x, y in points.tolist()))


def mnist_dvs_recording(
    image: ArrayLike | torch.Tensor,
    seed: int | Sequence[int],
    name: str = "MNIST-DVS",
    any_phase: bool = False,
    seconds: float | None = None,
) -> Recording:
    """`image` (28, 28) as MNIST-DVS shows it at scale 4: 128 x 128, not stabilised, about 2.25 s.

    Args:
        image: of a digit.
        seed: a number or several such as (seed, example's id): decides everything random.
        name: of the recording.
        any_phase: begin anywhere on the digit's way, with pixels that have long seen it; real
            recordings all begin at the same place.
        seconds: how long; about 2.25 by default.
    """
    rng = _between(seed)
    late = rng.normal(0, _MNIST_DVS_LATE_SPREAD_US) / MNIST_DVS_PATH.period_us
    frame = rng.random()
    duration = _length(rng, _MNIST_DVS_DURATION_US)
    duration = duration if seconds is None else round(seconds * 1e6)
    camera = _with_threshold(MNIST_DVS_CAMERA, rng, _MNIST_DVS_THRESHOLD_SPREAD)
    late += rng.random() if any_phase else 0.0
    path = replace(MNIST_DVS_PATH, phase=MNIST_DVS_PATH.phase + late)
    shown = Refreshed(path, _MNIST_DVS_FRAME_HZ, frame, _MNIST_DVS_RESPONSE_US)
    before = _BEFORE_US if any_phase else 0
    made = camera.record(image, shown, before + duration, _words(seed), MNIST_DVS_DISPLAY, name)
    if not any_phase:
        return made
    made = made.between(before, before + duration)
    return replace(made, t=made.t - before)


def _words(seed: int | Sequence[int]) -> list[int]:
    return [int(word) for word in np.atleast_1d(np.asarray(seed))]  # of NumPy or torch, too


def _between(seed: int | Sequence[int]) -> np.random.Generator:
    """Random numbers for what differs between recordings, apart from the pixels' own."""
    return np.random.default_rng([*_words(seed), 0x5EED])


def _length(rng: np.random.Generator, distribution: tuple[float, float]) -> int:
    """Whole us, within two and a half standard deviations of the mean."""
    mean, spread = distribution
    return round(mean + spread * float(np.clip(rng.normal(), -2.5, 2.5)))


def _with_threshold(camera: DVSCamera, rng: np.random.Generator, spread: float) -> DVSCamera:
    """Both thresholds times exp(spread n), n standard normal."""
    factor = float(np.exp(spread * rng.normal()))
    return replace(
        camera,
        threshold_on=camera.threshold_on * factor,
        threshold_off=camera.threshold_off * factor,
    )
