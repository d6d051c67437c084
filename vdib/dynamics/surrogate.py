"""Surrogate derivatives of a deterministic threshold.

A deterministic threshold fires `s = 1[v > 0]`, with `v = (u - theta) / Delta` the potential's
distance from threshold. Its true derivative is zero almost everywhere; training replaces it by one
of the bump functions below, each a plain function `v -> ds/dv`, passed as a value.

Every function takes and returns a tensor of any shape; `v` and all parameters are dimensionless.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Surrogate = Callable[[Tensor], Tensor]


def boxcar(v: Tensor, width: float = 0.5) -> Tensor:
    """`1[|v| <= width] / (2 width)`: the uniform density on `[-width, width]`."""
    return (v.abs() <= width).to(v.dtype) / (2 * width)


def sigmoid(v: Tensor, slope: float = 4.0) -> Tensor:
    """`slope f (1 - f)` with `f = 1 / (1 + exp(-slope v))`: the logistic density."""
    f = torch.sigmoid(slope * v)
    return slope * f * (1 - f)


def arctan(v: Tensor, alpha: float = 2.0) -> Tensor:
    """`(alpha / 2) / (1 + (pi alpha v / 2)^2)`: a Cauchy density.

    Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking
    Neural Networks", 2021, https://arxiv.org/abs/2007.05785; the default of snnTorch.
    """
    return (alpha / 2) / (1 + (math.pi / 2 * alpha * v) ** 2)


def fast_sigmoid(v: Tensor, slope: float = 5.0) -> Tensor:
    """`1 / (1 + slope |v|)^2`, of unit peak.

    Zenke & Ganguli, "SuperSpike", 2018, https://arxiv.org/abs/1705.11146.
    """
    return (1 + slope * v.abs()) ** -2


def gaussian(v: Tensor, std: float = 0.4) -> Tensor:
    """`exp(-v^2 / (2 std^2)) / (std sqrt(2 pi))`: the normal density.

    Rezaabad & Vishwanath, "Long Short-Term Memory Spiking Networks and Their Applications", 2020,
    https://arxiv.org/abs/2007.04779.
    """
    return torch.exp(-0.5 * (v / std) ** 2) / (std * math.sqrt(2 * math.pi))


def exponential(v: Tensor, a: float = 1.0, b: float = 2.0) -> Tensor:
    """`a exp(-b |v|)`: the escape-rate density of SLAYER.

    Shrestha & Orchard, "SLAYER: Spike Layer Error Reassignment in Time", 2018,
    https://arxiv.org/abs/1810.08646.
    """
    return a * torch.exp(-b * v.abs())
