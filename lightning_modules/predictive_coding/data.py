"""Drifting blobs for Lightning: noisy sequences, and where the blobs are `lag` steps away.

Legend: B batch, T steps, D blobs, N neurons.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vdib.datasets.drifting_blobs import PUBLISHED, UNIT, DriftingBlobs, spikes
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.lightning_modules.predictive_coding.signals import (
    ActiveInputs,
    EachInput,
    Pattern,
    scored_steps,
)
from vdib.noise import EVALUATION, Noise

AMPLITUDES = {"published": PUBLISHED, "unit": UNIT}
SIGNALS: dict[str, type[ActiveInputs]] = {"patterns": Pattern, "inputs": EachInput}
Split = Literal["train", "validation", "test", "long"]


class BlobBatch(NamedTuple):
    """Sequences in their compact form, `(B, T, D)` uint8, with stable ids `(B,)`."""

    bins: Tensor
    id: Tensor


class BlobSet:
    """Sequences in memory, D bytes a step."""

    def __init__(self, bins: Tensor) -> None:
        self.bins = bins

    def __len__(self) -> int:
        return len(self.bins)

    def __getitems__(self, indices: Sequence[int]) -> BlobBatch:
        at = torch.as_tensor(indices, dtype=torch.int64)
        return BlobBatch(self.bins[at], at)


class BlobData(DataModule[BlobBatch]):
    """Superposed drifting blobs, and the neurons they hit at t + lag.

    The four splits are drawn from noise of different addresses. Training sequences follow the seed;
    the sequences of validation and test are the same for all seeds.

    Args:
        lag: delta, steps; negative recalls, positive predicts.
        target: the set of active inputs (`patterns`, a softmax over all sets), or `inputs`, each
            by itself.
        num_neurons: N.
        num_blobs: D.
        amplitude: `published` (decays over a sequence) or `unit`.
        num_steps: T, of training, validation and test sequences.
        unscored: steps at the beginning of a sequence whose decodings do not count.
        num_train: sequences in an epoch.
        num_validation: sequences.
        num_test: sequences.
        num_long: steps of the one long test sequence; 0 for none.
        batch_size: B, in training.
        seed: of the training sequences and their order.
    """

    def __init__(
        self,
        lag: int = 0,
        target: Literal["patterns", "inputs"] = "patterns",
        num_neurons: int = 20,
        num_blobs: int = 2,
        amplitude: Literal["published", "unit"] = "published",
        num_steps: int = 100,
        unscored: int = 20,
        num_train: int = 8_000,
        num_validation: int = 400,
        num_test: int = 400,
        num_long: int = 10_000,
        batch_size: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        sizes = {"num_train": num_train, "num_validation": num_validation, "num_test": num_test}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}: got {size}, expected at least 1")
        if unscored < 0 or num_steps <= unscored + abs(lag):
            raise ValueError(
                f"lag {lag} and {unscored} unscored steps leave nothing of {num_steps} steps: "
                "longer sequences (num_steps), or a smaller lag"
            )
        if num_long and num_long < num_steps:
            raise ValueError(f"num_long: got {num_long}, expected 0, or at least {num_steps}")
        self.process = DriftingBlobs(num_neurons, num_blobs, AMPLITUDES[amplitude])
        self.lag = lag
        self.signal: ActiveInputs = SIGNALS[target](num_neurons, num_blobs)
        self.num_steps = num_steps
        self.unscored = unscored
        self.input_shape = (num_neurons,)
        self.sizes = {
            "train": (num_train, num_steps),
            "validation": (num_validation, num_steps),
            "test": (num_test, num_steps),
            "long": (min(num_long, 1), num_long),
        }

    def open_split(self, split: Split) -> BlobSet:
        return self._draw(split, self.seed if split == "train" else 0)

    def targets(self, split: Split) -> Tensor:
        """What is to be decoded at all steps of all sequences of a split, `(B, T, ...)`."""
        every = self.split(split)
        return self.code(every.__getitems__(range(len(every))), EVALUATION).target

    @property
    def scored(self) -> Tensor:
        """Which decodings of a sequence count, `(T,)` bool."""
        return scored_steps(self.num_steps, self.lag, self.unscored)

    def constant(self) -> Tensor:
        """The outputs `(O)` that suit all scored steps of the training sequences best."""
        return self.signal.constant(self.targets("train")[:, self.scored].flatten(0, 1))

    def common(self, name: Split) -> tuple[Tensor, Tensor]:
        """Bins and targets of a split, each `(B, T, D)`, the same for all seeds."""
        bins = self._draw(name, 0).bins
        return bins, self._later(bins)

    def _draw(self, name: Split, seed: int) -> BlobSet:
        count, num_steps = self.sizes[name]
        noise = Noise(seed, list(self.sizes).index(name), torch.arange(count))
        return BlobSet(self.process.bins(noise, num_steps))

    def code(self, batch: BlobBatch, step: int) -> SpikeBatch:
        """Spikes `(B, T, N)`, and as their target the inputs that are active at t + lag.

        Beyond the ends of a sequence the target is that of its first or last step, which is not to
        be scored: see `scored_steps`.
        """
        return SpikeBatch(
            spikes(batch.bins, self.process.num_neurons),
            self.signal.of(self._later(batch.bins)),
            torch.zeros_like(batch.id),
            batch.id,
        )

    def _later(self, bins: Tensor) -> Tensor:
        num_steps = bins.shape[1]
        at = (torch.arange(num_steps, device=bins.device) + self.lag).clamp(0, num_steps - 1)
        return bins[:, at]
