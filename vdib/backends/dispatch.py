"""The one place where fused or plain is chosen.

The functions here are the plain code, in PyTorch: the reference, which every kernel repeats to the
last spike. It runs where there is no kernel for the arguments or the device, in double precision,
under `torch.compile`, inside `plain()`, and everywhere if the environment variable `VDIB_PLAIN` is
set.

Legend: B batch, T steps, K filters, N neurons (any number of trailing axes).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

from vdib.backends import fused, fused_leaky, fused_lstm
from vdib.backends.available import enabled
from vdib.backends.describe import NoKernel
from vdib.backends.settings import changed
from vdib.dynamics.feedback import Feedback
from vdib.dynamics.filters import Filter
from vdib.dynamics.firing import Fire
from vdib.dynamics.integrate_and_fire import Reset
from vdib.dynamics.integrate_and_fire import integrate_and_fire as plain_integrate_and_fire
from vdib.dynamics.lstm import Cell
from vdib.dynamics.lstm import lstm as plain_lstm
from vdib.dynamics.scan import scan as plain_scan
from vdib.noise import Draws, LayerNoise
from vdib.precision import single

P = ParamSpec("P")
R = TypeVar("R")

_KERNELS: dict[Callable[..., Any], Callable[..., Any]] = {}


def plain() -> AbstractContextManager[None]:
    """Everything inside runs in plain PyTorch."""
    return changed(fused=False)


def run(dynamics: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`dynamics(...)`, by its kernel where it has one for such arguments."""
    kernel = _KERNELS.get(dynamics)
    if kernel is not None and enabled():
        try:
            out: R = kernel(*args, **kwargs)
            return out
        except NoKernel:
            pass
    return dynamics(*args, **kwargs)


def with_kernel(kernel: Callable[P, R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have `run` know the kernel of the decorated plain function, which then runs through it."""

    def decorate(dynamics: Callable[P, R]) -> Callable[P, R]:
        _KERNELS[dynamics] = kernel

        @wraps(dynamics)
        def either(*args: P.args, **kwargs: P.kwargs) -> R:
            return run(dynamics, *args, **kwargs)

        return either

    return decorate


@with_kernel(fused.drive)
def drive(currents: Tensor, filter: Filter, shift: Tensor, width: float) -> Tensor:
    """`(eps * currents + shift) / width`: distances from threshold but for neurons' own spikes.

    Args:
        currents: `(B, T, K, *N)`.
        filter: its K impulse responses are eps.
        shift: broadcastable to `(*N)`, bias minus threshold.
        width: of the threshold, in units of the potential.

    Returns:
        `(B, T, *N)`.
    """
    return (filter(single(currents)) + shift) * (1 / width)


@with_kernel(fused.scan)
def scan(
    drive: Tensor,
    gain: Tensor,
    feedback: Feedback,
    fire: Fire,
    noise: Draws | None = None,
    attached: bool = True,
) -> tuple[Tensor, Tensor]:
    """Spikes and distances from threshold v of a given drive: `vdib.dynamics.scan.scan`.

    Args:
        drive: `(B, T, *N)`.
        gain: broadcastable to `(*N)`, the weight of the neuron's own feedback in v.
        feedback: its impulse response is nu.
        fire: how the neurons fire.
        noise: `(B, T, *N)` uniform in (0, 1) or `LayerNoise` of B rows, for a stochastic threshold.
        attached: whether the gradient reaches through the feedback.

    Returns:
        Each `(B, T, *N)`.
    """
    if isinstance(noise, LayerNoise):
        noise = noise.uniform(drive.shape[1], tuple(drive.shape[2:]))
    return plain_scan(drive, gain, feedback, fire, noise, attached)


@with_kernel(fused.respond)
def respond(
    currents: Tensor,
    filter: Filter,
    shift: Tensor,
    width: float,
    gain: Tensor,
    feedback: Feedback,
    fire: Fire,
    noise: Draws | None = None,
    attached: bool = True,
) -> tuple[Tensor, Tensor]:
    """`scan` of `drive`, with the arguments of both."""
    return scan(drive(currents, filter, shift, width), gain, feedback, fire, noise, attached)


@with_kernel(fused_leaky.integrate_and_fire)
def integrate_and_fire(
    currents: Tensor,
    bias: Tensor,
    decay: Tensor,
    theta: Tensor,
    width: Tensor,
    reset: Reset,
    fire: Fire,
    noise: Draws | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes and v of leaky neurons: `vdib.dynamics.integrate_and_fire.integrate_and_fire`.

    Args:
        currents: `(B, T, *N)`.
        bias: a current; like all that follow broadcastable to `(*N)`.
        decay: what a step leaves of the potential.
        theta: the threshold.
        width: of the threshold.
        reset: what a spike does to its neuron.
        fire: how the neurons fire.
        noise: `(B, T, *N)` uniform in (0, 1) or `LayerNoise` of B rows, for a stochastic threshold.

    Returns:
        Each `(B, T, *N)`.
    """
    if isinstance(noise, LayerNoise):
        noise = noise.uniform(currents.shape[1], tuple(currents.shape[2:]))
    constants = bias, decay, theta, width
    return plain_integrate_and_fire(single(currents), *constants, reset, fire, noise)


@with_kernel(fused.uniform)
def uniform(noise: LayerNoise, num_steps: int, shape: tuple[int, ...]) -> Tensor:
    """The first T steps of a layer's noise, in (0, 1), `(B, T, *N)` float32."""
    return noise.uniform(num_steps, shape)


@with_kernel(fused_lstm.lstm)
def lstm(currents: Tensor, shift: Tensor, recurrent: Tensor, cell: Cell) -> Tensor:
    """h of a layer of LSTM cells: `vdib.dynamics.lstm.lstm`.

    Args:
        currents: `(B, T, 4, N)`.
        shift: bias minus threshold, `(4, N)`.
        recurrent: `(N, 4 N)`.
        cell: the elementwise part.

    Returns:
        `(B, T, N)`.
    """
    return plain_lstm(currents, shift, recurrent, cell)
