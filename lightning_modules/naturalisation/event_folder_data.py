"""A folder of anyone's own recordings, for Lightning."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Literal

from vdib.datasets.event_folder import EventFolder
from vdib.datasets.formats.read_options import ReadOptions, options_as_settings
from vdib.datasets.recording_set import RecordingSet, Split
from vdib.datasets.spike_set import Preparation
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.datasets.transforms.follow import Follow
from vdib.lightning_modules.naturalisation.event_data import EventData
from vdib.signal import Image


class EventFolderData(EventData):
    """Anyone's own recordings: see `vdib.datasets.event_folder.EventFolder`.

    Args:
        root: the folder.
        image_shape: height and width of what recordings become (default: as the images are).
        judged: whether that are digits, which the judge knows (default: as the classes are called).
        crop: left, top, width and height in pixels.
        follow: width and height of a window that follows what moves, instead of a crop.
        downsample: pixels a side that share an input neuron.
        polarity: `two` channels, or one `merged`.
        exclude: patterns of files that are no recordings, such as `*_bbox.npy` or `labels/*`.
        num_steps, step_ms: T and ms a step, from a recording's first event on.
        batch_size, cache, workers, seed: see `EventData`.
        read: how files are read, the settings of `ReadOptions`. Without `sensor_size` the camera's
            is as the first recording says.
    """

    def __init__(
        self,
        root: str,
        image_shape: tuple[int, int] | None = None,
        judged: bool | None = None,
        crop: tuple[int, int, int, int] | None = None,
        follow: tuple[int, int] | None = None,
        downsample: int = 1,
        polarity: Literal["two", "merged"] = "two",
        exclude: Sequence[str] = (),
        num_steps: int = 80,
        step_ms: float = 25.0,
        batch_size: int = 32,
        cache: bool = True,
        workers: int = 2,
        seed: int = 0,
        **read: Any,
    ) -> None:
        super().__init__(num_steps, step_ms, batch_size, cache, workers, seed)
        if crop and follow:
            raise ValueError("crop and follow: expected one of the two")
        self.root = os.path.abspath(os.path.expanduser(root))
        self.options = ReadOptions(**read)
        self.exclude = tuple(exclude)
        sensor_size = self.options.sensor_size
        if sensor_size is None or image_shape is None or judged is None:
            train = EventFolder(self.root, "train", self.options, self.exclude)
            with options_as_settings():
                sensor_size = sensor_size or train.recording(0).sensor_size
            height, width = train.images.shape[1:]
            image_shape = image_shape or (height, width)
            judged = train.judged if judged is None else judged
        # Said in the run's config.yaml, so that the run is of use where the folder is not.
        self.found = {"sensor_size": sensor_size, "image_shape": image_shape, "judged": judged}
        self.signal = Image(tuple(image_shape), judged)
        self.prepare = Preparation(
            (Follow(follow),) if follow else (),
            SpikeBinning(
                dt=self.step_us,
                num_steps=num_steps,
                polarity=polarity,
                crop=crop,
                downsample=downsample,
            ),
            sensor_size,
        )

    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        found = EventFolder(self.root, split, self.options, self.exclude)
        if split == "train" and found.unused:
            print(f"vdib: {found.unused}", file=sys.stderr)
        return [found]
