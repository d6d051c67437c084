"""A DVS camera: images in motion in, events out, the same ones for the same seed.

What it models, and what its settings were fitted to, is in docs/dvs_camera.md; the pixel's
equations are in `pixel.py`, the display's in `display.py`, motions in `motion.py`, settings of real
cameras in `presets.py`.

T: time steps; P: pixels of the sensor; E: events.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from vdib.datasets.camera.display import Display
from vdib.datasets.camera.motion import Path
from vdib.datasets.camera.view import looking, reached_pixels
from vdib.datasets.recording import Origin, Recording

__all__ = ["DVSCamera", "Display"]


@dataclass(frozen=True)
class DVSCamera:
    """A sensor of independent pixels that report changes of log intensity.

    Args:
        width, height: pixels.
        threshold_on, threshold_off: change of log intensity that makes an event, log units of e.
        mismatch: standard deviation of a pixel's thresholds over their mean, dimensionless.
        jitter: the same from event to event of one pixel (noise of the comparator).
        refractory_us: how long a pixel is held after its event, us.
        cutoff_hz: bandwidth of the photoreceptor (first order) in white light, Hz; 0: unlimited.
        dark_cutoff_hz: bandwidth in no light at all, Hz; between, it is linear in luminance.
        speed_spread: standard deviation over pixels of the log of their bandwidth, dimensionless.
        noise_on_hz, noise_off_hz: rates of events by chance, per pixel, Hz.
        leak_hz: rate of ON events that the leak of the reference makes in still pixels, Hz.
        step_us: time step of light and photoreceptor, us; events are timed between steps.
        flip_polarity: writes ON as OFF and OFF as ON, as some cameras' files do.

    >>> from vdib.datasets.camera.motion import FreePath
    >>> path = FreePath((0, 50_000), ((16, 16), (20, 16)))
    >>> recording = DVSCamera().record(np.ones((8, 8)), path, duration_us=60_000, seed=0)
    >>> recording.sensor_size, bool(recording.t[-1] < 60_000)
    ((34, 34), True)
    """

    width: int = 34
    height: int = 34
    threshold_on: float = 0.2
    threshold_off: float = 0.2
    mismatch: float = 0.0
    jitter: float = 0.0
    refractory_us: int = 1000
    cutoff_hz: float = 0.0
    dark_cutoff_hz: float = 0.0
    speed_spread: float = 0.0
    noise_on_hz: float = 0.0
    noise_off_hz: float = 0.0
    leak_hz: float = 0.0
    step_us: int = 1000
    flip_polarity: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "height", "threshold_on", "threshold_off", "step_us"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")
        for name in (
            *("mismatch", "jitter", "refractory_us", "cutoff_hz", "dark_cutoff_hz"),
            *("speed_spread", "noise_on_hz", "noise_off_hz", "leak_hz"),
        ):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0")

    def record(
        self,
        image: ArrayLike | torch.Tensor,
        path: Path,
        duration_us: int,
        seed: int | Sequence[int],
        display: Display | None = None,
        name: str = "image",
    ) -> Recording:
        """Events with 0 <= t < duration_us of `image`, whose centre follows `path`.

        Args:
            image: (H, W), uint8 or floats in [0, 1].
            path: of the image's centre, pixels at us; see `vdib.datasets.camera.motion`.
            duration_us: length of the recording, us.
            seed: of mismatch and noise, one number or several, such as (seed, example's id). The
                events depend on nothing else that is random.
            display: how the image becomes light.
            name: for the recording's origin, `Origin("simulated <name>", "simulated")`.

        Raises:
            ValueError: an image or a duration that cannot be.
        """
        (recording,) = self.pieces(image, path, duration_us, seed, display, name, duration_us)
        return recording

    def pieces(
        self,
        image: ArrayLike | torch.Tensor,
        path: Path,
        duration_us: int,
        seed: int | Sequence[int],
        display: Display | None = None,
        name: str = "image",
        piece_us: int = 1_000_000,
    ) -> Iterator[Recording]:
        """The same events as `record`, in pieces of `piece_us`, in memory for one piece."""
        if duration_us <= 0 or piece_us <= 0:
            raise ValueError(f"{duration_us} us in pieces of {piece_us}, expected more than 0")
        if piece_us < duration_us and piece_us % self.step_us:
            raise ValueError(f"pieces of {piece_us} us are no multiple of step_us {self.step_us}")
        display = display or Display()
        return self._pieces(image, path, duration_us, seed, display, name, piece_us)

    def _pieces(
        self,
        image: ArrayLike | torch.Tensor,
        path: Path,
        duration_us: int,
        seed: int | Sequence[int],
        display: Display,
        name: str,
        piece_us: int,
    ) -> Iterator[Recording]:
        from vdib.datasets.camera import pixel  # here, for numba takes a while to import

        fine = display.points_per_pixel
        luminance, first = display.luminance(image)
        level = display.log_intensity(luminance)
        speed = self._speed(luminance)
        times = range(0, duration_us + self.step_us + 1, self.step_us)
        moving = reached_pixels((self.width, self.height), luminance, first, fine, path, times)
        if display.flicker_depth > 0:
            moving[:] = True
        reached, still = np.flatnonzero(moving), np.flatnonzero(~moving)

        key = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        p = self._parameters()
        state = np.empty((self.width * self.height, pixel.NUM_STATES))
        row, column, weight = looking(path, np.zeros(1), first, fine)
        pixel.start(state, self.width, fine, level, row, column, weight, key, p)

        origin = Origin(f"simulated {name}", "simulated")
        for t0 in range(0, duration_us, piece_us):
            t1 = min(t0 + piece_us, duration_us)
            t = np.arange(t0, t1, self.step_us, dtype=float)  # (T,) starts of the steps
            row, column, weight = looking(path, t + self.step_us, first, fine)
            scene = (fine, level, speed, row, column, weight, display.ripple(t + self.step_us))
            events = _enough_room(pixel, state, reached, still, self, scene, (t0, t1), key, p)
            yield self._recording(*events, before=t1, origin=origin)

    def _speed(self, luminance: NDArray[np.float64]) -> NDArray[np.float64]:
        """x = 2 pi f dt on the grid, f = dark + (cutoff - dark) Y."""
        if not self.cutoff_hz:
            return np.full_like(luminance, 1e9)
        f = self.dark_cutoff_hz + (self.cutoff_hz - self.dark_cutoff_hz) * luminance
        return 2e-6 * np.pi * self.step_us * f

    def _parameters(self) -> NDArray[np.float64]:
        """In the order of `vdib.datasets.camera.pixel`, per us."""
        leak = 1e-6 * self.leak_hz * self.threshold_on
        noise = 1e-6 * self.noise_on_hz, 1e-6 * self.noise_off_hz
        thresholds = self.threshold_on, self.threshold_off, self.mismatch, self.jitter
        return np.array([*thresholds, self.refractory_us, leak, *noise, self.speed_spread])

    def _recording(
        self,
        t: NDArray[np.int64],
        p: NDArray[np.bool_],
        i: NDArray[np.int64],
        before: int,
        origin: Origin,
    ) -> Recording:
        kept = np.flatnonzero(t < before)  # the last step may reach beyond the end
        order = kept[np.argsort(t[kept], kind="stable")]
        y, x = np.divmod(i[order], self.width)
        sign = ~p[order] if self.flip_polarity else p[order]
        size = (self.width, self.height)
        return Recording(x.astype(np.int16), y.astype(np.int16), t[order], sign, size, origin)


def _enough_room(
    pixel: ModuleType,
    state: NDArray[np.float64],
    reached: NDArray[np.int64],
    still: NDArray[np.int64],
    camera: DVSCamera,
    scene: tuple[Any, ...],
    span: tuple[int, int],
    key: np.uint64,
    p: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Times, polarities and pixels of a piece's events; `state` moves on."""
    room = 1 << 15
    while True:
        after = state.copy()
        t, p_, i = np.empty(room, np.int64), np.empty(room, np.bool_), np.empty(room, np.int64)
        t0, t1 = span
        out = (t, p_, i)
        found = pixel.run(after, reached, camera.width, *scene, t0, camera.step_us, key, p, *out)
        found = pixel.run_still(after, still, t0, t1, key, p, *out, found)
        if found <= room:
            state[:] = after
            return t[:found], p_[:found], i[:found]
        room = 2 * found
