"""Spoken digits for Lightning.

Legend: B batch, T steps, N mel bands.
"""

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from vdib.datasets.speech import Speech, SpeechBatch, Split, find_recordings
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.signal import Label


class SpeechData(DataModule[SpeechBatch]):
    """Which digit is spoken, from log-mel spectra as currents (`vdib.datasets.speech`).

    Features have mean 0 and deviation 1 over the training recordings, band by band.

    Args:
        num_steps: T, parts of equal length that a recording is cut into.
        num_bands: N.
        left_out: speakers that are tested only, in all their takes, `[theo]`.
        root: folder of the recordings; `$VDIB_DATA/fsdd` by default.
        batch_size: B, in training.
        seed: of the order.
    """

    EVALUATED = 200

    def __init__(
        self,
        num_steps: int = 8,
        num_bands: int = 48,
        left_out: Sequence[str] = (),
        root: str | None = None,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        if num_steps < 1 or num_bands < 1:
            raise ValueError(
                f"num_steps and num_bands: got {num_steps} and {num_bands}, expected 1 or more"
            )
        if isinstance(left_out, str):
            left_out = [left_out]
        self.left_out = tuple(left_out)
        self.root = root
        self.num_steps = num_steps
        self.num_bands = num_bands
        self.input_shape = (num_bands,)
        self.signal = Label(10)

    def prepare_data(self) -> None:
        """Finds the recordings before anything else is done."""
        find_recordings(self.root)

    def open_split(self, split: Split) -> Speech:
        return Speech(split, self.num_steps, self.num_bands, self.left_out, self.root)

    def targets(self, split: Split) -> Tensor:
        speech: Speech = self.split(split)  # type: ignore[assignment]
        return speech.labels

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        speech: Speech = self.split("train")  # type: ignore[assignment]
        features = speech.features.flatten(0, 1)
        return features.mean(0), features.std(0).clamp_min(1e-6)

    def code(self, batch: SpeechBatch, step: int) -> SpikeBatch:
        mean, deviation = (part.to(batch.features.device) for part in self._scale)
        x = (batch.features - mean) / deviation
        return SpikeBatch(x, batch.label, batch.label, batch.id)
