"""N-MNIST, real and simulated, for Lightning."""

from collections.abc import Sequence
from typing import Any, Literal

from vdib.datasets.nmnist import NMNIST, SENSOR_SIZE, download_nmnist
from vdib.datasets.recording import ReadOptions
from vdib.datasets.recording_set import RecordingSet, Split, Target
from vdib.datasets.simulated import SimulatedNMNIST
from vdib.datasets.sources import Source
from vdib.datasets.spike_set import Preparation
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.lightning_modules.naturalisation.event_data import EventData, Recordings
from vdib.signal import Label


class NMNISTData(EventData):
    """Digits on a screen, seen by a sensor that moves in three saccades.

    Args:
        recordings: `simulated` by `vdib.datasets.camera`, `real`, or `both` to train on and the
            real ones to validate and test on.
        target: one image per `class`, each digit's own `source` image, or its `label`.
        num_train, num_validation, num_test: simulated recordings.
        real_weight: how often an epoch shows each real recording to train on.
        source: of the simulated digits: `mnist`, the `digits` that come along, or `auto`; beside
            real recordings only `mnist`, because those may show digits that come along.
        root: folder of the real recordings (default: `$VDIB_DATA/nmnist`, then the cache).
        fold: which fifth of the real recordings in `Train` to test on; none: the official split.
        download: fetch what is missing through tonic (1.1 GB).
        num_steps, step_ms: T and ms a step.
        batch_size, cache, workers, seed: see `EventData`.
        read: how files of real recordings are read, the settings of `ReadOptions`.
    """

    def __init__(
        self,
        recordings: Recordings = "both",
        target: Target | Literal["label"] = "source",
        num_train: int = 10_000,
        num_validation: int = 500,
        num_test: int = 1_000,
        real_weight: int = 1,
        simulation_seed: int = 0,
        source: Source = "auto",
        root: str | None = None,
        fold: int | None = None,
        download: bool = False,
        num_steps: int = 30,
        step_ms: float = 10.0,
        batch_size: int = 32,
        cache: bool = True,
        workers: int = 2,
        seed: int = 0,
        **read: Any,
    ) -> None:
        super().__init__(num_steps, step_ms, batch_size, cache, workers, seed)
        if real_weight < 1:
            raise ValueError(f"real_weight: got {real_weight}, expected at least 1")
        if recordings == "both":
            if source == "digits":
                raise ValueError("source: got 'digits', expected 'mnist' beside real recordings, "
                                 "some of which show the digits that come along")  # fmt: skip
            source = "mnist"
        self.options = ReadOptions(**read)
        self.kind = recordings
        self.target: Target = "class" if target == "label" else target
        if target == "label":
            self.signal = Label(10)
        self.sizes = {"train": num_train, "validation": num_validation, "test": num_test}
        self.real_weight = real_weight
        self.simulation_seed = simulation_seed
        self.source: Source = source
        self.root, self.fold, self.download = root, fold, download
        # From time 0, not from the first event: the saccades have a fixed schedule.
        binning = SpikeBinning(dt=self.step_us, num_steps=num_steps, start=0)
        self.prepare = Preparation((), binning, SENSOR_SIZE)

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        parts: list[RecordingSet] = []
        if self.kind != "simulated":
            if self.download:
                download_nmnist(self.root)
            real = NMNIST(split, self.root, self.fold, target=self.target, options=self.options)
            parts += [real] * (self.real_weight if split == "train" else 1)
        if self.kind == "simulated" or (self.kind == "both" and split == "train"):
            size, seed = self.sizes[split], self.simulation_seed
            parts.append(SimulatedNMNIST(split, size, seed, self.target, self.source))
        return parts
