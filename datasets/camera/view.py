"""Where on a displayed image the pixels of a camera look while it moves.

P: pixels of the sensor; T: times; G G': points of the display's grid.
"""

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.camera.motion import Path

_CHUNK = 1 << 14  # times whose positions are held at once while looking for the path's extent


def looking(
    path: Path, t: NDArray[np.float64], first: NDArray[np.float64], fine: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Where on the grid pixel (0, 0) looks at times `t` (T,): row, column, bilinear weights.

    Pixel q sees the image's point q - path(t), which is point (q - path(t) - first) fine of the
    grid.
    """
    at = (-path.position(t) - first) * fine  # (T, 2)
    corner = np.floor(at)
    x, y = (at - corner).T
    weight = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], 1)  # (T, 4)
    column, row = corner.T.astype(np.int64)
    return row, column, weight


def reached_pixels(
    size: tuple[int, int],
    luminance: NDArray[np.float64],
    first: NDArray[np.float64],
    fine: int,
    path: Path,
    times: range,
) -> NDArray[np.bool_]:
    """Which pixels (P,) of a sensor `size` (width, height) ever see anything but the background.

    `luminance` (G, G') and `first` are the display's, and `times` (us) what is looked at of `path`.
    """
    seen = np.zeros(size[::-1], np.bool_)
    cells: set[tuple[int, int]] = set()  # whole pixels that the image's centre passes
    for start in range(0, len(times), _CHUNK):
        t = np.array(times[start : start + _CHUNK], float)
        place = np.floor(path.position(t))
        moved = np.flatnonzero((place[1:] != place[:-1]).any(1)) + 1
        cells.update(map(tuple, place[[0, *moved]].astype(int).tolist()))
    lit = np.abs(luminance - luminance[0, 0]) > 1e-8
    rows, columns = (side // fine for side in lit.shape)
    unit = lit.reshape(rows, fine, columns, fine).any((1, 3))
    # A lit point of cell c, moved by the centre in cell m, is seen by pixels c + m to c + m + 2:
    # one further than it gets, because grid points are seen from a fraction of a pixel away.
    near = np.zeros((rows + 2, columns + 2), np.bool_)
    for down in range(3):
        for along in range(3):
            near[down : down + rows, along : along + columns] |= unit
    for x, y in cells:
        _paste(seen, near, int(first[0]) + x, int(first[1]) + y)
    return seen.ravel()


def _paste(onto: NDArray[np.bool_], patch: NDArray[np.bool_], left: int, top: int) -> None:
    """Or `patch` into `onto` at (left, top), as far as it lies within."""
    height, width = onto.shape
    y0, y1 = max(top, 0), min(top + patch.shape[0], height)
    x0, x1 = max(left, 0), min(left + patch.shape[1], width)
    if y0 < y1 and x0 < x1:
        onto[y0:y1, x0:x1] |= patch[y0 - top : y1 - top, x0 - left : x1 - left]
