"""What all data modules have in common: splits, order, loaders, batches of spikes.

Legend: B batch, T steps, N input neurons (any number of axes).
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from vdib.lightning_modules.order import Batches, Order, Place, Rank
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
        looks: `(B, S)` int64, after how many steps each is decoded in training; None for once,
            after all T.
    """

    spikes: Spikes
    target: Tensor
    label: Tensor
    id: Tensor
    looks: Tensor | None = None

    def to(self, device: torch.device | str) -> "SpikeBatch":
        """The same batch on another device."""
        target, label, id = (field.to(device) for field in (self.target, self.label, self.id))
        looks = None if self.looks is None else self.looks.to(device)
        return SpikeBatch(self.spikes.to(device), target, label, id, looks)


Raw = TypeVar("Raw", covariant=True)


class Examples(Protocol[Raw]):
    """The examples of a split, handed over in whole batches."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int]) -> Raw: ...


Batch = TypeVar("Batch")


def _whole(batch: Batch) -> Batch:
    return batch  # `Examples` collate themselves


class Loader(DataLoader[Any]):
    """A loader that Lightning may stop and begin anywhere in an epoch.

    It keeps no state of its own: where it begins was said when it was made.
    """

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class DataModule(LightningDataModule, Generic[Batch]):
    """Splits of examples, and loaders whose order is a function of (seed, epoch).

    Args:
        batch_size: B, in training, over all processes.
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
        self._begin = Place()

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
        return self._loader("train", self._batches())

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader("validation")

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader("test")

    @property
    def evaluated(self) -> int:
        """Examples of a batch in evaluation, over all processes."""
        return max(self.batch_size, self.EVALUATED)

    def weight(self, batch: int) -> float:
        """What this process's part of a training batch counts; see `Batches.weight`."""
        return self._batches().weight(batch)

    def _batches(self) -> Batches:
        """Of training, from where the run goes on."""
        seed = self.seed if self.shuffled else None
        order = Order(len(self.split("train")), seed, self._begin.epoch)
        return Batches(order, self.batch_size, self._rank, True, self.drop_last, self._begin)

    def setup(self, stage: str) -> None:
        self._begin = Place()  # a checkpoint is restored after this, and before loaders are made

    def state_dict(self) -> dict[str, Any]:
        assert self.trainer is not None
        loop: Any = self.trainer.fit_loop
        epochs = loop.epoch_progress.current
        batches = loop.epoch_loop.batch_progress.current.processed
        at_end = epochs.completed < epochs.processed
        return Place(epochs.processed, 0 if at_end else batches)._asdict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._begin = Place(**state)

    @property
    def shuffled(self) -> bool:
        """Whether training examples are; `--trainer.overfit_batches` sees the first ones again."""
        trainer: Any = self.trainer
        return trainer is None or not trainer.overfit_batches > 0

    @property
    def _rank(self) -> Rank:
        trainer = self.trainer
        return Rank(trainer.global_rank, trainer.world_size) if trainer else Rank()

    def _loader(self, split: str, batches: Batches | None = None) -> DataLoader[Any]:
        if batches is None:
            count, processes = len(self.split(split)), self._rank.processes
            if count < processes:
                raise ValueError(
                    f"{split}: got {count} examples for {processes} processes, "
                    "expected one each: fewer --trainer.devices"
                )
            batches = Batches(Order(count), self.evaluated, self._rank)
        return Loader(
            self.split(split),  # type: ignore[arg-type]  # batches are taken as a whole
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=_whole,
            multiprocessing_context="spawn" if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator(),  # leaves the global one alone
        )
