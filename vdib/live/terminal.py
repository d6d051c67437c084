"""A live input in a terminal: the image in half blocks, and what is to be said of it."""

import sys
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from vdib.live.engine import Look
from vdib.live.source import now
from vdib.live.status import Status

_EVERY = 0.1  # s between two drawings


def blocks(image: NDArray[np.floating]) -> list[str]:
    """An image (H, W) in [0, 1] in grey, two rows of pixels a line of characters."""
    grey = np.rint(232 + 23 * np.clip(image, 0, 1)).astype(int)  # the terminal's 24 greys
    if len(grey) % 2:
        grey = np.concatenate([grey, grey[-1:]])
    lines = []
    for upper, lower in zip(grey[::2], grey[1::2], strict=True):
        cells = (f"\x1b[38;5;{a};48;5;{b}m\u2580" for a, b in zip(upper, lower, strict=True))
        lines.append("".join(cells) + "\x1b[0m")
    return lines


class Terminal:
    """Draws over what it drew before; nothing where nobody looks.

    Args:
        status: what is to be said.
        out: a terminal, or something else.
    """

    def __init__(self, status: Status, out: TextIO = sys.stderr) -> None:
        self.status, self.out = status, out
        self._drawn, self._next = 0, 0.0

    def show(self, look: Look) -> None:
        """A look, unless the last is too young."""
        if not self.out.isatty() or now() < self._next:
            return
        self._next = now() + _EVERY
        lines = self.status.lines()
        if look.image is not None:
            lines = [*blocks(look.image), *lines]
        elif look.label is not None:
            lines = [f"{look.label[0]} ({look.label[1]:.2f})", *lines]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self.out.write(up + "".join(f"\r\x1b[K{line}\n" for line in lines))
        self.out.flush()
        self._drawn = len(lines)
