"""A folder of anyone's own spike trains, with labels, images or real vectors as targets.

What the files hold is in `vdib.datasets.spike_train_files`, those of NWB in `vdib.datasets.nwb`.
"""

import os
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.drawn_splits import drawn
from vdib.datasets.events import Origin, Recording
from vdib.datasets.find_recordings import passed_over
from vdib.datasets.preparation import Preparation
from vdib.datasets.recording_set import NO_IMAGE, RecordingSet, Shown, Split
from vdib.datasets.recording_splits import RecordingSplits
from vdib.datasets.spike_train import Target, Train, common
from vdib.datasets.spike_train_files import trains_below
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.signal import Curve, Image, Label, Signal

MOST_UNITS = 32_767


class SpikeTrains(RecordingSet):
    """Spike trains as recordings of a sensor of one row, a unit a pixel.

    Args:
        trains: in order.
        ids: of them.
        target: what they are to become.
        classes: names of the labels, in order.
        num_units: N.
        name: what they are called.
    """

    def __init__(
        self,
        trains: Sequence[Train],
        ids: Sequence[int],
        target: Target,
        classes: Sequence[str],
        num_units: int,
        name: str,
    ) -> None:
        self.trains, self.num_units, self.name = trains, num_units, name
        self.images: NDArray[Any] = NO_IMAGE
        labels, rows = [0] * len(trains), [0] * len(trains)
        if target == "label":
            number = {word: i for i, word in enumerate(classes)}
            for train in trains:
                if train.target not in number:
                    expected = ", ".join(classes)
                    raise ValueError(
                        f"{train.where}: label {train.target!r}, expected one of {expected}"
                    )
            labels = [number[str(train.target)] for train in trains]
        else:
            self.images = np.stack([np.asarray(train.target) for train in trains])
            rows = list(range(len(trains)))
        self.shown = [Shown(*one) for one in zip(labels, rows, ids, strict=True)]

    def recording(self, index: int) -> Recording:
        return as_recording(self.trains[index], self.num_units)

    def identity(self) -> Any:
        content = sha256()
        for train in self.trains:
            content.update(train.time.tobytes() + b"|" + train.unit.tobytes() + b"\n")
        return [self.num_units, [len(train.time) for train in self.trains], content.hexdigest()]


def as_recording(train: Train, num_units: int) -> Recording:
    """A spike train as a recording of a sensor of one row, a unit a pixel.

    Raises:
        ValueError: a unit that the sensor has no pixel for.
    """
    beyond = train.unit >= num_units
    if beyond.any():
        raise ValueError(
            f"{train.where}: unit {train.unit[beyond][0]}, expected 0 to {num_units - 1}: "
            "--data.num_units of the run"
        )
    x, origin = train.unit.astype(np.int16), Origin(train.where, "spike trains")
    on = np.ones(len(x), np.bool_)
    return Recording(x, np.zeros_like(x), train.time, on, (num_units, 1), origin)


