"""MNIST-DVS and N-MNIST, made by the camera of `dvs_camera.py`: any size, any seed, no download."""

from hashlib import sha256
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.camera.presets import mnist_dvs_recording, nmnist_recording
from vdib.datasets.events import Recording
from vdib.datasets.recording_set import NO_IMAGE, TARGETS, RecordingSet, Shown, Split, Target
from vdib.datasets.sources import Source, class_images, source_images

Phase = Literal["recorded", "any"]
"""Of MNIST-DVS's motion: that in which all real recordings begin, or each another."""

_FIRST_ID = 100_000
"""Ids of simulated recordings begin here: above those of real ones."""


class _Simulated(RecordingSet):
    """Recordings of digits drawn at random from a split's images, without repetition while it goes.

    Args:
        split: train, validation or test; which images those are is said in `sources.py`.
        size: how many recordings.
        seed: of the choice of digits and of everything that happens in the camera.
        target: "class" for one image per class, "source" for each digit's own, "label" for none.
        source: of the digits: "mnist", "digits" (which come along), or "auto".

    Raises:
        FileNotFoundError: source is "mnist", which is neither found nor to be downloaded.
        ValueError: no such split, source or target, or a size below 1.
    """

    def __init__(
        self,
        split: Split,
        size: int = 1_000,
        seed: int = 0,
        target: Target = "source",
        source: Source = "auto",
    ) -> None:
        if size < 1 or target not in TARGETS:
            raise ValueError(f"got size {size} and target {target!r}, expected at least 1 and "
                             "'source', 'class' or 'label'")  # fmt: skip
        self.seed = seed
        found = source_images(split, source)
        order = np.random.default_rng(seed).permutation(len(found))
        times, places = np.divmod(np.arange(size), len(found))
        chosen = order[places]
        ids = _FIRST_ID * (1 + times) + found.ids.numpy()[chosen]
        labels = found.labels.numpy()[chosen]
        self.sources: NDArray[np.uint8] = found.images.numpy()[chosen]
        self.images, rows = self.sources, np.arange(size)
        if target == "class":
            self.images, rows = class_images(source), labels
        elif target == "label":
            self.images, rows = NO_IMAGE, np.zeros_like(rows)
        self.shown = [Shown(*map(int, row)) for row in zip(labels, rows, ids, strict=True)]
        self.name = f"simulated {type(self).__name__.removeprefix('Simulated')} {split}"
        self._settings = [type(self).__name__, split, size, seed, type(found).__name__]

    def identity(self) -> Any:
        # The first recording stands for the camera's settings: changed ones make other events.
        first = self.recording(0)
        events = b"".join(field.tobytes() for field in (first.x, first.y, first.t, first.p))
        return [*self._settings, sha256(events).hexdigest()]


class SimulatedMNISTDVS(_Simulated):
    """Digits that move over a screen, seen by a DVS128.

    Args:
        split, size, seed, target, source: as of all simulated recordings.
        phase: of the motion in which they begin.
    """

    def __init__(
        self,
        split: Split,
        size: int = 1_000,
        seed: int = 0,
        target: Target = "source",
        source: Source = "auto",
        phase: Phase = "recorded",
    ) -> None:
        if phase not in ("recorded", "any"):
            raise ValueError(f"phase: got {phase!r}, expected 'recorded' or 'any'")
        super().__init__(split, size, seed, target, source)
        self.any_phase = phase == "any"
        self._settings += [phase] if self.any_phase else []

    def recording(self, index: int) -> Recording:
        seed = self.seed, self.shown[index].id
        return mnist_dvs_recording(self.sources[index], seed, any_phase=self.any_phase)


class SimulatedNMNIST(_Simulated):
    """Digits on a screen, seen by a sensor that moves in three saccades."""

    __doc__ = f"{__doc__}\n\n{_Simulated.__doc__}"

    def recording(self, index: int) -> Recording:
        return nmnist_recording(self.sources[index], (self.seed, self.shown[index].id))
