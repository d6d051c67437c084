"""Recordings as spikes, held in memory as lists: a few kB each.

R: recordings; T: steps; C, H, W: channels, rows and columns of input neurons; S: spikes;
B: batch; M: target images.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.datasets.cache import Arrays, cached
from vdib.datasets.preparation import Preparation
from vdib.datasets.recording_set import RecordingSet
from vdib.sparse import SparseSpikes

_VERSION = 2
"""Part of every cache key: to be raised when the same settings come to mean other spikes."""


class SpikeExamples(NamedTuple):
    """A batch of recordings as spikes.

    Attributes:
        spikes: `(B, T, C, H, W)` as lists.
        image: `(B, H, W)` float32, what each is to become: in [0, 1], or a vector `(B, 1, D)`.
        label: `(B,)` int64.
        id: `(B,)` int64.
    """

    spikes: SparseSpikes
    image: Tensor
    label: Tensor
    id: Tensor


@dataclass(frozen=True, eq=False)
class SpikeSet(Dataset[SpikeExamples]):
    """The spikes of R recordings, and what they are to become.

    Attributes:
        count: `(R, T)` spikes per step.
        neuron: `(S,)` the neurons that fire, step after step and recording after recording.
        shape: `(C, H, W)` of the input neurons.
        images: `(M, H, W)` uint8; vectors `(M, 1, D)` of any numbers as float32.
        image: `(R,)` rows of `images`.
        label: `(R,)` class.
        id: `(R,)` stable id.
    """

    count: NDArray[np.int64]
    neuron: NDArray[np.integer[Any]]
    shape: tuple[int, int, int]
    images: NDArray[np.uint8] | NDArray[np.float32]
    image: NDArray[np.int64]
    label: NDArray[np.int64]
    id: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        recordings: RecordingSet,
        prepare: Preparation,
        cache: Path | None = None,
        workers: int = 1,
    ) -> "SpikeSet":
        """Prepare all recordings, or take them from the cache; say how many records were lost.

        Args:
            recordings: to be read or made.
            prepare: how they turn into spikes.
            cache: folder where spikes are kept; None for nowhere.
            workers: threads.
        """
        size = prepare.sensor_size or recordings.recording(0).sensor_size
        prepare, shape = replace(prepare, sensor_size=size), prepare.shape(size)

        def make() -> Arrays:
            return _prepared(recordings, prepare, shape, workers)

        settings = {
            "version": _VERSION,
            "recordings": recordings.identity(),
            "preparation": repr(prepare),
        }
        arrays = make() if cache is None else cached(settings, make, cache)
        if "skipped" in arrays:
            skipped = arrays["skipped"]
            where = f"{np.count_nonzero(skipped)} of {len(skipped)} recordings"
            print(
                f"vdib: {recordings.name}: {skipped.sum()} bad records left out, in {where}",
                file=sys.stderr,
            )
        label, image, id = np.array(recordings.shown, np.int64).reshape(-1, 3).T
        return cls(arrays["count"], arrays["neuron"], shape, recordings.images, image, label, id)

    def __len__(self) -> int:
        return len(self.count)

    @cached_property
    def _begins(self) -> NDArray[np.int64]:
        """Where each recording's spikes begin, and where the last one's end, `(R + 1,)`."""
        return np.concatenate(([0], np.cumsum(self.count.sum(1))))

    def __getitem__(self, index: int) -> SpikeExamples:
        """One recording, as a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> SpikeExamples:
        """The recordings at these positions, as one batch."""
        at = np.asarray(indices, np.int64)
        pieces = [self.neuron[self._begins[i] : self._begins[i + 1]] for i in at]
        offset = np.concatenate(([0], np.cumsum(self.count[at].ravel())))
        neuron = np.concatenate([*pieces, self.neuron[:0]]).astype(np.int32)
        shape = (len(at), self.count.shape[1], *self.shape)
        return SpikeExamples(
            SparseSpikes(torch.from_numpy(offset), torch.from_numpy(neuron), shape),
            self.targets(self.image[at]),
            torch.from_numpy(self.label[at]),
            torch.from_numpy(self.id[at]),
        )

    def targets(self, rows: NDArray[np.int64]) -> Tensor:
        """Images in [0, 1], or vectors as they are, `(B, H, W)` float32."""
        some = torch.from_numpy(self.images[rows])
        return some / 255 if some.dtype == torch.uint8 else some

    def take(self, which: NDArray[Any]) -> "SpikeSet":
        """Some of the recordings, by position or mask; repetitions are welcome."""
        at = np.arange(len(self))[which]
        pieces = [self.neuron[self._begins[i] : self._begins[i + 1]] for i in at]
        return replace(
            self,
            count=self.count[at],
            neuron=np.concatenate([*pieces, self.neuron[:0]]),
            image=self.image[at],
            label=self.label[at],
            id=self.id[at],
        )

    @classmethod
    def cat(cls, parts: Sequence["SpikeSet"]) -> "SpikeSet":
        """Sets one after the other, alike in steps, neurons and image size."""
        alike = {(part.count.shape[1], part.shape, part.images.shape[1:]) for part in parts}
        if len(alike) != 1:
            raise ValueError(f"expected sets alike in steps, neurons and images, got {alike}")
        before = np.cumsum([0] + [len(part.images) for part in parts[:-1]])
        return cls(
            count=np.concatenate([part.count for part in parts]),
            neuron=np.concatenate([part.neuron for part in parts]),
            shape=parts[0].shape,
            images=np.concatenate([part.images for part in parts]),
            image=np.concatenate([p.image + b for p, b in zip(parts, before, strict=True)]),
            label=np.concatenate([part.label for part in parts]),
            id=np.concatenate([part.id for part in parts]),
        )


def _prepared(
    recordings: RecordingSet, prepare: Preparation, shape: tuple[int, int, int], workers: int
) -> Arrays:
    small = np.uint16 if np.prod(shape) <= 1 << 16 else np.int32

    def one(index: int) -> tuple[NDArray[np.int64], NDArray[np.integer[Any]], int]:
        recording = recordings.recording(index)
        count, neuron = prepare(recording)
        return count, neuron.astype(small), recording.num_skipped

    with ThreadPoolExecutor(workers) as pool:
        every = tqdm(
            pool.map(one, range(len(recordings))),
            total=len(recordings),
            desc=recordings.name,
            unit="recording",
            mininterval=0.5,
            disable=None,  # where nobody looks
        )
        counts, neurons, skipped = zip(*every, strict=True)
    arrays = {"count": np.stack(counts), "neuron": np.concatenate(neurons)}
    return {**arrays, "skipped": np.array(skipped)} if any(skipped) else arrays


def collate(batch: SpikeExamples) -> SpikeExamples:
    """Identity, for `DataLoader(collate_fn=...)`: `SpikeSet` hands over whole batches."""
    return batch
