"""What every image data set yields, and the loader's fast path over it.

Shapes: B batch, N images held; images are 28 x 28.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset


class ImageBatch(NamedTuple):
    """Grey images with their labels; a single example has the same fields without B.

    Attributes:
        image: (B, 28, 28) float32, dimensionless intensity in [0, 1].
        label: (B,) int64 class.
        id: (B,) int64, the example's index in its data set's own numbering: the same in every
            split, run and version, and never shared by two examples of one data set.
    """

    image: Tensor
    label: Tensor
    id: Tensor


@dataclass(frozen=True, eq=False)
class ImageSet(Dataset[ImageBatch]):
    """Images in memory, kept as bytes and scaled by 1/255 when read.

    `DataLoader(images, batch_size, collate_fn=collate)` gathers a whole batch at once through
    `__getitems__`. Picklable, so workers may be spawned.

    Attributes:
        images: (N, 28, 28) uint8.
        labels: (N,) int64.
        ids: (N,) int64.

    Raises:
        ValueError: the three do not describe the same N images.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor

    def __post_init__(self) -> None:
        count = len(self.images)
        if self.images.shape != (count, 28, 28) or self.images.dtype != torch.uint8:
            got = f"{tuple(self.images.shape)} {self.images.dtype}"
            raise ValueError(f"images: got {got}, expected (N, 28, 28) torch.uint8")
        for name, value in (("labels", self.labels), ("ids", self.ids)):
            if value.shape != (count,) or value.dtype != torch.int64:
                got = f"{tuple(value.shape)} {value.dtype}"
                raise ValueError(f"{name}: got {got}, expected ({count},) torch.int64")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> ImageBatch:
        """The example at a position (not at an id), without the batch dimension."""
        return ImageBatch(self.images[index] / 255, self.labels[index], self.ids[index])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        """The examples at these positions, as one batch."""
        at = torch.as_tensor(indices, dtype=torch.int64)
        return ImageBatch(self.images[at] / 255, self.labels[at], self.ids[at])

    def all(self) -> ImageBatch:
        """Every example, in order, as one batch (3 kB an image)."""
        return ImageBatch(self.images / 255, self.labels, self.ids)


def collate(batch: ImageBatch) -> ImageBatch:
    """Identity, for `DataLoader(collate_fn=...)`: `ImageSet` hands over whole batches.

    A function of the module, because lambdas do not pickle for spawned workers.
    """
    return batch
