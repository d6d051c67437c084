"""A periodic curve, told in ON and OFF events.

    f(x) = 0.5 sin 3x + 0.5 sin 6x + 1,     x[t] = 2 pi t / T + phase

in (0, 2). Half of the inputs are ON: each fires with probability f / 2. The others are OFF: each
fires with probability 1 - f / 2. All are independent, of each other and over time. Rezaabad &
Vishwanath, "Long Short-Term Memory Spiking Networks and Their Applications", 2020,
https://arxiv.org/abs/2007.04779, section 4.1: the curve, 20 inputs and T = 100 are theirs. How many
inputs are ON and how f becomes a probability is not printed there, and is as above here.

Legend: B batch, T steps, N inputs.
"""

import math

import torch
from torch import Tensor

from vdib.noise import INPUT, Noise

PHASE = INPUT - 1
"""The layer number of the noise that phases are drawn from."""


def curve(num_steps: int, phase: Tensor) -> Tensor:
    """f at all steps, `(B)` phases (radians) to `(B, T)`.

    >>> curve(4, torch.zeros(1))
    tensor([[1.0000, 0.5000, 1.0000, 1.5000]])
    """
    x = 2 * math.pi * torch.arange(num_steps, device=phase.device) / num_steps + phase[:, None]
    return 0.5 * torch.sin(3 * x) + 0.5 * torch.sin(6 * x) + 1


def random_phase(noise: Noise) -> Tensor:
    """Uniform in [0, 2 pi), one an example, `(B)`."""
    return 2 * math.pi * noise.uniform(PHASE, 1, (1,))[:, 0, 0]


def events(values: Tensor, num_inputs: int, noise: Noise) -> Tensor:
    """ON and OFF events of values in [0, 2], `(B, T)` to `(B, T, N)` in {0, 1}.

    Args:
        values: f.
        num_inputs: N, even: the first half is ON.
        noise: address of the draws.

    Raises:
        ValueError: an odd N, or one below 2.
    """
    if num_inputs < 2 or num_inputs % 2:
        raise ValueError(f"num_inputs: got {num_inputs}, expected an even number: ON and OFF")
    on = (values / 2)[..., None]
    probability = torch.cat([on, 1 - on], -1).repeat_interleave(num_inputs // 2, -1)
    uniform = noise.uniform(INPUT, values.shape[1], (num_inputs,))
    return (uniform < probability).to(values.dtype)
