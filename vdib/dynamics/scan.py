"""The one sequential loop: threshold and refractoriness over time.

Everything that reaches a neuron from elsewhere is known for all steps at once (its *drive*); only
its own spikes feed back on it step by step:

    v[t] = drive[t] + gain (nu * s)[t - 1]        (distance from threshold, in units of Delta)
    s[t] = fire(v[t], noise[t])

`scan` is one function of plain arguments, so that a faster one can take its place.
Legend: B batch, T steps, N neurons (any trailing axes), L length of the feedback kernel.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from vdib.dynamics.filters import RaisedCosines, State


class Fire(Protocol):
    """How a neuron fires: its spikes, and the derivative that training takes for theirs."""

    def __call__(self, v: Tensor, noise: Tensor | None = None) -> Tensor:
        """Spikes from v and uniform noise in (0, 1), all of one shape; carries no gradient."""

    def slope(self, v: Tensor, spikes: Tensor) -> Tensor | None:
        """`ds/dv`, elementwise; None where it is zero throughout."""


class Feedback(Protocol):
    """What a neuron's own spikes do to it: the kernel `nu`, acting from the next step on."""

    def read(self, state: State) -> Tensor | float:
        """`(nu * s)[t - 1]`, from the state left by step t - 1 (`()` before the first)."""

    def write(self, state: State, spikes: Tensor) -> State:
        """The state after `spikes` of shape `(B, N)`."""

    def kernel(self, num_steps: int) -> Tensor:
        """`nu` up to lag `num_steps - 1`, `(L,)` float64 with `L <= num_steps`."""


def delayed(x: Tensor) -> Tensor:
    """`x[t - 1]`, with zeros at t = 0; time is axis 1."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)


@dataclass(frozen=True)
class ExponentialFeedback:
    """`nu[k] = -decay^k`, k >= 0: an after-potential that decays exponentially."""

    decay: float = 0.65

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"feedback decay per step must lie in [0, 1), got {self.decay}")

    def read(self, state: State) -> Tensor | float:
        return state[0] if state else 0.0

    def write(self, state: State, spikes: Tensor) -> State:
        return (self.decay * state[0] - spikes if state else -spikes,)

    def kernel(self, num_steps: int) -> Tensor:
        return -(self.decay ** torch.arange(num_steps, dtype=torch.float64))


@dataclass(frozen=True)
class KernelFeedback:
    """A finite kernel: minus the first raised cosine over `duration` steps."""

    duration: int = 10

    def __post_init__(self) -> None:
        if self.duration < 1:
            raise ValueError(f"a feedback kernel lasts at least one step, got {self.duration}")

    def kernel(self, num_steps: int) -> Tensor:
        return -RaisedCosines(count=1, duration=self.duration).kernel(num_steps)[0]

    def read(self, state: State) -> Tensor | float:
        return state[0][0] if state else 0.0

    @cached_property
    def _nu(self) -> Tensor:
        return self.kernel(self.duration)

    def write(self, state: State, spikes: Tensor) -> State:
        nu = self._nu.to(spikes).view(-1, *[1] * spikes.dim())
        coming = nu * spikes  # what these spikes add to each of the next `duration` steps
        if state:
            coming[:-1] += state[0][1:]
        return (coming,)


def over(feedback: Feedback, spikes: Tensor) -> Tensor:
    """`(nu * s)[t - 1]` of given spikes, `(B, T, *N)` to the same; time grows as T."""
    state: State = ()
    out = []
    for now in spikes.unbind(1):
        out.append(feedback.read(state) + torch.zeros_like(now))
        state = feedback.write(state, now)
    return torch.stack(out, 1)


def scan(
    drive: Tensor, gain: Tensor, feedback: Feedback, fire: Fire, noise: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Run the threshold over time.

    The backward pass is exact but for `fire.slope` in place of the derivative of the spikes, and
    reaches through the feedback of every step on all later ones:

        dL/dv[t] = g_v[t] + slope[t] (g_s[t] + gain sum_k nu[k] dL/dv[t + 1 + k])

    Args:
        drive: `(B, T, *N)`, everything in v that does not come from the neuron's own spikes.
        gain: broadcastable to `(*N)`, the weight of the neuron's own feedback.
        feedback: the kernel `nu`.
        fire: how spikes come about.
        noise: `(B, T, *N)` uniform in (0, 1), for a stochastic threshold.

    Returns:
        Spikes and distances from threshold v, each `(B, T, *N)`.
    """
    spikes, v = _Scan.apply(drive, gain, feedback, fire, noise)  # type: ignore[no-untyped-call, unused-ignore]
    return spikes, v


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        gain: Tensor,
        feedback: Feedback,
        fire: Fire,
        noise: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        state: State = ()
        spikes, v = torch.empty_like(drive), torch.empty_like(drive)
        for t in range(drive.shape[1]):
            now = torch.add(drive[:, t], gain * feedback.read(state))
            s = fire(now, None if noise is None else noise[:, t])
            state = feedback.write(state, s)
            v[:, t], spikes[:, t] = now, s
        ctx.save_for_backward(spikes, v, gain)
        ctx.feedback, ctx.fire = feedback, fire
        return spikes, v

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        spikes, v, gain = ctx.saved_tensors
        grad_spikes, grad_v = grads
        slope = ctx.fire.slope(v, spikes)
        if slope is None:
            total = grad_v
        else:
            # The adjoint of the feedback is the feedback itself, run backwards in time.
            state: State = ()
            total = torch.empty_like(v)
            for t in range(v.shape[1] - 1, -1, -1):
                now = grad_spikes[:, t] + gain * ctx.feedback.read(state)
                now = torch.addcmul(grad_v[:, t], slope[:, t], now)
                state = ctx.feedback.write(state, now)
                total[:, t] = now
        grad_gain = None
        if ctx.needs_input_grad[1]:
            grad_gain = (total * over(ctx.feedback, spikes)).sum((0, 1)).sum_to_size(gain.shape)
        return total, grad_gain, None, None, None
