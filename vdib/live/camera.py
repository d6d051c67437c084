"""An event camera on USB, by the package `neuromorphic-drivers` (an extra).

Chosen over `faery`, which reaches cameras through the same package and passes over what it says of
lost packets. It drives Prophesee's EVK3 HD and EVK4, iniVation's DAVIS346 and DVXplorer, and more.
No camera was there to try this with: it was tested with a device that behaves as the package says.
"""

from typing import Any

import numpy as np

from vdib.live.aestream import Events
from vdib.live.queue import EventQueue
from vdib.live.source import Source, now

_PATIENCE = 0.1  # s, after which a silent device is asked again
_AGAIN = 1.0  # s, after which a device that went is looked for


class CameraSource(Source):
    """The first camera that is found; unplugged, it is looked for again.

    Args:
        drivers: the package; it is imported by default.

    Raises:
        ImportError: it is not installed.
    """

    name = "camera"

    def __init__(self, drivers: Any = None) -> None:
        super().__init__()
        if drivers is None:
            try:
                import neuromorphic_drivers as drivers  # type: ignore[no-redef, import-untyped, import-not-found, unused-ignore]
            except ImportError as error:
                raise ImportError(
                    'camera: needs neuromorphic-drivers: pip install "vdib[camera]"'
                ) from error
        self._drivers = drivers
        self.lost = 0

    @property
    def lost_words(self) -> str:
        return "times that the camera's packets overflowed"

    def run(self, queue: EventQueue) -> None:
        while not self.stopped.is_set():
            try:
                with self._drivers.open(iterator_timeout=_PATIENCE) as device:
                    self.name = f"camera {getattr(device.name(), 'value', device.name())}"
                    self._follow(device, queue)
            except (RuntimeError, OSError):  # none there, or no longer
                self.breaks += 1
                self.stopped.wait(_AGAIN)

    def _follow(self, device: Any, queue: EventQueue) -> None:
        for _, packet in device:
            if self.stopped.is_set():
                return
            events = None if packet is None else packet.polarity_events
            if events is None:
                continue
            overflows = packet.polarity_events_overflow_indices
            assert self.lost is not None
            self.lost += 0 if overflows is None else len(overflows)
            x, y = (events[name].astype(np.int16) for name in ("x", "y"))
            queue.put(Events(x, y, events["on"] > 0, events["t"].astype(np.int64), now()))
