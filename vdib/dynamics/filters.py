"""Synaptic filters: what a spike does to a potential over the following steps.

A bank holds `K` filters with impulse responses `eps_k[t]`, t = 0, 1, ... steps, each of unit peak.
It is applied after the weights, for which reason its input carries one current per filter:

    out[b, t, n] = sum_k sum_{l <= t} eps_k[l] x[b, t - l, k, n]

Legend: B batch, T steps, K filters, N neurons (any number of trailing axes), L steps of a response.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

State = tuple[Tensor, ...]


class Filter(Protocol):
    """A bank of `num_filters` causal filters with a whole-sequence and a step-by-step view."""

    @property
    def num_filters(self) -> int: ...

    def impulse_response(self, num_steps: int) -> Tensor:
        """The responses up to lag `num_steps - 1`, `(K, L)` float64 with `L <= num_steps`."""

    def __call__(self, x: Tensor) -> Tensor:
        """Whole sequences, `(B, T, K, *N)` to `(B, T, *N)`; time grows as T."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: `(B, K, N)` and a state (`()` before the first) to `(B, N)` and the next."""


@dataclass(frozen=True)
class ExponentialPair:
    """A cascade of two leaky integrators, synapse into membrane, scaled to unit peak.

        eps[t] = (a^(t+1) - c^(t+1)) / (a - c),   a = membrane, c = synapse, decays per step

    In continuous time `exp(-t/tau_mem) - exp(-t/tau_syn)` (Gerstner & Kistler, "Spiking Neuron
    Models", 2002). `a = c` gives its limit, `(t + 1) a^t`.

    >>> ExponentialPair(membrane=0.5, synapse=0.25).impulse_response(3)
    tensor([[1.0000, 0.7500, 0.4375]], dtype=torch.float64)

    Raises:
        ValueError: a decay outside of [0, 1).
    """

    membrane: float = 0.9
    synapse: float = 0.85

    def __post_init__(self) -> None:
        for name in ("membrane", "synapse"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} decay per step must lie in [0, 1), got {getattr(self, name)}"
                )

    @property
    def num_filters(self) -> int:
        return 1

    def _unscaled(self, num_steps: int) -> Tensor:
        t = torch.arange(num_steps, dtype=torch.float64)
        a, c = self.membrane, self.synapse
        if abs(a - c) < 1e-6:
            return (t + 1) * ((a + c) / 2) ** t
        return torch.as_tensor((a ** (t + 1) - c ** (t + 1)) / (a - c))

    @cached_property
    def peak(self) -> float:
        """The largest value of the unscaled response: it rises until `1 / (1 - decay)` at most."""
        slowest = max(self.membrane, self.synapse)
        return float(self._unscaled(2 + math.ceil(1 / (1 - slowest))).max())

    def impulse_response(self, num_steps: int) -> Tensor:
        return (self._unscaled(num_steps) / self.peak)[None]

    def __call__(self, x: Tensor) -> Tensor:
        state: State = ()
        out = []
        for now in x.unbind(1):  # never x[:, t]: its backward pass is O(T^2)
            potential, state = self.step(now, state)
            out.append(potential)
        return torch.stack(out, 1)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        current, potential = state or (torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0]))
        current = self.synapse * current + x[:, 0]
        potential = self.membrane * potential + current
        return potential * (1 / self.peak), (current, potential)


