"""What all data modules have in common: splits, order, loaders, batches of spikes.

Legend: B batch, T steps, N input neurons (any number of axes).
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from vdib.noise import EVALUATION
from vdib.signal import Signal
from vdib.sparse import Spikes


class SpikeBatch(NamedTuple):
    """Spikes and what they are to be turned into.

    Attributes:
        spikes: `(B, T, *N)`, dense or as lists.
        target: `(B, ...)`, the natural signal r.
        label: `(B,)` class.
        id: `(B,)` stable id of the example.
    """

    spikes: Spikes
    target: Tensor
    label: Tensor
    id: Tensor

    def to(self, device: torch.device | str) -> "SpikeBatch":
        """The same batch on another device."""
        target, label, id = (field.to(device) for field in self[1:])
        return SpikeBatch(self.spikes.to(device), target, label, id)


Raw = TypeVar("Raw", covariant=True)


class Examples(Protocol[Raw]):
    """The examples of a split, handed over in whole batches."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int]) -> Raw: ...


Batch = TypeVar("Batch")


def _whole(batch: Batch) -> Batch:
    return batch  # `Examples` collate themselves


class DataModule(LightningDataModule, Generic[Batch]):
    """Splits of examples, and loaders whose order is a function of (seed, epoch).

    Args:
        batch_size: B, in training.
        seed: of the order of the examples.
        num_workers: loader processes, spawned; 0 loads in the main one.
        drop_last: leave out a last batch of training that is smaller.

    Attributes:
        num_steps: T.
        input_shape: `(*N)` of one step's spikes.
        signal: what r is.
        EVALUATED: examples of a batch in evaluation, at least.

    Raises:
        ValueError: a batch_size below 1, or num_workers below 0.
    """

    EVALUATED = 100
    num_steps: int
    input_shape: tuple[int, ...]
    signal: Signal

    def __init__(
        self, batch_size: int, seed: int, num_workers: int = 0, drop_last: bool = False
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                "data needs batch_size >= 1 and num_workers >= 0, "
                f"got {batch_size} and {num_workers}"
            )
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers
        self.drop_last = drop_last
        self._splits: dict[str, Examples[Batch]] = {}

    def __str__(self) -> str:
        # Lightning's own description builds all loaders. The command line's parser describes what
        # it links settings from, and would read, download or simulate the data to build a model.
        return type(self).__name__

    @abstractmethod
    def open_split(self, split: Any) -> Examples[Batch]:
        """The examples of a split, from their files or the simulator."""

    @abstractmethod
    def code(self, batch: Batch, step: int) -> SpikeBatch:
        """Examples as spikes, with the noise of an optimiser step (or `EVALUATION`)."""

    def split(self, name: Any) -> Examples[Batch]:
        """The examples of a split, loaded when first asked for."""
        if name not in self._splits:
            self._splits[name] = self.open_split(name)
        return self._splits[name]

    def examples(self, split: Any, count: int) -> SpikeBatch:
        """The first examples of a split (all where there are fewer), as evaluation codes them."""
        some = self.split(split)
        return self.code(some.__getitems__(range(min(count, len(some)))), EVALUATION)

    @abstractmethod
    def targets(self, split: Any) -> Tensor:
        """The natural signals of all examples of a split, `(B, ...)`."""

    def constant(self) -> Tensor:
        """The decoder's outputs `(O)` of the best answer to the training data without spikes."""
        return self.signal.constant(self.targets("train"))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> SpikeBatch:
        trainer = self.trainer
        return self.code(batch, trainer.global_step if trainer and trainer.training else EVALUATION)

    def train_dataloader(self) -> DataLoader[Any]:
        # Lightning tells the sampler the epoch.
        sampler: DistributedSampler[Any] = DistributedSampler(
            self.split("train"),  # type: ignore[arg-type]  # of which it asks the length
            num_replicas=self.trainer.world_size if self.trainer else 1,
            rank=self.trainer.global_rank if self.trainer else 0,
            seed=self.seed * 1_000_003,  # epochs are added to it: keep seeds far apart
        )
        return self._loader("train", self.batch_size, sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader("validation", max(self.batch_size, self.EVALUATED))

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader("test", max(self.batch_size, self.EVALUATED))

    def _loader(
        self, split: str, batch_size: int, sampler: DistributedSampler[Any] | None = None
    ) -> DataLoader[Any]:
        return DataLoader(
            self.split(split),  # type: ignore[arg-type]  # batches are taken as a whole
            batch_size,
            sampler=sampler,
            drop_last=self.drop_last and split == "train",
            num_workers=self.num_workers,
            collate_fn=_whole,
            multiprocessing_context="spawn" if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator(),  # leaves the global one alone
        )
