"""Numbers of a layer that are held fixed or learned: decays, thresholds, widths.

What is learned is a number w without bounds, of which the constant is a function that keeps it in
its range: `sigmoid(w)` in (0, 1) of a decay, `exp(w)` above 0 of anything else. One w for the whole
layer, as in Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning of
Spiking Neural Networks", 2021, https://arxiv.org/abs/2007.05785, or one per neuron (of a
convolution, per channel).
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Constant(nn.Module, ABC):
    """One of them.

    Args:
        value: to start from.
        learned: whether training moves it.
        shape: of w, broadcastable to that of the neurons.
    """

    def __init__(self, value: float, learned: bool, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.value = value
        free = self._free(torch.tensor(value, dtype=torch.float64)).to(torch.get_default_dtype())
        self.w = nn.Parameter(free.expand(shape).clone()) if learned else None

    def forward(self, like: Tensor) -> Tensor:
        """The constant, `()` where it is fixed, else of the shape of w; as `like` is stored."""
        return like.new_tensor(self.value) if self.w is None else self._bounded(self.w)

    @abstractmethod
    def _bounded(self, w: Tensor) -> Tensor:
        """The constant of w."""

    @abstractmethod
    def _free(self, value: Tensor) -> Tensor:
        """The w of a constant."""


LARGEST = 1 - 1e-6
"""Decay per step beyond which a learned one does not go: float32 would soon round it to 1."""


class Decay(Constant):
    """In (0, 1) where it is learned: `sigmoid(w)`, at most `LARGEST`."""

    def __init__(self, name: str, value: float, learned: bool, shape: tuple[int, ...]) -> None:
        if not (0 < value <= LARGEST if learned else 0 <= value < 1):
            least = f"above 0 and at most {LARGEST} where it is learned" if learned else "in [0, 1)"
            raise ValueError(f"{name}: got {value}, expected a decay per step {least}")
        super().__init__(value, learned, shape)

    def _bounded(self, w: Tensor) -> Tensor:
        return torch.sigmoid(w).clamp_max(LARGEST)

    def _free(self, value: Tensor) -> Tensor:
        return torch.logit(value)


class Positive(Constant):
    """Above 0: `exp(w)`."""

    def __init__(self, name: str, value: float, learned: bool, shape: tuple[int, ...]) -> None:
        if not value > 0:
            raise ValueError(f"{name}: got {value}, expected above 0")
        super().__init__(value, learned, shape)

    def _bounded(self, w: Tensor) -> Tensor:
        return torch.exp(w)

    def _free(self, value: Tensor) -> Tensor:
        return torch.log(value)
