"""Recordings of event cameras as spikes, for Lightning: one data module for every event data set.

Legend: B batch, T steps, C H W channels, rows and columns of input neurons.
"""

import inspect
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdib.datasets.formats.read_options import ReadOptions, options_as_settings
from vdib.datasets.recording_set import Split
from vdib.datasets.recording_splits import RecordingSplits
from vdib.datasets.spike_set import SpikeExamples, SpikeSet
from vdib.datasets.transforms.moved import drawn_move, moved
from vdib.datasets.transforms.partial import drawn_begin, drawn_looks, late
from vdib.files import cache_folder
from vdib.lightning_modules.choices import EVENT_SETS
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.noise import EVALUATION, Noise
from vdib.signal import Image, Label


class EventData(DataModule[SpikeExamples]):
    """Recordings binned once, kept on disk, handed over as lists of spikes.

    Args:
        splits: which recordings there are, and how they become spikes.
        batch_size: B, in training.
        cache: keep binned spikes in the user's cache folder.
        workers: threads that bin.
        shift: pixels, lowest and highest, by which training shifts each recording, at random in
            both directions and anew every time it is shown.
        turn: degrees, at most 45, by which training turns each recording one way or the other,
            likewise.
        looks: S, at how many steps training decodes each recording, drawn anew every time it is
            shown (`drawn_looks`), so that a run is good at any time; 0 for once, after all steps.
        starts: steps, at most, by which training begins half of the recordings late, drawn
            likewise.
        seed: of the order of the examples, and of what is drawn.

    Attributes:
        prepare: from a recording to spikes.
        found: settings left open that the files decided.
    """

    def __init__(
        self,
        splits: RecordingSplits,
        batch_size: int = 32,
        cache: bool = True,
        workers: int = 2,
        shift: tuple[int, int] = (0, 0),
        turn: float = 0.0,
        looks: int = 0,
        starts: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        if workers < 1:
            raise ValueError(f"workers: got {workers}, expected at least 1")
        if shift[0] > shift[1]:
            raise ValueError(f"shift: got {shift}, expected the lowest first")
        if not 0 <= turn <= 45:
            raise ValueError(f"turn: got {turn}, expected 0 to 45 degrees")
        self.shift, self.turn, self.looks, self.starts = shift, turn, looks, starts
        self.recording_splits = splits
        self.prepare, self.signal, self.found = splits.prepare, splits.signal, splits.found
        steps, size = self.prepare.binning.num_steps, self.prepare.sensor_size
        if steps is None or size is None:
            name = type(splits).__name__
            raise ValueError(f"{name}: its prepare needs a num_steps and a sensor_size")
        if not (0 <= looks <= steps and 0 <= starts < steps):
            raise ValueError(
                f"looks and starts: got {looks} and {starts}, expected 0 to the {steps} steps, "
                "and starts below them"
            )
        if starts and not looks:
            raise ValueError("starts: recordings that begin late also end early; set looks")
        self.num_steps, self.track = steps, splits.track
        shape = self.prepare.shape(size)
        self.input_shape = shape if self.track is None else self.track.shape(shape)  # C, H, W
        self.cache = cache_folder() / "spikes" if cache else None
        self.workers = workers

    def prepare_data(self) -> None:
        """Finds or makes the recordings, and bins them, before anything else is done."""
        for split in ("train", "validation", "test"):
            self.split(split)

    def open_split(self, split: Split) -> SpikeSet:
        with options_as_settings():
            sets = self.recording_splits.recordings(split)
            parts = {
                recordings: SpikeSet.of(recordings, self.prepare, self.cache, self.workers)
                for recordings in dict.fromkeys(sets)  # once each, however often it is shown
            }
        return SpikeSet.cat([parts[recordings] for recordings in sets])

    def targets(self, split: Split) -> Tensor:
        some: SpikeSet = self.split(split)  # type: ignore[assignment]
        if isinstance(self.signal, Label):
            return torch.from_numpy(some.label)
        return some.targets(some.image).flatten(1)

    def constant(self) -> Tensor:
        if not isinstance(self.signal, Image):
            return super().constant()
        train: SpikeSet = self.split("train")  # type: ignore[assignment]
        # Of each image once, times how often it is shown: there may be few for many recordings.
        weight = np.bincount(train.image, minlength=len(train.images)) / len(train)
        mean = torch.from_numpy(np.tensordot(weight, train.images / 255, 1)).float()
        return self.signal.constant(mean.flatten()[None])

    def code(self, batch: SpikeExamples, step: int) -> SpikeBatch:
        spikes, image, label, id = batch
        noise, looks, training = Noise(self.seed, step, id), None, step != EVALUATION
        if training and self.looks:
            begin = drawn_begin(noise, self.starts)
            spikes = late(spikes, begin)
            looks = drawn_looks(noise, self.looks, self.num_steps - begin)
        if self.track is not None:
            spikes = self.track(spikes)
        if training and (self.turn or self.shift != (0, 0)):
            spikes = moved(spikes, *drawn_move(noise, self.turn, self.shift))
        target = label if isinstance(self.signal, Label) else image.flatten(1)
        return SpikeBatch(spikes, target, label, id, looks)


def _settings(kind: Any) -> list[inspect.Parameter]:
    """What a class is set up with; `**read` stands for the options of reading files."""
    out: list[inspect.Parameter] = []
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            out += _settings(ReadOptions)
        else:
            out.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    return out


def _data_module(name: str, splits: type[RecordingSplits]) -> type[EventData]:
    """The data module of an event data set: its settings are the data set's and the loader's."""
    own, shared = _settings(splits), _settings(EventData)[1:]
    names = [parameter.name for parameter in own]

    def __init__(self: EventData, **settings: Any) -> None:
        given = {name: settings.pop(name) for name in names if name in settings}
        try:
            made = splits(**given)
        except ImportError as error:  # which the parser would take for a class that is not there
            raise ValueError(str(error)) from error
        EventData.__init__(self, made, **settings)

    # The command line reads settings off the signature, and what they do off the docstring.
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    setattr(__init__, "__signature__", inspect.Signature([me, *own, *shared]))  # noqa: B010
    words = [inspect.getdoc(kind) or "" for kind in (splits, ReadOptions, EventData)]
    lines = [part for text in words for part in _described(text)]
    doc = "\n".join([words[0].split("\n\n", 1)[0], "", "Args:", *lines])
    return type(name, (EventData,), {"__init__": __init__, "__doc__": doc, "__module__": __name__})


def _described(doc: str) -> list[str]:
    """What a docstring says of each setting; of several in one entry, of each the same."""
    section = doc.split("Args:\n" if "Args:\n" in doc else "Attributes:\n", 1)[1]
    entries = re.split(r"\n(?=    \w)", section.split("\n\n", 1)[0].rstrip())
    each = (entry.strip().split(":", 1) for entry in entries)
    return [f"    {name}:{words}" for names, words in each for name in names.split(", ")]


EVENT_DATA = {name: _data_module(name, choice.part) for name, choice in EVENT_SETS.items()}
globals().update(EVENT_DATA)  # where the command line and pickles look for classes
