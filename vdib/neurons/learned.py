"""Filters and feedback of SRM neurons whose decays training moves.

The same responses as those of `vdib.dynamics`, in plain PyTorch, step by step: gradients reach the
decays through every step. A decay is one number for a layer or one per neuron (of a convolution,
per channel), as in Perez-Nieves et al., "Neural heterogeneity promotes robust learning", 2021,
https://doi.org/10.1038/s41467-021-26022-3.

Legend: B batch, T steps, K filters, N neurons (any number of trailing axes).
"""

import torch
from torch import Tensor, nn

from vdib.dynamics.filters import State
from vdib.neurons.constants import Decay
from vdib.neurons.wrapped import Wrapped


class LearnedPair(nn.Module):
    """An `ExponentialPair` whose decays are learned: one filter, scaled to unit peak.

    Args:
        membrane, synapse: decays per step.
    """

    num_filters = 1

    def __init__(self, membrane: Decay, synapse: Decay) -> None:
        super().__init__()
        self.membrane, self.synapse = membrane, synapse

    def constants(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decays of membrane and synapse, and the peak of what they make of one spike.

        With a the decay of the membrane and c that of the synapse, the response
        `sum_j a^j c^(t - j)` rises as long as `t + 1 < log((1 - c) / (1 - a)) / log(a / c)`, which
        tends to `a / (1 - a)` as c does to a.

        Args:
            like: of the type and on the device of the potentials.

        Returns:
            Each `()`, or broadcastable to `(*N)`.
        """
        membrane, synapse = self.membrane(like), self.synapse(like)
        if not (self.membrane.value and self.synapse.value):  # one integrator: at once at its peak
            return membrane, synapse, torch.ones_like(membrane + synapse)
        wide = like.dtype if like.device.type == "mps" else torch.float64  # which it does not have
        a, c = membrane.to(wide), synapse.to(wide)
        apart = (a / c).log()
        close = apart.abs() < 1e-5
        apart = torch.where(close, 1.0, apart)
        with torch.no_grad():
            rises = torch.where(close, a / (1 - a), ((1 - c) / (1 - a)).log() / apart)
            steps = rises.ceil().clamp(min=1)
        ratio = torch.where(close, steps, torch.expm1(steps * apart) / torch.expm1(apart))
        peak = torch.where(close, (a + c) / 2, c) ** (steps - 1) * ratio
        return membrane, synapse, peak.to(like)

    def impulse_response(self, num_steps: int) -> Tensor:
        """`(1, L)` float64.

        Raises:
            ValueError: each neuron has its own.
        """
        impulse = torch.zeros(1, num_steps, 1, dtype=torch.float64)
        impulse[:, 0] = 1
        with torch.no_grad():
            if self.constants(impulse)[2].dim():
                raise ValueError("a filter of learned decays per neuron has no one response")
            response: Tensor = self(impulse)
        return response

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences, `(B, T, 1, *N)` to `(B, T, *N)`."""
        constants = self.constants(x)
        state: State = ()
        out = []
        for now in x.unbind(1):
            potential, state = self._advance(now, state, *constants)
            out.append(potential)
        return torch.stack(out, 1)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step, `(B, 1, *N)` to `(B, *N)` and the next state."""
        return self._advance(x, state, *self.constants(x))

    def _advance(
        self, x: Tensor, state: State, membrane: Tensor, synapse: Tensor, peak: Tensor
    ) -> tuple[Tensor, State]:
        current, potential = state or (torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0]))
        current = synapse * current + x[:, 0]
        potential = membrane * potential + current
        return potential / peak, (current, potential)


class LearnedFeedback(nn.Module):
    """An `ExponentialFeedback` whose decay is learned.

    Args:
        decay: per step.
    """

    def __init__(self, decay: Decay) -> None:
        super().__init__()
        self.decay = decay

    def read(self, state: State) -> Tensor | float:
        return state[0] if state else 0.0

    def write(self, state: State, spikes: Tensor) -> State:
        return (self.decay(spikes) * state[0] - spikes if state else -spikes,)

    def impulse_response(self, num_steps: int) -> Tensor:
        """`(L)` float64.

        Raises:
            ValueError: each neuron has its own.
        """
        with torch.no_grad():
            decay = self.decay(torch.zeros((), dtype=torch.float64))
        if decay.dim():
            raise ValueError("feedback of learned decays per neuron has no one response")
        nu: Tensor = -(decay ** torch.arange(num_steps, dtype=torch.float64))
        return nu


class WithLearnedDecays(Wrapped):
    """A layer whose filter or feedback is learned: rules local in time take both for constants."""

    COMMUTES_WITHOUT = "learned decays (leave out `learn`)"