class SpikeTrainSplits(RecordingSplits):
    """A folder of your own spike trains: see `vdib.datasets.spike_train_files` for its files.

    Args:
        path: the folder, or one file. Folders `train`, `val` (or `validation`) and `test` in it are
            the splits; without them, splits are drawn.
        target: what spikes are to become: a `label`, an `image`, or a `curve`, real values at the
            end.
        trial_column: of NWB's table of trials, which holds the target (default: as the target).
        validation, test: shares that are drawn.
        split_seed: of the draw.
        time_scale: us per unit of time; 1e6 where times are in seconds.
        num_units: N (default: as many as there are in the files).
        class_names: names of the labels, in order (default: as in the files).
        image_shape: height and width of the images (default: as in the files).
        curve_size: D, values of a vector (default: as in the files).
        judged: whether images are digits, which the judge knows.
        num_steps: T; what lasts longer is cut (default: as long as the longest).
        step_ms: ms a step; dense spikes have steps of their own.
    """

    def __init__(
        self,
        path: str,
        target: Literal["label", "image", "curve"] = "label",
        trial_column: str | None = None,
        validation: float = 0.1,
        test: float = 0.1,
        split_seed: int = 0,
        time_scale: float = 1e6,
        num_units: int | None = None,
        class_names: Sequence[str] | None = None,
        image_shape: tuple[int, int] | None = None,
        curve_size: int | None = None,
        judged: bool = False,
        num_steps: int | None = None,
        step_ms: float = 10.0,
    ) -> None:
        if not (0 < validation < 1 and 0 < test < 1):
            raise ValueError(
                f"validation and test: got {validation} and {test}, expected shares in (0, 1)"
            )
        if target not in ("label", "image", "curve"):
            raise ValueError(f"target: got {target!r}, expected label, image or curve")
        if not step_ms * 1000 >= 1 or not 0 < time_scale < float("inf"):
            raise ValueError(
                "step_ms and time_scale: expected 0.001 or more and a number above 0, "
                f"got {step_ms} and {time_scale}"
            )
        self.path = Path(os.path.abspath(os.path.expanduser(path)))
        self.target: Target = target
        self.column, self.scale, self.dt = trial_column or target, time_scale, round(step_ms * 1000)
        self.shares, self.split_seed = (validation, test), split_seed
        self._read: list[Train] | None = None
        said = {"label": class_names, "image": image_shape, "curve": curve_size}[target]
        if num_units is None or num_steps is None or said is None:
            trains = self._trains()
            if num_units is None:
                num_units = common(trains)
            if num_steps is None:
                num_steps = max(2, -(-max(t.duration for t in trains) // self.dt))
            if target == "label" and class_names is None:
                class_names = in_order({str(train.target) for train in trains})
            elif said is None:
                shape = np.shape(trains[0].target)
                image_shape, curve_size = (shape[0], shape[1]), shape[1]
        if num_steps < 2 or not 1 <= num_units <= MOST_UNITS:
            raise ValueError(
                f"num_steps and num_units: got {num_steps} and {num_units}, expected 2 or more "
                f"and 1 to {MOST_UNITS}"
            )
        self.num_units, self.classes = num_units, tuple(class_names or ())
        # Said in the run's config.yaml, so that the run is of use where the folder is not.
        self.found = {"num_units": num_units, "num_steps": num_steps}
        if target == "label":
            self.found |= {"class_names": list(self.classes)}
            self.signal: Signal = Label(len(self.classes), self.classes)
        elif target == "image":
            assert image_shape is not None
            self.found |= {"image_shape": image_shape}
            self.signal = Image(tuple(image_shape), judged)
        else:
            assert curve_size is not None
            self.found |= {"curve_size": curve_size}
            self.signal = Curve(curve_size)
        binning = SpikeBinning(dt=self.dt, num_steps=num_steps, start=0, polarity="merged")
        self.prepare = Preparation((), binning, (num_units, 1))

    def _trains(self) -> list[Train]:
        if self._read is None:
            self._read = trains_below(self.path, self.target, self.column, self.scale, self.dt)
        return self._read

    def untold(self, path: Path) -> list[Recording]:
        """The examples in a file, read as those of the folder, whether it holds targets or not.

        Raises:
            ValueError: a file that is none, or holds no examples (one line, which names it).
        """
        trains = trains_below(path, None, self.column, self.scale, self.dt)
        if not trains:
            raise ValueError(f"{path}: no examples")
        return [as_recording(train, self.num_units) for train in trains]

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        trains = self._trains()
        if any(train.split for train in trains):
            at = [i for i, train in enumerate(trains) if train.split == split]
            strays = sorted({train.path for train in trains if not train.split})
            if strays and split == "train":
                words = passed_over(strays, "not in train, validation, test")
                print(f"vdib: {words}", file=sys.stderr)
            if not at:
                raise FileNotFoundError(f"no {split} spike trains below {self.path / split}")
        else:
            at = drawn(len(trains), split, *self.shares, self.split_seed)
        some = [trains[i] for i in at]
        name = f"{self.path.name} {split}"
        return [SpikeTrains(some, at, self.target, self.classes, self.num_units, name)]


def in_order(names: set[str]) -> list[str]:
    """Names of classes: by size where all are whole numbers, else by the alphabet.

    >>> in_order({"10", "2", "0"}), in_order({"dog", "cat"})
    (['0', '2', '10'], ['cat', 'dog'])
    """
    if all(name.isdecimal() for name in names):
        return sorted(names, key=int)
    return sorted(names)
