"""What is written of images that were drawn.

<out>/image_000.png ...    one image each
<out>/sheet.png            all of them
<out>/spikes.png           the first ones beside their spikes
<out>/forming.gif          how they come about
<out>/spikes.npz           `spikes` (B, T, N) and `images` (B, H, W)
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vdib.figures import gif
from vdib.figures.drawn import mosaic, with_spikes
from vdib.figures.images import save_image
from vdib.figures.style import save
from vdib.files import replacing

SHOWN = 16
"""Images that are shown beside their spikes."""
MS, LAST_MS = 250.0, 2_000.0


def write(
    out: Path,
    images: NDArray[np.floating],
    spikes: Tensor,
    frames: NDArray[np.floating],
    titles: list[str] | None = None,
) -> None:
    """Write images and their spikes into a folder, which is made; what an earlier call left goes.

    Args:
        out: the folder.
        images: `(B, H, W)` in [0, 1].
        spikes: `(B, T, N)`.
        frames: of the animation, each of some images side by side, `(F, K, H, W)`.
        titles: of the images.
    """
    out.mkdir(parents=True, exist_ok=True)
    for path in out.glob("image_*.png"):  # there may be fewer this time
        if re.fullmatch(r"image_\d+\.png", path.name):  # others are the user's
            path.unlink()
    digits = max(3, len(str(len(images) - 1)))
    for i, image in enumerate(images):
        save_image(image, out / f"image_{i:0{digits}}.png")
    save_image(mosaic(images), out / "sheet.png")
    first = slice(SHOWN)
    labels = None if titles is None else titles[first]
    save(with_spikes(images[first], spikes[first], labels), out / "spikes.png")
    with gif.GIFWriter(out / "forming.gif") as animation:
        for i, some in enumerate(frames):
            sheet = gif.grey(mosaic(some))
            shown = gif.beside([sheet], height=max(168, 2 * len(sheet)))
            animation.add(shown, ms=LAST_MS if i == len(frames) - 1 else MS)
    with replacing(out / "spikes.npz") as file:
        np.savez_compressed(file, spikes=spikes.numpy().astype(np.uint8), images=images)
