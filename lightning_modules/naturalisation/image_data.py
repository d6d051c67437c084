"""Image data sets as spikes, for Lightning.

Legend: B batch, T steps, N = 784 pixels, or 28 columns of them.
"""

from typing import Literal

from torch import Tensor

from vdib.coding import constant_code, rate_code, row_code, time_code
from vdib.datasets.images import ImageBatch, ImageSet
from vdib.lightning_modules.choices import IMAGE_SETS, ImageSetName
from vdib.lightning_modules.choosing import chosen
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.noise import Noise
from vdib.signal import Image, Label, Signal

CODINGS = {"rate": rate_code, "time": time_code, "constant": constant_code, "rows": row_code}
SIDE = 28


class ImageData(DataModule[ImageBatch]):
    """Digits as spikes: rate or time coded on the device, from the address of each example.

    Args:
        dataset: `digits` (5,000, shipped) or `mnist` (70,000).
        target: what the spikes are to become: the `image` itself, or its `label`.
        coding: `time` (one spike a pixel, the earlier the brighter), `rate` (Bernoulli),
            `constant` (no spikes: the pixels as currents, in every step) or `rows` (Bernoulli, one
            row of the image after the other into 28 inputs).
        num_steps: T; of `rows` a multiple of 28.
        batch_size: B, in training.
        num_workers: loader processes, spawned; 0 loads in the main one, which is fastest here.
        drop_last: leave out the last batch of an epoch where it is smaller.
        seed: of the order of the examples and of rate coding.
    """

    EVALUATED = 250

    def __init__(
        self,
        dataset: ImageSetName = "digits",
        target: Literal["image", "label"] = "image",
        coding: Literal["rate", "time", "constant", "rows"] = "time",
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
        if coding == "rows" and num_steps % SIDE:
            raise ValueError(
                f"num_steps: got {num_steps}, expected a multiple of {SIDE}, the rows of an image"
            )
        self.coding = CODINGS[coding]
        self.input_shape = (SIDE,) if coding == "rows" else (1, SIDE, SIDE)
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
        pixels = batch.image if self.coding is row_code else batch.image.flatten(1)
        spikes = self.coding(pixels, self.num_steps, Noise(self.seed, step, batch.id))
        spikes = spikes.view(*spikes.shape[:2], *self.input_shape)
        return SpikeBatch(spikes, self._target(batch), batch.label, batch.id)
