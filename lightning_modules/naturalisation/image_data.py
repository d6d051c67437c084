"""Image data sets as spikes, for Lightning.

Legend: B batch, T steps, N = 784 pixels.
"""

from typing import Literal

from torch import Tensor

from vdib.coding import constant_code, rate_code, time_code
from vdib.datasets.images import ImageBatch, ImageSet
from vdib.lightning_modules.choices import IMAGE_SETS, ImageSetName
from vdib.lightning_modules.choosing import chosen
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.noise import Noise
from vdib.signal import Image, Label, Signal

CODINGS = {"rate": rate_code, "time": time_code, "constant": constant_code}


class ImageData(DataModule[ImageBatch]):
    """Digits as spikes: rate or time coded on the device, from the address of each example.

    Args:
        dataset: `digits` (5,000, shipped) or `mnist` (70,000).
        target: what the spikes are to become: the `image` itself, or its `label`.
        coding: `time` (one spike a pixel, the earlier the brighter), `rate` (Bernoulli) or
            `constant` (no spikes: the pixels as currents, in every step).
        num_steps: T.
        batch_size: B, in training.
        num_workers: loader processes, spawned; 0 loads in the main one, which is fastest here.
        drop_last: leave out the last batch of an epoch where it is smaller.
        seed: of the order of the examples and of rate coding.
    """

    EVALUATED = 250
    input_shape = (1, 28, 28)

    def __init__(
        self,
        dataset: ImageSetName = "digits",
        target: Literal["image", "label"] = "image",
        coding: Literal["rate", "time", "constant"] = "time",
        num_steps: int = 30,
        batch_size: int = 32,
        num_workers: int = 0,
        drop_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed, num_workers, drop_last)
        if num_steps < 2:
            raise ValueError(f"num_steps: got {num_steps}, expected at least 2")
        if target not in ("image", "label") or coding not in CODINGS:
            raise ValueError(
                f"got target {target!r} and coding {coding!r}, expected image or label and one of "
                f"{', '.join(CODINGS)}"
            )
        self.dataset = chosen("dataset", dataset, IMAGE_SETS)
        self.signal: Signal = Label(10) if target == "label" else Image((28, 28), digits=True)
        self.coding = CODINGS[coding]
        self.num_steps = num_steps

    def prepare_data(self) -> None:
        """Finds the files, or downloads them, before anything else is done."""
        self.split("train")

    def open_split(self, split: Literal["train", "validation", "test"]) -> ImageSet:
        return self.dataset(split)

    def targets(self, split: Literal["train", "validation", "test"]) -> Tensor:
        images: ImageSet = self.split(split)  # type: ignore[assignment]
        return self._target(images.all())

    def _target(self, batch: ImageBatch) -> Tensor:
        return batch.label if isinstance(self.signal, Label) else batch.image.flatten(1)

    def code(self, batch: ImageBatch, step: int) -> SpikeBatch:
        spikes = self.coding(
            batch.image.flatten(1), self.num_steps, Noise(self.seed, step, batch.id)
        )
        spikes = spikes.view(*spikes.shape[:2], *self.input_shape)
        return SpikeBatch(spikes, self._target(batch), batch.label, batch.id)
