"""Spike response model (SRM) layers, dense and convolutional.

    u_i[t] = sum_j sum_k w_ij^k (eps_k * s_j)[t] + gain_i (nu * s_i)[t - 1] + b_i
    v_i[t] = (u_i[t] - theta) / Delta,     s_i[t] = fire(v_i[t])

Filter and weights commute, so the weights come first: one product over all (batch, time) rows, then
the causal filter, then the scan. Whether the threshold is deterministic or stochastic is the
business of `fire`: `vdib.dynamics.firing.Threshold`, or a sampler there, for which
`p(s = 1 | u) = sigmoid(v)`. No layer keeps state: `step` takes and returns it.

Legend: B batch, T steps, K kernels, N neurons (dense: N; convolutional: C, H, W).
"""

import math

import torch
from torch import Tensor, nn

from vdib.backends import dispatch
from vdib.backends.event_conv import event_conv2d
from vdib.backends.event_linear import EventLinear
from vdib.dynamics.feedback import ExponentialFeedback, Feedback, KernelFeedback, over
from vdib.dynamics.filters import ExponentialPair, Filter, RaisedCosines, State
from vdib.dynamics.firing import Fire
from vdib.noise import Draws
from vdib.precision import single
from vdib.spikes import Spikes


class SRM(nn.Module):
    """One layer of SRM neurons behind a linear map.

    Args:
        synapses: the linear map without bias, from one step's spikes to K currents per neuron,
            kernel-major: `(B, *N_in)` to `(B, K N)` or `(B, K C, H, W)`.
        shape: of the layer's neurons, `(N,)` or `(C, H, W)`.
        filter: the synaptic kernels eps.
        feedback: the kernel nu of a neuron's own spikes.
        threshold: theta, in units of the potential.
        width: Delta, the spread of a stochastic threshold, in units of the potential.
    """

    def __init__(
        self,
        synapses: nn.Module,
        shape: tuple[int, ...],
        filter: Filter,
        feedback: Feedback,
        threshold: float = 1.0,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if width <= 0:
            raise ValueError(f"the threshold's width must be positive, got {width}")
        self.synapses = synapses
        self.shape = shape
        self.filter = filter
        self.feedback = feedback
        self.threshold = threshold
        self.width = width
        # One number per neuron, or per channel of a convolution.
        own = (shape[0],) + (1,) * (len(shape) - 1)
        self.bias = nn.Parameter(torch.zeros(own))
        self.gain = nn.Parameter(torch.full(own, width))

    def currents(self, x: Spikes) -> Tensor:
        """What the spikes `(B, T, *N_in)` send through the weights, `(B, T, K, *N)`."""
        if isinstance(x, Tensor):
            currents = self._currents(x.flatten(0, 1))
        elif isinstance(self.synapses, (Dense, PooledConv2d)):
            currents = self._currents(x)
        else:
            currents = self._currents(x.dense(self.bias.dtype).flatten(0, 1))
        return currents.view(*x.shape[:2], *currents.shape[1:])

    def _currents(self, x: Spikes, detach: bool = False) -> Tensor:
        """Spikes of any number of steps `(R, *N_in)`, or lists of them, to `(R, K, *N)`."""
        if detach:
            weights = {name: w.detach() for name, w in self.synapses.named_parameters()}
            out = torch.func.functional_call(self.synapses, weights, (x,))
        else:
            out = self.synapses(x)
        expected = (self.filter.num_kernels * self.shape[0], *self.shape[1:])
        if out.shape[1:] != expected:
            got, came = tuple(out.shape[1:]), tuple(x.shape[1 if isinstance(x, Tensor) else 2 :])
            raise ValueError(f"inputs {came} make currents {got}, expected {expected}")
        currents: Tensor = out.view(-1, self.filter.num_kernels, *self.shape)
        return currents

    def _distance(self, potential: Tensor) -> Tensor:
        return (potential + (self.bias - self.threshold)) * (1 / self.width)

    def drive(self, x: Spikes) -> Tensor:
        """Distance from threshold but for the neurons' own feedback, for all steps at once.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.

        Returns:
            `(B, T, *N)`.
        """
        currents = self.currents(x)
        return dispatch.drive(currents, self.filter, self.bias - self.threshold, self.width)

    def same_step_drive(self, x: Tensor) -> Tensor:
        """The part of the drive at t that spikes at t cause, with the weights held constant.

        Same shapes as `drive`; what e-prop lets a learning signal through.
        """
        currents = single(self._currents(x.flatten(0, 1), detach=True))
        now = torch.einsum("k,rk...->r...", self.filter.kernel(1)[:, 0].to(currents), currents)
        return now.view(*x.shape[:2], *self.shape) / self.width

    def forward(self, x: Spikes, fire: Fire, noise: Draws | None = None) -> tuple[Tensor, Tensor]:
        """Spikes and distances from threshold over a whole sequence.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.
            fire: how the neurons fire.
            noise: `(B, T, *N)`, uniform in (0, 1), or a stream of B rows, for a stochastic
                threshold.

        Returns:
            Spikes and v, each `(B, T, *N)`.
        """
        # Named, so that they are freed last: otherwise the allocator gives their pages back to the
        # system and asks for them again at every step, a tenth of its time.
        currents = self.currents(x)
        shift, gain = self.bias - self.threshold, self.gain / self.width
        return dispatch.respond(
            currents, self.filter, shift, self.width, gain, self.feedback, fire, noise
        )

    def respond(
        self, drive: Tensor, fire: Fire, noise: Draws | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes and v of a given drive, each `(B, T, *N)`."""
        return dispatch.scan(drive, self.gain / self.width, self.feedback, fire, noise)

    def given(self, drive: Tensor, spikes: Tensor) -> Tensor:
        """v at every step given the neurons' own past spikes: `drive + gain (nu * s)[t - 1]`.

        All steps at once: the threshold is autoregressive through its feedback only.
        """
        return drive + self.gain / self.width * over(self.feedback, spikes)

    def step(
        self, x: Tensor, state: tuple[State, State], fire: Fire, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, tuple[State, State]]:
        """One step of `forward`.

        Args:
            x: `(B, *N_in)` spikes of this step.
            state: as returned by the last step; `((), ())` before the first.
            fire: how the neurons fire.
            noise: `(B, *N)`.

        Returns:
            Spikes and v, each `(B, *N)`, and the next state.
        """
        synaptic, own = state
        potential, synaptic = self.filter.step(single(self._currents(x)), synaptic)
        v = self._distance(potential) + self.gain / self.width * self.feedback.read(own)
        s = fire(v, noise)
        return s, v, (synaptic, self.feedback.write(own, s))

    @torch.no_grad()
    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Scale the weights so that the potentials of `x` are of the order of the threshold.

        Afterwards the feed-forward part of the potential has root mean square `spread` times the
        threshold's width over `x`. With `rate`, the bias makes a silent stochastic neuron fire with
        that probability per step.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists, a batch of the kind the layer will see.
            spread: dimensionless.
            rate: spikes per step, in (0, 1).

        Raises:
            ValueError: where `x` leaves every potential at zero.
        """
        if not spread > 0 or (rate is not None and not 0 < rate < 1):
            raise ValueError(f"expected spread > 0 and rate in (0, 1), got {spread} and {rate}")
        constant = self._distance(torch.zeros_like(self.bias))  # to the last bit as in `drive`
        rms = (self.drive(x) - constant).square().mean().sqrt()
        if not rms > 0:
            raise ValueError("cannot calibrate a layer on spikes that move no potential")
        for weight in self.synapses.parameters():
            weight.mul_(spread / rms)
        if rate is not None:
            self.bias.fill_(self.threshold + self.width * math.log(rate / (1 - rate)))


class PooledConv2d(nn.Module):
    """Convolution, then average pooling of its currents, to `(R, C_out, H', W')`.

    Of spikes `(R, C_in, H, W)`, or lists of `(B, T, C_in, H, W)` with R = B T.

    Pooling currents rather than spikes keeps spikes binary and commutes with the filter. It also
    commutes with the convolution: kernels pooled by `p` beforehand, in steps of `p`, are the same
    map for about a quarter of the time at p = 2.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, pool: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding="same", bias=False)
        self.pool = pool

    def forward(self, x: Spikes) -> Tensor:
        border = self.pool - 1
        weight = nn.functional.pad(self.conv.weight, (border,) * 4)
        weight = nn.functional.avg_pool2d(weight, self.pool, stride=1)
        half = self.conv.kernel_size[0] // 2
        return event_conv2d(x, weight, self.pool, half)


class Dense(nn.Sequential):
    """All inputs to all outputs, `(R, *N_in)` or lists of spikes to `(R, N_out)`."""

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__(nn.Flatten(), EventLinear(num_inputs, num_outputs))

    def forward(self, x: Spikes) -> Tensor:
        flatten, weights = self
        out: Tensor = weights(flatten(x) if isinstance(x, Tensor) else x)
        return out


def hidden_dense(num_inputs: int, num_neurons: int, filter: Filter | None = None) -> SRM:
    """A dense hidden layer with the reference kernels (`ExponentialPair`, exponential feedback)."""
    filter = filter or ExponentialPair()
    synapses = Dense(num_inputs, filter.num_kernels * num_neurons)
    return SRM(synapses, (num_neurons,), filter, ExponentialFeedback())


def hidden_conv(
    input_shape: tuple[int, int, int],
    channels: int,
    kernel_size: int = 5,
    pool: int = 2,
    filter: Filter | None = None,
) -> SRM:
    """A convolutional hidden layer, pooled: `(C, H, W)` to `(channels, H / pool, W / pool)`."""
    filter = filter or ExponentialPair()
    in_channels, height, width = input_shape
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, got {kernel_size}")
    if min(height, width) < pool:
        raise ValueError(f"cannot pool a {height}x{width} input by {pool}")
    synapses = PooledConv2d(in_channels, filter.num_kernels * channels, kernel_size, pool)
    shape = (channels, height // pool, width // pool)
    return SRM(synapses, shape, filter, ExponentialFeedback())


def readout_dense(num_inputs: int, num_neurons: int, filter: Filter | None = None) -> SRM:
    """The readout layer with the reference kernels (raised cosines both ways, over 10 steps)."""
    filter = filter or RaisedCosines()
    synapses = Dense(num_inputs, filter.num_kernels * num_neurons)
    return SRM(synapses, (num_neurons,), filter, KernelFeedback())
