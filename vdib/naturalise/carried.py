"""Looks at a stream that carries its state on: the cost of an event does not depend on them.

A run that was trained to be good at any time, and whose steps depend on the past alone, is not
encoded anew at each look: its events run through once, and a look decodes what has come.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.recording import Recording
from vdib.datasets.transforms.running import Running
from vdib.naturalise.event_feed import EventFeed
from vdib.naturalise.looks import Look, Looks
from vdib.naturalise.naturaliser import Naturaliser


def looks_of(
    model: Naturaliser, path: Path, read: Mapping[str, Any], every: Mapping[str, int], bar: Any
) -> Looks:
    """Looks at a recording: by a stream where the run allows, else each time anew."""
    kind = CarriedLooks if model.carries else Looks
    return kind(model, path, read, every, bar)


TOGETHER = 64
"""Looks that are decoded together: their windows take 5 MB."""


class CarriedLooks(Looks):
    """Looks at the same times as `Looks`, by a stream."""

    @property
    def together(self) -> int:
        return TOGETHER

    def images(self, batch: list[Look]) -> NDArray[np.floating]:
        decoded = self._feed.stream.decode(np.stack([look.seen for look in batch]))
        shape = self.model.module.signal.shape
        images: NDArray[np.floating] = decoded.mean.view(-1, *shape).numpy()
        return images

    def decisions(self, batch: list[Look]) -> list[tuple[str, float, float]]:
        decoded: Any = self._feed.stream.decode(np.stack([look.seen for look in batch]))
        sure, label = decoded.probs.max(1)
        names = [self.model.module.signal.name(each) for each in label.tolist()]
        ms = [self.model.prepare.past_us / 1000] * len(batch)  # all of what is looked at
        return list(zip(names, sure.tolist(), ms, strict=True))

    def _each(self) -> Iterator[Look]:
        self._feed = EventFeed(self.model)
        new: list[Recording] = []  # since the last look
        since, past = None, self.model.prepare.past_us
        for part, end in Running(past, **self.every).cuts(self._pieces()):
            self._feed.feed(part)
            new.append(part)
            if end is not None:
                since = self.first if since is None else since
                assert since is not None
                yield Look(since, end, self._feed.look(end), new)
                new, since = [], end
