"""Drifting blobs for Lightning: noisy sequences, and where the blobs are `lag` steps away.

Legend: B batch, T steps, D blobs, N neurons.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from vdib.datasets.drifting_blobs import PUBLISHED, UNIT, DriftingBlobs, spikes
from vdib.lightning_modules.data_module import DataModule
from vdib.lightning_modules.vdib_module import SpikeBatch
from vdib.noise import Noise

AMPLITUDES = {"published": PUBLISHED, "unit": UNIT}
Split = Literal["train", "validation", "test", "long"]


class BlobBatch(NamedTuple):
    """Sequences in their compact form, `(B, T, D)` uint8, with stable ids `(B,)`."""

    bins: Tensor
    id: Tensor


class BlobSet(Dataset[BlobBatch]):
    """Sequences in memory, D bytes a step."""

    def __init__(self, bins: Tensor) -> None:
        self.bins = bins

    def __len__(self) -> int:
        return len(self.bins)

    def __getitem__(self, index: int) -> BlobBatch:
        return BlobBatch(self.bins[index], torch.tensor(index))

    def __getitems__(self, indices: list[int]) -> BlobBatch:
        at = torch.as_tensor(indices, dtype=torch.int64)
        return BlobBatch(self.bins[at], at)


def _collate(batch: BlobBatch) -> BlobBatch:
    return batch


class BlobData(DataModule):
    """Superposed drifting blobs, and the neurons they hit at t + lag.

    The four splits are drawn from noise of different addresses. Training sequences follow the seed;
    the sequences of validation and test are the same for all seeds.

    Args:
        lag: delta, steps; negative recalls, positive predicts.
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
        super().__init__()
        sizes = {"num_train": num_train, "num_validation": num_validation, "num_test": num_test}
        for name, size in {**sizes, "batch_size": batch_size}.items():
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
        self.num_blobs = num_blobs
        self.num_steps = num_steps
        self.unscored = unscored
        self.batch_size = batch_size
        self.seed = seed
        self.input_shape = (num_neurons,)
        self.sizes = {
            "train": (num_train, num_steps),
            "validation": (num_validation, num_steps),
            "test": (num_test, num_steps),
            "long": (min(num_long, 1), num_long),
        }
        self.splits: dict[str, BlobSet] = {}

    def split(self, name: Split) -> BlobSet:
        """The sequences of a split, drawn when first asked for."""
        if name not in self.splits:
            self.splits[name] = self._draw(name, self.seed if name == "train" else 0)
        return self.splits[name]

    def targets(self, name: Split) -> Tensor:
        """The bins at t + lag of all sequences of a split, `(B, T, D)`."""
        return self._later(self.split(name).bins)

    def common(self, name: Split) -> tuple[Tensor, Tensor]:
        """Bins and targets of a split, each `(B, T, D)`, the same for all seeds."""
        bins = self._draw(name, 0).bins
        return bins, self._later(bins)

    def _draw(self, name: Split, seed: int) -> BlobSet:
        count, num_steps = self.sizes[name]
        noise = Noise(seed, list(self.sizes).index(name), torch.arange(count))
        return BlobSet(self.process.bins(noise, num_steps))

    def examples(self, split: Split, count: int) -> SpikeBatch:
        """The first sequences of a split."""
        sequences = self.split(split)
        return self.code(sequences.__getitems__(list(range(min(count, len(sequences))))))

    def mean_target(self) -> Tensor:
        """How often each neuron is active in the training sequences, `(N,)`."""
        bins = self.split("train").bins[:, self.unscored :]
        return spikes(bins, self.process.num_neurons).mean((0, 1))

    def code(self, batch: BlobBatch) -> SpikeBatch:
        """Spikes `(B, T, N)`, and as their target the bins at t + lag, `(B, T, D)`.

        Beyond the ends of a sequence the target is that of its first or last step, which is not to
        be scored: see `vdib.lightning_modules.predictive_coding.blob_targets.scored_steps`.
        """
        return SpikeBatch(
            spikes(batch.bins, self.process.num_neurons),
            self._later(batch.bins),
            torch.zeros_like(batch.id),
            batch.id,
        )

    def _later(self, bins: Tensor) -> Tensor:
        num_steps = bins.shape[1]
        at = (torch.arange(num_steps, device=bins.device) + self.lag).clamp(0, num_steps - 1)
        return bins[:, at]

    def on_after_batch_transfer(self, batch: BlobBatch, dataloader_idx: int) -> SpikeBatch:
        return self.code(batch)

    def train_dataloader(self) -> DataLoader[BlobBatch]:
        sequences = self.split("train")
        # The order depends on (seed, epoch) alone: Lightning tells the sampler the epoch.
        sampler: DistributedSampler[BlobBatch] = DistributedSampler(
            sequences,
            num_replicas=self.trainer.world_size if self.trainer else 1,
            rank=self.trainer.global_rank if self.trainer else 0,
            seed=self.seed * 1_000_003,  # epochs are added to it: keep seeds far apart
        )
        return self._loader(sequences, self.batch_size, sampler)

    def val_dataloader(self) -> DataLoader[BlobBatch]:
        return self._loader(self.split("validation"), 100)

    def test_dataloader(self) -> DataLoader[BlobBatch]:
        return self._loader(self.split("test"), 100)

    def _loader(
        self,
        sequences: BlobSet,
        batch_size: int,
        sampler: DistributedSampler[BlobBatch] | None = None,
    ) -> DataLoader[BlobBatch]:
        return DataLoader(
            sequences,
            batch_size,
            sampler=sampler,
            collate_fn=_collate,  # type: ignore[arg-type]  # `BlobSet` hands over whole batches
            generator=torch.Generator(),  # leaves the global one alone
        )
