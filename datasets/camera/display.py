"""An image on a display, as the pixels of a camera see it: log intensity on a fine grid.

H W: the image's pixels; G G': points of the grid, `points_per_pixel` a sensor pixel and side.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

Grid = NDArray[np.float64]


@dataclass(frozen=True)
class Display:
    """Display and optics: from grey values to the light on a sensor's pixels.

        g(x) = sum over image pixels h of u_h (Gauss(smoothing) * box of h)(x)    enlarged image
        l(x) = clip(1/2 + contrast (g(x) - middle), 0, 1)                         what is shown
        Y(x) = (Gauss(blur) * l^gamma)(x)                                         light in [0, 1]
        L(x) = log(black + Y(x))                                                  log units of e

    with grey values u in [0, 1], u = 0 beside the image; `inverted` takes 1 - l for l. A
    flickering backlight multiplies all light by 1 + depth sin(2 pi flicker t).

    Args:
        scale: sensor pixels per image pixel, vertically.
        aspect: horizontal over vertical scale, dimensionless (a screen seen at an angle).
        smoothing: standard deviation of the enlargement's interpolation, image pixels, beyond that
            of the image's pixels themselves; near 0 they are squares, 0.29 is about bilinear.
        contrast, middle: what is shown of the grey values, dimensionless; 1 and 1/2 leave them as
            they are, a high contrast makes black and white of them, parted at `middle`.
        gamma: of the display, dimensionless.
        black: luminance of black and of stray light over that of white, dimensionless, above 0.
        blur: standard deviation of the optics and the pixel's area together, sensor pixels.
        inverted: dark digits on a bright screen.
        flicker_hz, flicker_depth: frequency in Hz, and depth in [0, 1); a depth of 0 is none.
    """

    scale: float = 1.0
    aspect: float = 1.0
    smoothing: float = 0.1
    contrast: float = 1.0
    middle: float = 0.5
    gamma: float = 2.2
    black: float = 0.1
    blur: float = 0.4
    inverted: bool = False
    flicker_hz: float = 0.0
    flicker_depth: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "aspect", "smoothing", "contrast", "gamma", "black", "blur"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")
        if not 0 <= self.flicker_depth < 1:
            raise ValueError(f"flicker_depth is {self.flicker_depth}, expected 0 <= depth < 1")

    @property
    def points_per_pixel(self) -> int:
        """How fine the grid is: at least 4, and one in a standard deviation of the blur."""
        return max(4, math.ceil(1 / self.blur))

    def luminance(self, image: ArrayLike | torch.Tensor) -> tuple[Grid, Grid]:
        """Y on the grid (G, G'), and the grid's place (2,): (x, y) of its first point.

        Places are in sensor pixels from the image's centre. `image` is (H, W): uint8, or floats
        in [0, 1]. Around the image there is at least a pixel of background; the first point has
        whole coordinates, and the grid covers whole pixels.
        """
        grey = np.asarray(image)
        if grey.ndim != 2 or 0 in grey.shape:
            raise ValueError(f"the image has shape {grey.shape}, expected (H, W)")
        u = grey / 255.0 if grey.dtype == np.uint8 else grey.astype(float)
        if not (u.min() >= 0 and u.max() <= 1):
            raise ValueError(f"grey values from {u.min()} to {u.max()}, expected 0 to 1 or uint8")
        rows = self._lens(u.shape[0], self.scale)
        columns = self._lens(u.shape[1], self.scale * self.aspect)
        g = rows.weights @ u @ columns.weights.T  # (G, G')
        shown = np.clip(0.5 + self.contrast * (g - self.middle), 0, 1)
        light = (1 - shown if self.inverted else shown) ** self.gamma
        sigma = self.blur * self.points_per_pixel
        light = np.ascontiguousarray(_blurred(_blurred(light, sigma).T, sigma).T)
        return light, np.array([columns.first, rows.first], float)

    def _lens(self, side: int, scale: float) -> "_Lens":
        return _lens(side, scale, self.smoothing, self.blur, self.points_per_pixel)

    def log_intensity(self, luminance: Grid) -> Grid:
        """L, log units of e."""
        return np.log(self.black + luminance)

    def ripple(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """What flicker adds to L at the times `t` (T,) in us: (T,), log units of e."""
        wave = np.sin(2e-6 * np.pi * self.flicker_hz * t)
        return np.log1p(self.flicker_depth * wave)


@dataclass(frozen=True)
class _Lens:
    """One axis of the enlargement: (G, H) weights, and the first point's place from the centre."""

    weights: Grid
    first: int


@lru_cache(64)
def _lens(side: int, scale: float, smoothing: float, blur: float, fine: int) -> _Lens:
    """Integrals of a Gaussian at every point of the grid over every pixel of the image.

    w_gh = Phi((right_h - x_g) / sigma) - Phi((left_h - x_g) / sigma),   sigma = smoothing scale
    """
    sigma = smoothing * scale
    reach = math.ceil(side * scale / 2 + 5 * sigma + 4 * blur) + 1  # sensor pixels
    point = torch.arange(-reach * fine, reach * fine, dtype=torch.float64) / fine  # (G,)
    edge = (torch.arange(side + 1, dtype=torch.float64) - side / 2) * scale  # (H + 1,)
    below = torch.special.ndtr((edge - point[:, None]) / sigma)  # (G, H + 1)
    return _Lens(below.diff(dim=1).numpy(), -reach)


def _blurred(light: Grid, sigma: float) -> Grid:
    """Convolution of the rows' index (G, G') with a Gaussian of `sigma` points, edges repeated."""
    reach = math.ceil(3 * sigma)
    tap = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    tap /= tap.sum()
    padded = np.pad(light, ((reach, reach), (0, 0)), mode="edge")
    blurred = np.zeros_like(light)
    for k, weight in enumerate(tap):
        blurred += weight * padded[k : k + len(light)]
    return blurred
