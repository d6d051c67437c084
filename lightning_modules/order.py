"""Which examples come when: a function of seed, epoch and position, on any number of processes.

Batches are those of the whole run. Each of P processes takes every P-th example of each, so that
all of them together see every example once, whatever P, the last batch included.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Sampler


class Place(NamedTuple):
    """Where in its training a run is.

    Attributes:
        epoch: epochs that are complete.
        batch: batches of the next that are.
    """

    epoch: int = 0
    batch: int = 0


class Rank(NamedTuple):
    """Which of a run's processes this is.

    Attributes:
        number: from 0.
        processes: P, of all.
    """

    number: int = 0
    processes: int = 1


class Order(Sampler[int]):
    """The examples of an epoch, drawn from (seed, epoch) alone, or one after the other.

    Args:
        count: of the examples.
        seed: None for one after the other.
        epoch: the first.
    """

    def __init__(self, count: int, seed: int | None = None, epoch: int = 0) -> None:
        self.count, self.seed, self.epoch = count, seed, epoch

    def set_epoch(self, epoch: int) -> None:
        """Lightning says so before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        if self.seed is None:
            return iter(range(self.count))
        # Epochs are added to the seed: seeds are kept far apart.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.count, generator=generator).tolist())


class Batches(Sampler[list[int]]):
    """One process's part of each batch.

    In training every process takes part in every batch. One that has no example of its own in the
    last batch is given another's, which `weight` counts 0 times; in evaluation it has no such
    batch.

    Args:
        order: of the examples.
        size: B, examples of a batch over all processes.
        rank: of this process.
        training: whether every process takes part in every batch.
        drop_last: leave out a last batch that is smaller.
        begin: where the run goes on; batches of that epoch before it are left out.

    Attributes:
        sampler: the order; Lightning looks for it here.
    """

    def __init__(
        self,
        order: Order,
        size: int,
        rank: Rank | None = None,
        training: bool = False,
        drop_last: bool = False,
        begin: Place | None = None,
    ) -> None:
        self.sampler, self.size, self.rank = order, size, rank or Rank()
        self.training, self.drop_last, self.begin = training, drop_last, begin or Place()

    def __len__(self) -> int:
        whole, left = divmod(len(self.sampler), self.size)
        has_part = self.training or left > self.rank.number
        return whole + (left > 0 and not self.drop_last and has_part)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        first = self.begin.batch if self.sampler.epoch == self.begin.epoch else 0
        for batch in range(first, len(self)):
            examples = order[batch * self.size : (batch + 1) * self.size]
            yield examples[self.rank.number :: self.rank.processes] or examples[:1]

    def weight(self, batch: int) -> float:
        """What this process's mean over its part counts in the mean over all processes' means.

        With n_r of the n examples of a batch on process r, `n_r P / n`: the mean over processes of
        weight times mean is the mean over the batch.
        """
        examples = min(self.size, len(self.sampler) - batch * self.size)
        number, processes = self.rank
        return len(range(number, examples, processes)) * processes / examples
