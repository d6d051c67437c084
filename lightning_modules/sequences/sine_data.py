"""A periodic curve in ON and OFF events, for Lightning.

Legend: B batch, T steps, N inputs.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vdib.datasets.sine import curve, events, random_phase
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.noise import EVALUATION, Noise
from vdib.signal import Curve

Split = Literal["train", "validation", "test"]


class SineBatch(NamedTuple):
    """Which curves: ids `(B,)`, from which phases and events are drawn."""

    id: Tensor


class SineSet:
    """Numbered curves."""

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitems__(self, indices: Sequence[int]) -> SineBatch:
        return SineBatch(self.ids[torch.as_tensor(indices, dtype=torch.int64)])


class SineData(DataModule[SineBatch]):
    """Values of `0.5 sin 3x + 0.5 sin 6x + 1` from ON and OFF events (`vdib.datasets.sine`).

    Events are never the same twice in training, and others again in validation and in test.

    Args:
        phase: where the curve begins: always at x = 0 (`fixed`, as published), so that a network
            may also learn it by heart; or anywhere (`random`), which only the events tell.
        num_inputs: N, half of them ON and half OFF.
        num_steps: T, over three periods.
        unscored: steps at the beginning that do not count in evaluation.
        num_train: examples in an epoch.
        num_validation: examples.
        num_test: examples.
        batch_size: B, in training.
        seed: of the order and the events of training, and of all phases.
    """

    def __init__(
        self,
        phase: Literal["fixed", "random"] = "fixed",
        num_inputs: int = 20,
        num_steps: int = 100,
        unscored: int = 0,
        num_train: int = 1_000,
        num_validation: int = 100,
        num_test: int = 500,
        batch_size: int = 20,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        sizes = {"num_train": num_train, "num_validation": num_validation, "num_test": num_test}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}: got {size}, expected at least 1")
        if phase not in ("fixed", "random"):
            raise ValueError(f"phase: got {phase!r}, expected fixed or random")
        if num_inputs < 2 or num_inputs % 2:
            raise ValueError(f"num_inputs: got {num_inputs}, expected an even number: ON and OFF")
        if not 0 <= unscored < num_steps:
            raise ValueError(f"unscored: got {unscored}, expected 0 to {num_steps - 1}")
        self.phase = phase
        self.num_steps = num_steps
        self.unscored = unscored
        self.num_inputs = num_inputs
        self.input_shape = (num_inputs,)
        self.signal = Curve(1)
        self.sizes = {"train": num_train, "validation": num_validation, "test": num_test}

    def open_split(self, split: Split) -> SineSet:
        before = list(self.sizes).index(split) * 1_000_000  # no id is that of another split's
        return SineSet(before + torch.arange(self.sizes[split]))

    def targets(self, split: Split) -> Tensor:
        """All curves of a split, `(B, T, 1)`."""
        return self._curves(self.open_split(split).ids, EVALUATION)[..., None]

    def _curves(self, ids: Tensor, step: int) -> Tensor:
        if self.phase == "fixed":
            return curve(self.num_steps, torch.zeros(len(ids), device=ids.device))
        return curve(self.num_steps, random_phase(Noise(self.seed, step, ids)))

    def code(self, batch: SineBatch, step: int) -> SpikeBatch:
        values = self._curves(batch.id, step)
        spikes = events(values, self.num_inputs, Noise(self.seed, step, batch.id))
        return SpikeBatch(spikes, values[..., None], torch.zeros_like(batch.id), batch.id)
