"""Spikes as lists of the neurons that fire: what an event camera gives, and few of.

Legend: B batch, T steps, N neurons (any number of trailing axes), S spikes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SparseSpikes:
    """The spikes of a batch, `(B, T, *N)` in {0, 1}, without the zeros.

    In row `r = b T + t` fire the neurons `neuron[offset[r] : offset[r + 1]]`, each once, counted
    along the flattened `*N`.

    Attributes:
        offset: `(B T + 1,)` int64.
        neuron: `(S,)` int32.
        shape: `(B, T, *N)`.

    Raises:
        ValueError: an offset or neurons of another shape or type.
    """

    offset: Tensor
    neuron: Tensor
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        rows = self.shape[0] * self.shape[1]
        if self.offset.shape != (rows + 1,) or self.offset.dtype != torch.int64:
            got = f"{tuple(self.offset.shape)} {self.offset.dtype}"
            raise ValueError(f"offset: got {got}, expected ({rows + 1},) torch.int64")
        if self.neuron.dim() != 1 or self.neuron.dtype != torch.int32:
            got = f"{tuple(self.neuron.shape)} {self.neuron.dtype}"
            raise ValueError(f"neuron: got {got}, expected (S,) torch.int32")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def num_neurons(self) -> int:
        """N, over all trailing axes."""
        return math.prod(self.shape[2:])

    @property
    def density(self) -> float:
        """Spikes per neuron and step."""
        return len(self.neuron) / max(1, math.prod(self.shape))

    @property
    def device(self) -> torch.device:
        return self.neuron.device

    @property
    def requires_grad(self) -> bool:
        """False: no gradient reaches a list."""
        return False

    def detach(self) -> "SparseSpikes":
        """Itself."""
        return self

    def to(self, device: torch.device | str) -> "SparseSpikes":
        """The same spikes on another device."""
        return SparseSpikes(self.offset.to(device), self.neuron.to(device), self.shape)

    def __getitem__(self, part: slice) -> "SparseSpikes":
        """Examples of the batch that lie side by side, such as `spikes[:1]`."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"got a step of {step}, expected examples side by side")
        stop, num_steps = max(start, stop), self.shape[1]
        offset = self.offset[start * num_steps : stop * num_steps + 1]
        neuron = self.neuron[int(offset[0]) : int(offset[-1])]
        return SparseSpikes(offset - offset[0], neuron, (stop - start, *self.shape[1:]))

    def rows(self) -> Tensor:
        """The row `b T + t` of every spike, `(S,)` int64."""
        count = self.offset.diff()
        return torch.repeat_interleave(torch.arange(len(count), device=self.device), count)

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """`(B, T, *N)`, 0 or 1.

        >>> sparse = SparseSpikes.of(torch.tensor([[[0, 1, 0], [1, 0, 1]]]))
        >>> sparse.offset.tolist(), sparse.neuron.tolist()
        ([0, 1, 3], [1, 0, 2])
        >>> sparse.dense().long().tolist()
        [[[0, 1, 0], [1, 0, 1]]]
        """
        size = self.num_neurons
        flat = torch.zeros(math.prod(self.shape), dtype=dtype, device=self.device)
        flat[self.rows() * size + self.neuron] = 1
        return flat.view(self.shape)

    @classmethod
    def of(cls, spikes: Tensor) -> "SparseSpikes":
        """From dense spikes `(B, T, *N)` of any type.

        Raises:
            ValueError: a number that is neither 0 nor 1, such as a count of events.
        """
        flat = spikes.flatten(0, 1).flatten(1)
        row, neuron = flat.nonzero(as_tuple=True)
        values = flat[row, neuron]
        if not (values == 1).all():
            other = values[values != 1][0].item()
            raise ValueError(
                f"spikes: got {other}, expected 0 or 1; (x > 0) makes spikes of counts"
            )
        count = torch.bincount(row, minlength=len(flat))
        offset = torch.cat([count.new_zeros(1), count.cumsum(0)])
        return cls(offset, neuron.int(), tuple(spikes.shape))

    @classmethod
    def cat(cls, parts: Sequence["SparseSpikes"]) -> "SparseSpikes":
        """Batches one after the other.

        Raises:
            ValueError: they are not alike in steps and neurons.
        """
        first = parts[0]
        if any(part.shape[1:] != first.shape[1:] for part in parts):
            shapes = sorted({part.shape[1:] for part in parts})
            raise ValueError(f"expected batches alike in steps and neurons, got {shapes}")
        count = torch.cat([part.offset.diff() for part in parts])
        offset = torch.cat([count.new_zeros(1), count.cumsum(0)])
        neuron = torch.cat([part.neuron for part in parts])
        return cls(offset, neuron, (sum(map(len, parts)), *first.shape[1:]))


Spikes = Tensor | SparseSpikes
"""Spikes `(B, T, *N)`, dense or as lists."""
