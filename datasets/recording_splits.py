"""An event data set by its settings: which recordings each split holds, and how they become spikes.

A new event data set is one file with a class of these; its settings become those of its Lightning
data module (`vdib.lightning_modules.naturalisation.event_data`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from vdib.datasets.preparation import Preparation
from vdib.datasets.recording_set import RecordingSet, Split
from vdib.datasets.transforms.track import Track
from vdib.signal import Image, Signal

Recordings = Literal["simulated", "real", "both"]
"""What to train on; `both` validates and tests on the real ones."""


class RecordingSplits(ABC):
    """What an event data set says of itself; its constructor takes all settings by name.

    Attributes:
        prepare: from a recording to spikes.
        signal: what recordings become: digits by default.
        found: settings left open that the files decided.
        track: follows what moves, step by step, after recordings have become spikes.
    """

    prepare: Preparation
    signal: Signal = Image((28, 28), digits=True)
    found: Mapping[str, Any] = MappingProxyType({})
    track: Track | None = None

    @abstractmethod
    def recordings(self, split: Split) -> Sequence[RecordingSet]:
        """The sets of recordings that make up a split; one may come several times."""


def step_us(num_steps: int, step_ms: float) -> int:
    """Whole us a step.

    Raises:
        ValueError: fewer than two steps, or steps below 1 us.
    """
    if num_steps < 2 or not step_ms * 1000 >= 1:
        raise ValueError(
            f"data needs num_steps >= 2 and step_ms >= 0.001, got {num_steps} and {step_ms}"
        )
    return round(step_ms * 1000)
