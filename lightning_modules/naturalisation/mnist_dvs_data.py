"""MNIST-DVS, real and simulated, for Lightning."""

from collections.abc import Sequence
from typing import Any, Literal

from vdib.datasets.mnist_dvs import MNISTDVS, SENSOR_SIZE
from vdib.datasets.recording import ReadOptions
from vdib.datasets.recording_set import RecordingSet, Split, Target
from vdib.datasets.simulated import SimulatedMNISTDVS
from vdib.datasets.sources import Source
from vdib.datasets.spike_set import Preparation
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.datasets.transforms.follow import Follow
from vdib.lightning_modules.naturalisation.event_data import EventData, Recordings
from vdib.signal import Label


class MNISTDVSData(EventData):
    """Digits that move over a screen, seen by a DVS128; the crop follows the digit.

    Args:
        recordings: `simulated` by `vdib.datasets.camera`, `real`, or `both` to train on and the
            real ones to validate and test on.
        target: one image per `class`, each digit's own `source` image, or its `label`.
        num_train, num_validation, num_test: simulated recordings.
        simulation_seed: of the simulated recordings, apart from the run's seed.
        source: of the simulated digits: `mnist`, the `digits` that come along, or `auto`.
        root: folder of the real recordings (default: `$VDIB_DATA/mnist_dvs`, then the cache).
        scale: of the real recordings.
        size: side of the crop in pixels.
        download: fetch what is missing (2.5 GB).
        num_steps, step_ms: T and ms a step.
        batch_size, cache, workers, seed: see `EventData`.
        read: how files of real recordings are read, the settings of `ReadOptions`.
    """

    def __init__(
        self,
        recordings: Recordings = "simulated",
        target: Target | Literal["label"] = "class",
        num_train: int = 10_000,
        num_validation: int = 500,
        num_test: int = 1_000,
        simulation_seed: int = 0,
        source: Source = "auto",
        root: str | None = None,
        scale: Literal[4, 8, 16] = 4,
        size: int = 26,
        download: bool = False,
        num_steps: int = 80,
        step_ms: float = 25.0,
        batch_size: int = 32,
        cache: bool = True,
        workers: int = 2,
        seed: int = 0,
        **read: Any,
    ) -> None:
        super().__init__(num_steps, step_ms, batch_size, cache, workers, seed)
        self.options = ReadOptions(**read)
        self.kind = recordings
        self.target: Target = "class" if target == "label" else target
        if target == "label":
            self.signal = Label(10)
        self.sizes = {"train": num_train, "validation": num_validation, "test": num_test}
        self.simulation_seed = simulation_seed
        self.source: Source = source
        self.root, self.scale, self.download = root, scale, download
        self.prepare = Preparation(
            (Follow((size, size)),),
            SpikeBinning(dt=self.step_us, num_steps=num_steps),
            SENSOR_SIZE,
        )

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        parts: list[RecordingSet] = []
        if self.kind != "simulated":
            if self.download:
                from vdib.datasets.download_mnist_dvs import download

                download(self.root, scale=self.scale)
            parts.append(MNISTDVS(split, self.root, self.scale, self.target, options=self.options))
        if self.kind == "simulated" or (self.kind == "both" and split == "train"):
            size, seed = self.sizes[split], self.simulation_seed
            parts.append(SimulatedMNISTDVS(split, size, seed, self.target, self.source))
        return parts
