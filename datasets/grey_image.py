"""Grey images of anyone's: read from a file, found beside a recording. H, W: pixels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".tif", ".tiff")


def image_of(recording: Path) -> Path | None:
    """The image of a recording: beside it, or beside its folder."""
    for stem in (recording.with_suffix(""), recording.parent):
        for suffix in IMAGES:
            path = stem.parent / f"{stem.name}{suffix}"
            if path.is_file():
                return path
    return None


def read_image(path: Path) -> NDArray[np.uint8]:
    """A grey image, (H, W).

    Raises:
        ValueError: the file is no image (one line).
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            grey: NDArray[np.uint8] = np.asarray(image.convert("L"), np.uint8)
            return grey
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from None
