"""Noise that depends on its address only.

Every number is a hash of (seed, step, example, sample, layer, time, neuron). So an example draws
the same spikes in whatever batch it sits, with any number of loader workers or ranks, and after
any resume. The hash is SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number
generators", 2014, https://doi.org/10.1145/2660193.2660195): the address down to the layer is mixed
into a 64-bit key, field by field, and (time, neuron) counts along the key's own sequence.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_WORD = 1 << 64


def _signed(z: int) -> int:
    """A 64-bit number as int64 has it."""
    return z - _WORD if z >> 63 else z


_GOLDEN = _signed(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
_MIX_1, _MIX_2 = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)

EVALUATION = -1
"""The optimiser step under which noise outside training is drawn."""

INPUT = -1
"""The layer number of the input's own noise (rate coding)."""

PRIOR = -2
"""The layer number of codes that are drawn from a prior."""

TARGET = -3
"""The layer number of what is drawn of the natural signal: binary pixels of a grey image."""


def _xor_shift_(z: Tensor, bits: int) -> Tensor:
    """`z ^= z >> bits`, the shift taken as unsigned."""
    return z.bitwise_xor_((z >> bits).bitwise_and_((1 << (64 - bits)) - 1))


def _mix_(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place on int64 (products wrap modulo 2^64)."""
    _xor_shift_(z, 30).mul_(_MIX_1)
    _xor_shift_(z, 27).mul_(_MIX_2)
    return _xor_shift_(z, 31)


def _mixed(z: int) -> int:
    """`_mix_` of one plain number: as a tensor it would take as long as a thousand."""
    z %= _WORD
    z = (z ^ z >> 30) * _MIX_1 % _WORD
    z = (z ^ z >> 27) * _MIX_2 % _WORD
    return _signed(z ^ z >> 31)


@dataclass(frozen=True, eq=False)
class LayerNoise:
    """The noise of one layer, not drawn yet.

    Attributes:
        keys: one 64-bit key per (sample, example), `(M B,)` int64.
    """

    keys: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    def uniform(self, num_steps: int, shape: tuple[int, ...], start: int = 0) -> Tensor:
        """Uniform numbers strictly inside (0, 1), of 23 bits.

        Args:
            num_steps: T, how many steps.
            shape: `(*N)`, the shape of one step.
            start: the first step's time.

        Returns:
            `(M B, T, *N)` float32.
        """
        size = math.prod(shape)
        counter = torch.arange(
            1 + start * size, 1 + (start + num_steps) * size, device=self.keys.device
        )
        bits = _mix_(self.keys[:, None] + counter * _GOLDEN)
        top = (bits >> 41).bitwise_and_((1 << 23) - 1)
        return top.float().add_(0.5).mul_(2.0**-23).view(-1, num_steps, *shape)


Draws = Tensor | LayerNoise
"""The noise of one layer: uniform numbers in (0, 1), `(B, T, *N)`, or those still to be drawn."""


def check_draws(noise: Draws | None, shape: tuple[int, ...], who: str) -> None:
    """Whether a stochastic threshold was given noise that fits: kernels read it unchecked.

    Args:
        noise: of a layer.
        shape: `(B, T, *N)`, or `(B, *N)` of one step.
        who: needs it, for the message.

    Raises:
        ValueError: there is none, or of another shape.
    """
    if noise is None:
        raise ValueError(f"{who} needs noise: uniform numbers in (0, 1)")
    got = (len(noise), *shape[1:]) if isinstance(noise, LayerNoise) else tuple(noise.shape)
    if got != shape:
        raise ValueError(f"{who} needs noise of shape {shape}, got {got}")


@dataclass(frozen=True)
class Noise:
    """The address of the noise of a batch, down to the example.

    Args:
        seed: of the run.
        step: of the optimiser, or `EVALUATION`.
        ids: `(B,)` int64, each example's stable id.
        samples: how many codes per example; sample m of example b comes at row `m B + b`.
        antithetic: whether the second half of the samples is drawn by 1 - u where the first is by
            u; otherwise all are independent.

    >>> noise = Noise(seed=0, step=0, ids=torch.tensor([7, 8]))
    >>> u = noise.uniform(layer=0, num_steps=3, shape=(2,))
    >>> u.shape, bool(((u > 0) & (u < 1)).all())
    (torch.Size([2, 3, 2]), True)
    >>> other = Noise(seed=0, step=0, ids=torch.tensor([8, 9])).uniform(0, 3, (2,))
    >>> bool((u[1] == other[0]).all())
    True
    """

    seed: int
    step: int
    ids: Tensor
    samples: int = 1
    antithetic: bool = False

    def with_samples(self, samples: int, antithetic: bool = False) -> "Noise":
        """The same address, for `samples` codes per example."""
        return replace(self, samples=samples, antithetic=antithetic)

    def draws(self, layer: int, num_steps: int, shape: tuple[int, ...]) -> Draws:
        """What `layer` draws, M B rows: not drawn yet, or numbers where they are antithetic."""
        if not self.antithetic:
            return self.of_layer(layer)
        return self.uniform(layer, num_steps, shape)

    def of_layer(self, layer: int) -> "LayerNoise":
        """What `layer` draws, `M B` rows, of independent samples."""
        assert not self.antithetic, "the second half is no draw of its own"
        key = 0
        for field in (self.seed, self.step, layer):
            key = _mixed((key ^ int(field)) + _GOLDEN)
        keys = _mix_((self.ids.long() ^ key) + _GOLDEN)
        sample = torch.arange(self.samples, device=self.ids.device)
        return LayerNoise(_mix_((keys ^ sample[:, None]) + _GOLDEN).flatten())

    def uniform(self, layer: int, num_steps: int, shape: tuple[int, ...], start: int = 0) -> Tensor:
        """Uniform numbers strictly inside (0, 1), of 23 bits.

        Args:
            layer: which layer draws.
            num_steps: T, how many steps.
            shape: `(*N)`, the shape of one step.
            start: the first step's time.

        Returns:
            `(M B, T, *N)` float32.
        """
        if self.antithetic:
            half = self.with_samples(self.samples // 2).uniform(layer, num_steps, shape, start)
            return torch.cat([half, 1 - half])  # exact: 23 bits and a half
        return self.of_layer(layer).uniform(num_steps, shape, start)


def codes_per_input(noise: Noise | Tensor | None, drives: tuple[int, ...]) -> int:
    """M, how many codes of each input some noise draws.

    Args:
        noise: an address, or uniform numbers, `(M B, T, N)`.
        drives: B, T and N.

    Raises:
        ValueError: it does not fit, or there is none.
    """
    if noise is None:
        raise ValueError("a stochastic readout needs noise: `Noise`, or numbers in (0, 1)")
    if isinstance(noise, Noise):
        shape: tuple[int, ...] = (len(noise.ids) * noise.samples, *drives[1:])
    else:
        shape = tuple(noise.shape)
    samples = shape[0] // drives[0] if shape and drives[0] else 0
    if shape != (samples * drives[0], *drives[1:]) or samples < 1:
        raise ValueError(
            f"noise of shape {shape} does not fit drives {drives}: "
            "expected a multiple of the rows and the rest alike"
        )
    return samples
