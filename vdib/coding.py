"""Images into spikes, one input neuron per pixel or, row by row, per column.

Legend: B batch, T steps, N pixels, H W rows and columns; pixel values p in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vdib.backends import dispatch
from vdib.noise import INPUT, Noise

Coding = Callable[[Tensor, int, Noise], Tensor]
"""`(pixels (B, N), T, noise) -> spikes (B, T, N)`; of `row_code` `(B, H, W)` to `(B, T, W)`."""


def _check(pixels: Tensor) -> None:
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        low, high = float(pixels.min()), float(pixels.max())
        raise ValueError(f"pixels must lie in [0, 1], got {low} to {high}")


def rate_code(pixels: Tensor, num_steps: int, noise: Noise) -> Tensor:
    """Independent spikes at every step, `x[t] ~ Bernoulli(p)`.

    Args:
        pixels: `(B, N)` in [0, 1].
        num_steps: T.
        noise: address of the draws.

    Returns:
        `(B, T, N)`.
    """
    _check(pixels)
    uniform = dispatch.uniform(noise.of_layer(INPUT), num_steps, tuple(pixels.shape[1:]))
    return (uniform < pixels[:, None]).to(pixels.dtype)


def row_code(pixels: Tensor, num_steps: int, noise: Noise) -> Tensor:
    """One row of the image after the other, top down: `x[t] ~ Bernoulli(p of row t)`.

    "Sequential MNIST": 28 steps of 28 inputs. With T = n H every row is shown for n steps.

    Args:
        pixels: `(B, H, W)` in [0, 1].
        num_steps: T.
        noise: address of the draws.

    Returns:
        `(B, T, W)`.

    Raises:
        ValueError: T is no multiple of H.
    """
    _check(pixels)
    rows = pixels.shape[1]
    if num_steps < 1 or num_steps % rows:
        raise ValueError(f"num_steps: got {num_steps}, expected a multiple of the {rows} rows")
    uniform = dispatch.uniform(noise.of_layer(INPUT), num_steps, tuple(pixels.shape[2:]))
    shown = pixels.repeat_interleave(num_steps // rows, 1)
    return (uniform < shown).to(pixels.dtype)


def constant_code(pixels: Tensor, num_steps: int, noise: Noise | None = None) -> Tensor:
    """No spikes: the pixel itself as a constant current, `x[t] = p`; `noise` is not used.

    A view that does not repeat the pixels in memory.

    >>> constant_code(torch.tensor([[1.0, 0.5]]), 3)[0]
    tensor([[1.0000, 0.5000],
            [1.0000, 0.5000],
            [1.0000, 0.5000]])
    """
    _check(pixels)
    return pixels[:, None].expand(-1, num_steps, -1)


def time_code(pixels: Tensor, num_steps: int, noise: Noise | None = None) -> Tensor:
    """One spike, the earlier the brighter: at step `T - 1 - n` with `n = round(p (T - 1))`.

    A pixel that rounds to n = 0 stays silent. Deterministic; `noise` is not used.

    >>> time_code(torch.tensor([[1.0, 0.5, 0.0]]), 3)[0]
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 0.]])
    """
    _check(pixels)
    level = torch.round(pixels * (num_steps - 1))
    steps = torch.arange(num_steps, device=pixels.device)[:, None]
    spikes = (steps == num_steps - 1 - level[:, None]) & (level[:, None] > 0)
    return spikes.to(pixels.dtype)
