"""Image data sets as spikes, for Lightning.

Legend: B batch, T steps, N = 784 pixels.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from vdib.coding import rate_code, time_code
from vdib.datasets.digits import Digits
from vdib.datasets.images import ImageBatch, ImageSet, collate
from vdib.datasets.mnist import MNIST
from vdib.lightning_modules.data_module import DataModule
from vdib.lightning_modules.vdib_module import SpikeBatch
from vdib.noise import EVALUATION, Noise

DATASETS = {"digits": Digits, "mnist": MNIST}
CODINGS = {"rate": rate_code, "time": time_code}


class ImageData(DataModule):
    """Digits as spikes: rate or time coded on the device, from the address of each example.

    Args:
        dataset: `digits` (5,000, shipped) or `mnist` (70,000).
        coding: `time` (one spike a pixel, the earlier the brighter) or `rate` (Bernoulli).
        num_steps: T.
        batch_size: B, in training.
        num_workers: loader processes, spawned; 0 loads in the main one, which is fastest here.
        seed: of the order of the examples and of rate coding.
    """

    input_shape = (1, 28, 28)
    image_shape = (28, 28)
    judged = True

    def __init__(
        self,
        dataset: Literal["digits", "mnist"] = "digits",
        coding: Literal["rate", "time"] = "time",
        num_steps: int = 30,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if num_steps < 2 or batch_size < 1 or num_workers < 0:
            raise ValueError(
                "data needs num_steps >= 2, batch_size >= 1 and num_workers >= 0, "
                f"got {num_steps}, {batch_size} and {num_workers}"
            )
        self.dataset = DATASETS[dataset]
        self.coding = CODINGS[coding]
        self.num_steps = num_steps
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.splits: dict[str, ImageSet] = {}

    def prepare_data(self) -> None:
        """Finds the files, or downloads them, before anything else is done."""
        self.split("train")

    def split(self, name: Literal["train", "validation", "test"]) -> ImageSet:
        """The images of a split, read when first asked for."""
        if name not in self.splits:
            self.splits[name] = self.dataset(name)
        return self.splits[name]

    def examples(self, split: Literal["train", "validation", "test"], count: int) -> SpikeBatch:
        """The first examples of a split, as evaluation codes them."""
        images = self.split(split)
        return self.code(images.__getitems__(range(min(count, len(images)))), EVALUATION)

    def mean_target(self) -> Tensor:
        """The mean training image, `(N,)`."""
        return self.split("train").all().image.flatten(1).mean(0)

    def code(self, batch: ImageBatch, step: int) -> SpikeBatch:
        """Images to spikes, with the noise of an optimiser step (or `EVALUATION`)."""
        target = batch.image.flatten(1)
        spikes = self.coding(target, self.num_steps, Noise(self.seed, step, batch.id))
        return SpikeBatch(
            spikes.view(*spikes.shape[:2], *self.input_shape), target, batch.label, batch.id
        )

    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> SpikeBatch:
        trainer = self.trainer
        return self.code(batch, trainer.global_step if trainer and trainer.training else EVALUATION)

    def train_dataloader(self) -> DataLoader[ImageBatch]:
        images = self.split("train")
        # The order depends on (seed, epoch) alone: Lightning tells the sampler the epoch.
        sampler: DistributedSampler[ImageBatch] = DistributedSampler(
            images,
            num_replicas=self.trainer.world_size if self.trainer else 1,
            rank=self.trainer.global_rank if self.trainer else 0,
            seed=self.seed * 1_000_003,  # epochs are added to it: keep seeds far apart
        )
        return self._loader(images, self.batch_size, sampler)

    def val_dataloader(self) -> DataLoader[ImageBatch]:
        return self._loader(self.split("validation"), max(self.batch_size, 250))

    def test_dataloader(self) -> DataLoader[ImageBatch]:
        return self._loader(self.split("test"), max(self.batch_size, 250))

    def _loader(
        self,
        images: ImageSet,
        batch_size: int,
        sampler: DistributedSampler[ImageBatch] | None = None,
    ) -> DataLoader[ImageBatch]:
        return DataLoader(
            images,
            batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=collate,  # type: ignore[arg-type]  # `ImageSet` hands over whole batches
            multiprocessing_context="spawn" if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator(),  # leaves the global one alone
        )
