"""Images of a recording's recent past, while it goes on.

H, W: pixels of an image; h, w: rows and columns of a sensor.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vdib.figures import gif
from vdib.figures.images import save_image
from vdib.naturalise.carried import looks_of
from vdib.naturalise.looks import Look
from vdib.naturalise.naturaliser import Naturaliser


def running(
    model: Naturaliser,
    path: Path,
    read: Mapping[str, Any],
    out: Path,
    every: Mapping[str, int],
    original: NDArray[np.uint8] | None,
    bar: Any,
) -> int:
    """Images of a recording's recent past, again and again, until it ends or breaks off.

    Writes `<out>/frame_NNNNNN.png`, `<out>/timestamps.txt` (the end of each look in s since the
    first event) and `<out>.gif`: events since the look before, image and, if given, original.

    Returns:
        How many bad records were left out.
    """
    looks = looks_of(model, path, read, every, bar)
    batches = looks.batches()
    begun = next(batches)
    out.mkdir(parents=True, exist_ok=True)
    for frame in out.glob("frame_*.png"):  # of an earlier call: there may be fewer this time
        frame.unlink()
    beside = [] if original is None else [gif.grey(original / 255)]
    numbers = count()
    with (
        gif.GIFWriter(out.with_name(f"{out.name}.gif")) as animation,
        (out / "timestamps.txt").open("w", encoding="ascii") as times,
        ThreadPoolExecutor(1) as aside,  # reads ahead and writes while the model computes
        _one_thread_fewer(),
    ):

        def write(batch: list[Look], images: NDArray[np.floating]) -> None:
            for look, image in zip(batch, images, strict=True):
                save_image(image, out / f"frame_{next(numbers):06}.png")
                times.write(f"{(look.end - begun[0].since) / 1e6:.6f}\n")
                shown = gif.beside([look.picture, gif.grey(image), *beside])
                animation.add(shown, ms=(look.end - look.since) / 1000)

        written: Future[None] | None = None
        for batch in _ahead(chain([begun], batches), aside):
            images = looks.images(batch)
            if written is not None:
                written.result()
            written = aside.submit(write, batch, images)
        assert written is not None
        written.result()
    return looks.skipped


@contextmanager
def _one_thread_fewer() -> Iterator[None]:
    """Of torch's, which else wait for each other on a core that reads and writes: -25 % of time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _ahead(batches: Iterator[list[Look]], thread: ThreadPoolExecutor) -> Iterator[list[Look]]:
    """The same; while one is used, the next is being made."""
    nothing: list[Look] = []
    future = thread.submit(next, batches, nothing)
    while batch := future.result():
        future = thread.submit(next, batches, nothing)
        yield batch
