"""Credit: how the loss reaches the hidden layers through their spikes.

Readout gradients are the business of `vdib.estimator`. From the readout back, each rule here says
how a layer's input spikes enter its drive, and what is fed back from the readout's drive. With
`delta[t] = dL/dv[t]` of the layer above:

- BPTT: `dL/ds[t]` is the exact (surrogate) derivative, through every later potential.
- e-prop: `dL/ds[t] = W^T eps[0] delta[t]`, the learning signal of step t alone. Combined with each
  neuron's own dynamics it equals learning signal times forward eligibility trace; the influence of
  a spike through *later* potentials of *other* neurons is dropped, which biases the gradient
  (Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking neurons",
  2020, https://doi.org/10.1038/s41467-020-17236-y).
- DFA: `dL/ds[t] = B_l delta[t]` with delta of the readout and a fixed random B_l per hidden layer
  (Nokland, "Direct Feedback Alignment Provides Learning in Deep Neural Networks", 2016,
  https://arxiv.org/abs/1609.01596). Biased.

The forward pass is the same under all three.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from vdib.dynamics.firing import Fire
from vdib.neurons.layer import CommutingLayer, Layer, commuting
from vdib.noise import Draws
from vdib.sparse import SparseSpikes, Spikes


class Credit(nn.Module, ABC):
    """A rule that says how the loss reaches the hidden layers."""

    @classmethod
    def of(cls, hidden: Sequence[Layer], readout: Layer, seed: int) -> Self:
        """The rule for an encoder of these layers.

        Args:
            hidden: from the input up.
            readout: the readout.
            seed: of what the rule draws, if it does.
        """
        return cls()

    def check(self, hidden: Sequence[Layer], readout: Layer) -> None:
        """Whether the rule can do with these layers.

        Raises:
            ValueError: it cannot.
        """

    @abstractmethod
    def respond(
        self,
        layer: Layer,
        spikes: Spikes,
        fire: Fire | None = None,
        noise: Draws | None = None,
        hidden: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor | None]:
        """A layer's spikes and v, each `(B, T, *N)`, from the spikes below, `(B, T, *N_in)`.

        Args:
            layer: any that `check` let through.
            spikes: of the layer below.
            fire: how the layer's neurons fire in this call.
            noise: of a stochastic threshold.
            hidden: of the readout only, the spikes of all hidden layers, `(B, T, *N_h)` each.
        """

    @abstractmethod
    def drive(self, layer: CommutingLayer, spikes: Spikes) -> Tensor:
        """The layer's drive `(B, T, *N)` from the spikes below, `(B, T, *N_in)`."""

    def feed_back(self, drive: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        """The readout's drive, unchanged in value, once its way back is laid."""
        return drive


class BPTT(Credit):
    """Back-propagation through time."""

    def respond(
        self,
        layer: Layer,
        spikes: Spikes,
        fire: Fire | None = None,
        noise: Draws | None = None,
        hidden: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor | None]:
        return layer(spikes, fire, noise) if layer.stochastic else layer(spikes)

    def drive(self, layer: CommutingLayer, spikes: Spikes) -> Tensor:
        return layer.drive(spikes)


class _ByDrive(Credit):
    """Rules whose way back starts at the drive, which BPTT leaves inside the layer."""

    def check(self, hidden: Sequence[Layer], readout: Layer) -> None:
        commuting([*hidden, readout], type(self).__name__)

    def respond(
        self,
        layer: Layer,
        spikes: Spikes,
        fire: Fire | None = None,
        noise: Draws | None = None,
        hidden: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor | None]:
        (commutes,) = commuting([layer], type(self).__name__)
        drive = self.feed_back(self.drive(commutes, spikes), hidden)
        return commutes.respond(drive, fire, noise)


class EProp(_ByDrive):
    """Spikes below receive the same-step learning signal only."""

    def drive(self, layer: CommutingLayer, spikes: Spikes) -> Tensor:
        value = layer.drive(spikes.detach())
        if isinstance(spikes, SparseSpikes) or not spikes.requires_grad:
            return value
        return value + layer.same_step_drive(spikes - spikes.detach())  # adds 0, carries gradient


class DirectFeedback(_ByDrive):
    """The readout's learning signal, projected at random to every hidden layer.

    Args:
        hidden_sizes: neurons of each hidden layer.
        num_readout: N_y.
        seed: of the fixed matrices B_l, entries normal with variance `1 / N_y`.
    """

    def __init__(self, hidden_sizes: Sequence[int], num_readout: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for i, size in enumerate(hidden_sizes):
            matrix = torch.randn(num_readout, size, generator=generator) / math.sqrt(num_readout)
            self.register_buffer(f"matrix_{i}", matrix)

    @classmethod
    def of(cls, hidden: Sequence[Layer], readout: Layer, seed: int) -> Self:
        return cls([math.prod(layer.shape) for layer in hidden], readout.shape[0], seed)

    def drive(self, layer: CommutingLayer, spikes: Spikes) -> Tensor:
        return layer.drive(spikes.detach())

    def feed_back(self, drive: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        for spikes, matrix in zip(hidden, self.buffers() if hidden else (), strict=True):
            drive = _Project.apply(drive, spikes, matrix)  # type: ignore[no-untyped-call, unused-ignore]
        return drive


class _Project(torch.autograd.Function):
    """Identity on the drive whose gradient also goes, projected, to the spikes."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, spikes: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(matrix)
        ctx.spikes_shape = spikes.shape
        return drive.view_as(drive)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        (matrix,) = ctx.saved_tensors
        return grads[0], (grads[0] @ matrix).view(ctx.spikes_shape), None
