"""Threshold-dependent batch normalisation (tdBN) of a layer's currents.

    I'_c = gamma_c (I_c - mean_c) / sqrt(var_c + 1e-5) + shift_c

with mean and variance over batch, time and space of each channel c of the currents I = W x: of a
dense layer, each neuron. Zheng, Wu, Deng, Hu & Li, "Going Deeper With Directly-Trained Larger
Spiking Neural Networks", 2021, https://arxiv.org/abs/2011.05280, start gamma at alpha V_th. Their
membrane keeps little of the past, so that this is also the spread of the potential. Here filters
may add up many steps: gamma starts at 1, and calibration then scales it so that the *potential* is
of the order of the threshold.

In evaluation and in streams mean and variance are running averages of training. I' is then an
affine function of I: weights times a scale, and a bias *current*, `folded()`, which goes through
the filter like any other. In training the statistics are of whole sequences of a batch, and single
steps are refused.

Legend: R rows (batch and time), K currents per neuron, N neurons, C channels of a convolution.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from vdib.dynamics.surrogate import Surrogate
from vdib.neurons.layer import Connect, Layer, Neuron, State, Synapses
from vdib.neurons.wrapped import Wrapped
from vdib.precision import single
from vdib.sparse import Spikes


class NormalisedSynapses(nn.Module):
    """Synapses, and the normalisation of their currents.

    Args:
        synapses: what is normalised.
        num_channels: of their currents, K N or K C.

    Attributes:
        norm: gamma, shift and the running statistics, `(num_channels,)` each.
    """

    def __init__(self, synapses: Synapses, num_channels: int) -> None:
        super().__init__()
        self.synapses = synapses  # first, so that weights are the first of the parameters
        self.input_shape = synapses.input_shape
        self.norm = nn.BatchNorm1d(num_channels)

    def forward(self, x: Spikes) -> Tensor:
        """`(R, *N_in)` spikes, dense or as lists of R = B T rows, to `(R, num_channels, ...)`."""
        currents = single(self.synapses(x))
        if self.training:
            return self._by_batch(currents)
        scale, current = self.folded()
        # Two roundings, never one: a step then is the whole sequence to the last bit.
        per_channel = (-1, *[1] * (currents.dim() - 2))
        return currents * scale.view(per_channel) + current.view(per_channel)

    def _by_batch(self, currents: Tensor, momentum: float = 0.1) -> Tensor:
        norm = self.norm
        running = norm.running_mean, norm.running_var
        return batch_norm(currents, *running, norm.weight, norm.bias, True, momentum, norm.eps)

    def folded(self) -> tuple[Tensor, Tensor]:
        """The scale of each channel's weights, and its bias current, `(num_channels,)` each."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return scale, norm.bias - norm.running_mean * scale

    @torch.no_grad()
    def measure(self, x: Spikes) -> None:
        """Take the statistics of these rows for the running ones."""
        self._by_batch(single(self.synapses(x)), momentum=1.0)


class Normalised(Wrapped):
    """A layer behind `NormalisedSynapses`."""

    def step(self, x: Tensor, state: State, *how: Any) -> tuple[Tensor, Tensor | None, State]:
        """One step, under the running statistics.

        Raises:
            ValueError: in training.
        """
        if self.training:
            raise ValueError("batch norm in training is of whole sequences: call eval() to step")
        return super().step(x, state, *how)

    @torch.no_grad()
    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Scale gamma so that the potentials of `x` are of the order of the threshold."""
        training = self.training
        # By statistics of the batch, which forget the scale of the weights: what acts is gamma's.
        self.train()
        super().calibrate(x, spread, rate)
        for part in self.modules():
            if isinstance(part, NormalisedSynapses):
                part.measure(x.flatten(0, 1) if isinstance(x, Tensor) else x)
        self.train(training)


def normalised(neuron: Neuron) -> Neuron:
    """The same neurons behind normalised synapses."""

    def layer(connect: Connect, shape: tuple[int, ...], surrogate: Surrogate | None) -> Layer:
        def connect_normalised(currents: int) -> Synapses:
            return NormalisedSynapses(connect(currents), currents * shape[0])

        return Normalised(neuron(connect_normalised, shape, surrogate))

    return layer
