"""An image on a display, as the pixels of a camera see it: log intensity on a fine grid.

H W: the image's pixels; G G': points of the grid, `fine` per pixel of the sensor and side.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

Grid = NDArray[np.float64]


@dataclass(frozen=True)
class Display:
    """Display and optics: from grey values to the light on a sensor's pixels.

        Y(x) = sum over image pixels h of u_h^gamma  (Gauss(blur) * box of h)(x)     in [0, 1]
        L(x) = log(black + Y(x))                                     log units of e, 0 at white

    with grey values u in [0, 1]; `inverted` shows 1 - Y. A flickering backlight multiplies all
    light by 1 + depth sin(2 pi flicker t).

    Args:
        scale: sensor pixels per image pixel.
        gamma: of the display, dimensionless.
        black: luminance of black and of stray light over that of white, dimensionless, above 0.
        blur: standard deviation of the optics and the pixel's area together, sensor pixels.
        inverted: dark digits on a bright screen.
        flicker_hz, flicker_depth: frequency in Hz, and depth in [0, 1); a depth of 0 is none.
    """

    scale: float = 1.0
    gamma: float = 2.2
    black: float = 0.1
    blur: float = 0.4
    inverted: bool = False
    flicker_hz: float = 0.0
    flicker_depth: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "gamma", "black", "blur"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")
        if not 0 <= self.flicker_depth < 1:
            raise ValueError(f"flicker_depth is {self.flicker_depth}, expected 0 <= depth < 1")

    def luminance(self, image: ArrayLike | torch.Tensor, fine: int) -> tuple[Grid, Grid]:
        """Y on the grid (G, G'), and the grid's place (2,): (x, y) of its first point.

        Places are in sensor pixels from the image's centre. `image` is (H, W): uint8, or floats
        in [0, 1]. Around the image there are at least two points of black.
        """
        grey = np.asarray(image)
        if grey.ndim != 2 or 0 in grey.shape:
            raise ValueError(f"the image has shape {grey.shape}, expected (H, W)")
        u = grey / 255.0 if grey.dtype == np.uint8 else grey.astype(float)
        if not (u.min() >= 0 and u.max() <= 1):
            raise ValueError(f"grey values from {u.min()} to {u.max()}, expected 0 to 1 or uint8")
        rows, columns = (_lens(side, self.scale, self.blur, fine) for side in u.shape)
        light = rows.weights @ u**self.gamma @ columns.weights.T  # (G, G')
        light = 1 - light if self.inverted else light
        return light, np.array([columns.first, rows.first])

    def log_intensity(self, luminance: Grid) -> Grid:
        """L, log units of e."""
        return np.log(self.black + luminance)

    def ripple(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """What flicker adds to L at the times `t` (T,) in us: (T,), log units of e."""
        wave = np.sin(2e-6 * np.pi * self.flicker_hz * t)
        return np.log1p(self.flicker_depth * wave)


@dataclass(frozen=True)
class _Lens:
    """One axis of the blur: (G, H) weights, and the first point's place from the centre."""

    weights: Grid
    first: float


@lru_cache(64)
def _lens(side: int, scale: float, blur: float, fine: int) -> _Lens:
    """Integrals of a Gaussian at every point of the grid over every pixel of the image.

    w_gh = Phi((right_h - x_g) / blur) - Phi((left_h - x_g) / blur)
    """
    reach = int(np.ceil((side * scale / 2 + 5 * blur) * fine)) + 2
    point = torch.arange(-reach, reach + 1, dtype=torch.float64) / fine  # (G,)
    edge = (torch.arange(side + 1, dtype=torch.float64) - side / 2) * scale  # (H + 1,)
    below = torch.special.ndtr((edge - point[:, None]) / blur)  # (G, H + 1)
    return _Lens(below.diff(dim=1).numpy(), -reach / fine)
