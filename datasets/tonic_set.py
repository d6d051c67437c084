"""Any labelled data set of tonic's, by its name: SHD, SSC, DVSGesture, CIFAR10DVS and others.

Lenz et al., "Tonic: event-based datasets and transformations", 2021,
https://doi.org/10.5281/zenodo.5079802. It is an extra: `pip install vdib[tonic]` (GPL-3.0).
"""

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from vdib.datasets.cache import default_folders
from vdib.datasets.drawn_splits import drawn
from vdib.datasets.events import Recording
from vdib.datasets.preparation import Preparation
from vdib.datasets.recording_set import NO_IMAGE, RecordingSet, Shown, Split, file_identity
from vdib.datasets.recording_splits import RecordingSplits, step_us
from vdib.datasets.tonic_classes import as_recording, names_of, targets_of, tonic_class, tonic_part
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.signal import Label

_PARTS = ("train", "test", "valid")
"""In whose order ids are given: those of a part begin at 2^32 times its place."""


class TonicRecordings(RecordingSet):
    """Some examples of a data set of tonic's.

    Args:
        data: the data set, whose examples are structured events and targets.
        targets: of all its examples.
        name: what it is called.
        at: positions of the examples.
        classes: names of the labels, in order.
        size: (width, height) of the sensor.
        bins: neighbouring units of a sensor of one row that count as one.
        first_id: of the example at position 0.
        options: that the data set was made with.

    Raises:
        ValueError: a label that is none of the classes (one line).
    """

    images = NO_IMAGE

    def __init__(
        self,
        data: Any,
        targets: Sequence[Any],
        name: str,
        at: Sequence[int],
        classes: Sequence[str],
        size: tuple[int, int],
        bins: int = 1,
        first_id: int = 0,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.data, self.name, self.at, self.size, self.bins = data, name, list(at), size, bins
        number = {word: i for i, word in enumerate(classes)}
        self.options = dict(options)
        self.shown = []
        for i in self.at:
            label = number.get(targets[i], -1) if isinstance(targets[i], str) else int(targets[i])
            if not 0 <= label < len(classes):
                raise ValueError(f"{name}: example {i} is {targets[i]!r}, none of the classes")
            self.shown.append(Shown(label, 0, first_id + i))

    def recording(self, index: int) -> Recording:
        return as_recording(self.data[self.at[index]][0], self.size, self.name, self.bins)

    def identity(self) -> Any:
        folder = Path(self.data.location_on_system)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        settings = [self.name, self.at, self.bins, repr(sorted(self.options.items()))]
        return [settings, [file_identity(path) for path in files]]


class TonicSplits(RecordingSplits):
    """A data set of tonic's by its name, with labels: needs `pip install vdib[tonic]`.

    Args:
        name: as tonic calls it: SHD, SSC, NMNIST, DVSGesture, CIFAR10DVS and others.
        root: folder of tonic's data sets (default: `$VDIB_DATA/tonic`, then the cache).
        download: let tonic fetch what is missing.
        options: more arguments of tonic's class, `{single_digits: true}`.
        validation: share of the training part, where there is no validation part.
        test: share of all, where there is no test part.
        split_seed: of what is drawn for validation, and for test.
        sensor_size: width and height, or units and 1 (default: as tonic says).
        class_names: names of the labels, in order (default: as tonic says).
        crop: left, top, width and height in pixels.
        downsample: pixels a side, or units, that share an input neuron.
        polarity: `two` channels, or one `merged` (default: as many as the sensor has).
        num_steps, step_ms: T and ms a step, from a recording's first event on.
    """

    def __init__(
        self,
        name: str = "SHD",
        root: str | None = None,
        download: bool = False,
        options: Mapping[str, Any] | None = None,
        validation: float = 0.1,
        test: float = 0.1,
        split_seed: int = 0,
        sensor_size: tuple[int, int] | None = None,
        class_names: Sequence[str] | None = None,
        crop: tuple[int, int, int, int] | None = None,
        downsample: int = 1,
        polarity: Literal["two", "merged"] | None = None,
        num_steps: int = 100,
        step_ms: float = 10.0,
    ) -> None:
        if not (0 < validation < 1 and 0 < test < 1):
            raise ValueError(
                f"validation and test: got {validation} and {test}, expected shares in (0, 1)"
            )
        self.name, self.download, self.options = name, download, dict(options or {})
        self.shares, self.split_seed = (validation, test), split_seed
        folders = [Path(root).expanduser()] if root is not None else default_folders("tonic")
        own = [folder for folder in folders if (folder / name).is_dir()]
        self.root = Path(os.path.abspath((own or folders[-1:])[0]))
        self._kind: Any = None
        self._parts: dict[str, tuple[Any, list[Any]]] = {}
        if sensor_size is None or class_names is None or polarity is None:
            data, targets = self._part("train")
            class_names = class_names or names_of(data, targets, name)
            said = getattr(data, "sensor_size", None)
            if sensor_size is None and said is None:
                raise ValueError(
                    f"{name}: tonic says no size of its sensor: --data.sensor_size [W,H]"
                )
            if sensor_size is None:
                assert said is not None
                sensor_size = int(said[0]), int(said[1])
            one = said is not None and said[2:] == (1,)
            polarity = polarity or ("merged" if one else "two")
        # Said in the run's config.yaml: the run is of use where neither tonic nor the files are.
        self.found = {
            "sensor_size": tuple(sensor_size),
            "class_names": list(class_names),
            "polarity": polarity,
        }
        self.classes = tuple(class_names)
        self.signal = Label(len(self.classes), self.classes)
        width, height = self.size = (sensor_size[0], sensor_size[1])
        self.bins = downsample if height == 1 else 1  # a row has no second side to divide
        if downsample < 1 or width % self.bins:
            raise ValueError(f"downsample: got {downsample}, expected a divisor of {width} units")
        binning = SpikeBinning(
            dt=step_us(num_steps, step_ms),
            num_steps=num_steps,
            polarity=polarity,
            crop=crop,
            downsample=downsample // self.bins,
        )
        self.prepare = Preparation((), binning, (width // self.bins, height))

    def _class(self) -> Any:
        """tonic's, found when it is needed."""
        if self._kind is None:
            self._kind = tonic_class(self.name)
        return self._kind

    def _part(self, part: str) -> tuple[Any, list[Any]]:
        """What tonic calls so, and the targets of all its examples."""
        if part not in self._parts:
            data = tonic_part(self._class(), part, self.root, self.download, self.options)
            self._parts[part] = data, targets_of(data)
        return self._parts[part]

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        taken = inspect.signature(self._class()).parameters
        validation, test = self.shares
        if "split" in taken:  # three parts
            part = {"train": "train", "validation": "valid", "test": "test"}[split]
            whole = True
        else:
            whole = split == "test" and "train" in taken
            part = "test" if whole else "train"
            test = 0.0 if "train" in taken else test
        data, targets = self._part(part)
        at: Sequence[int] = range(len(data))
        if not whole:
            at = drawn(len(data), split, validation, test, self.split_seed)
        first = _PARTS.index(part) << 32
        name = f"{self.name} {split}"
        some = TonicRecordings(
            data, targets, name, at, self.classes, self.size, self.bins, first, self.options
        )
        return [some]