@dataclass(frozen=True)
class RaisedCosines:
    """Raised cosines on a logarithmic time axis, scaled to unit peak on the grid of steps.

        eps_j[t] = (1 + cos(clip(mu pi (log(t + c) - phi_j) / d, -pi, pi))) / 2

    with centres `phi_j = log(c) + j d`, neighbours `mu pi` of phase apart (at mu = 0.5, and before
    scaling, four overlap everywhere inside the bank and sum to 2), the offset `c = duration / 10`,
    and `d` such that the last one reaches zero at `duration` (Pillow et al., "Spatio-temporal
    correlations and visual signalling in a complete neuronal population", 2008,
    https://doi.org/10.1038/nature07140).

    Args:
        count: how many filters.
        duration: their length in steps.
        compression: mu, dimensionless.

    Raises:
        ValueError: a setting that is not positive, or so many that one falls between steps.
    """

    count: int = 8
    duration: int = 10
    compression: float = 0.5

    def __post_init__(self) -> None:
        if self.count < 1 or self.duration < 1 or self.compression <= 0:
            raise ValueError(
                "raised cosines need count >= 1, duration >= 1 and compression > 0, "
                f"got {self.count}, {self.duration} and {self.compression}"
            )
        if not self._bumps().amax(1).min() > 1e-6:
            raise ValueError(
                f"{self.count} raised cosines over {self.duration} steps leave one between steps: "
                "fewer, or a longer duration"
            )

    @property
    def num_filters(self) -> int:
        return self.count

    def _bumps(self) -> Tensor:
        offset = self.duration / 10
        t = torch.arange(self.duration, dtype=torch.float64)
        span = math.log(self.duration + offset) - math.log(offset)
        spacing = span / (self.count - 1 + 1 / self.compression)
        centres = math.log(offset) + spacing * torch.arange(self.count, dtype=torch.float64)
        phase = self.compression * math.pi / spacing * (torch.log(t + offset) - centres[:, None])
        return (1 + torch.cos(phase.clamp(-math.pi, math.pi))) / 2

    def impulse_response(self, num_steps: int) -> Tensor:
        bumps = self._bumps()
        return (bumps / bumps.amax(1, keepdim=True))[:, :num_steps]

    def __call__(self, x: Tensor) -> Tensor:
        return causal_filter(x, self.impulse_response(x.shape[1]))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        response = self.impulse_response(self.duration).to(x)
        coming = torch.einsum("kl,bk...->lb...", response, x)  # what x adds to each later step
        if state:
            coming = torch.cat([coming[:-1] + state[0], coming[-1:]])
        return coming[0], (coming[1:],)


def delayed(x: Tensor) -> Tensor:
    """`x[t - 1]`, with zeros at t = 0; time is axis 1."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)


def taps(response: Tensor) -> list[tuple[int, int, float]]:
    """`(l, k, response[k, l])` wherever that is not zero, from lag 0 up.

    The order in which `out[t]` is summed, and that of any faster code that has to agree with it to
    the last bit: a rounding error can make or break a spike.
    """
    return [
        (lag, k, weight)
        for lag, column in enumerate(response.T.tolist())
        for k, weight in enumerate(column)
        if weight
    ]


def causal_filter(x: Tensor, response: Tensor) -> Tensor:
    """`out[t] = sum_k sum_{l <= t} response[k, l] x[t - l, k]`, exact and parallel in time.

    A direct convolution: time grows as K L T, memory as T. For those that last.

    Args:
        x: `(B, T, K, *N)`.
        response: `(K, L)`, a constant.

    Returns:
        `(B, T, *N)`.

    Raises:
        ValueError: another K.
    """
    if response.shape[0] != x.shape[2]:
        raise ValueError(f"input carries {x.shape[2]} currents, the filter has {response.shape[0]}")
    out: Tensor = _CausalFilter.apply(x, response)  # type: ignore[no-untyped-call, unused-ignore]
    return out


class _CausalFilter(torch.autograd.Function):
    """By hand, as autograd would pad every shifted copy of the input back to its full size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        ctx.response, ctx.shape = response, x.shape
        num_steps = x.shape[1]
        out = x.new_zeros(x.shape[:2] + x.shape[3:])
        for lag, k, weight in taps(response[:, :num_steps]):
            out[:, lag:] += weight * x[:, : num_steps - lag, k]
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        num_steps = ctx.shape[1]
        grad_x = grad.new_zeros(ctx.shape)
        for lag, k, weight in taps(ctx.response[:, :num_steps]):
            grad_x[:, : num_steps - lag, k] += weight * grad[:, lag:]
        return grad_x, None
