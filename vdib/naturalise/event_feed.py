"""From events to the steps of a stream, and to what it sees at any time.

Legend: E events, L steps of the decoder's window, N_y readout neurons.
"""

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.recording import Recording
from vdib.datasets.transforms.track import Tracked
from vdib.naturalise.naturaliser import Naturaliser

Ints = NDArray[np.int64]


class EventFeed:
    """A live input of events through a model's stream.

        step k holds the events with  start + k dt <= t < start + (k + 1) dt

    from the first event on. After a silence as long as the model looks back, both the stream and
    what follows a moving object begin anew: steps without an event are not worked through for ever.

    Args:
        model: that `carries`.

    Attributes:
        stream: of the model.
        last: time of the latest event, us; None before the first.
    """

    def __init__(self, model: Naturaliser) -> None:
        size = model.prepare.sensor_size
        assert size is not None
        assert model.prepare.binning.dt is not None
        assert model.prepare.binning.num_steps is not None
        self.stream = model.module.vdib.event_stream(model.module.seed)
        self.binning, self.track = model.prepare.binning, model.track
        self.dt, self.steps = model.prepare.binning.dt, model.prepare.binning.num_steps
        self.shape = model.prepare.shape(size)
        self._stamp = np.full(np.prod(self.shape), -1)  # the last step that a neuron fired in
        self._slot = np.zeros(np.prod(self.shape), np.int64)
        self.begin()

    def begin(self) -> None:
        """Forget everything, times included."""
        self.start: int | None = None
        self.last: int | None = None
        self._anew(0)

    def _anew(self, step: int) -> None:
        """From a step on, as if nothing had been."""
        self.step = step
        self.stream.reset()
        self._stamp[:] = -1
        self._tracked: Tracked | None = None
        if self.track is not None:
            self._tracked = self.track.begin(self.shape[1:])
        self._fired: list[Ints] = []

    def feed(self, events: Recording) -> None:
        """The next events, in order of time and not before those of the last call."""
        if not len(events):
            return
        if self.start is None:
            self.start = int(events.t[0])
        self.last = int(events.t[-1])
        kept, neuron = self.binning.neurons(events)
        # Of several events at one time, the last may come after a look behind that time.
        step = np.maximum((events.t[kept] - self.start) // self.dt, self.step)
        ends = np.append(np.flatnonzero(np.diff(step)) + 1, len(step))
        first = 0
        for end in ends.tolist() if len(step) else ():
            self._advance(int(step[first]))
            self._fire(neuron[first:end])
            first = end

    def look(self, end: int) -> NDArray[np.float32]:
        """The readout's last L steps at a time (us) not before the last event's, `(L, N_y)`."""
        assert self.start is not None
        step, under_way = divmod(end - self.start, self.dt)
        self._advance(step)
        seen: NDArray[np.float32] = self.stream.glance() if under_way else self.stream.recent
        return seen

    def _advance(self, step: int) -> None:
        """End all steps before this one."""
        if step - self.step > self.steps:
            self._anew(step)
        while self.step < step:
            if self._tracked is not None and self.track is not None:
                fired = np.concatenate([*self._fired, np.empty(0, np.int64)])
                own = np.zeros(len(fired), np.int64), *self._place(fired)
                self._tracked = self.track.after(*own, self._tracked)
                self._fired = []
            self.stream.end_step()
            self.step += 1

    def _place(self, neuron: Ints) -> tuple[Ints, Ints]:
        return neuron % self.shape[2], neuron // self.shape[2] % self.shape[1]

    def _fire(self, neuron: Ints) -> None:
        """Events of the step under way: the first of a neuron makes it spike."""
        fresh = neuron[self._stamp[neuron] != self.step]
        count = np.arange(len(fresh))
        self._slot[fresh] = count
        fresh = fresh[self._slot[fresh] == count]  # of several at once, one
        self._stamp[fresh] = self.step
        if self.track is not None:
            assert self._tracked is not None
            self._fired.append(fresh)
            own = np.zeros(len(fresh), np.int64), *self._place(fresh)
            inside, x, y = self.track.place(*own, self._tracked)
            width, height = self.track.size
            channel = fresh[inside] // (self.shape[1] * self.shape[2])
            fresh = (channel * height + y) * width + x
        self.stream.feel(fresh)
