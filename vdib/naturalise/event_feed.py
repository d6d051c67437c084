"""From events to the steps of a stream, and to what it sees at any time.

Legend: E events, L steps of the decoder's window, N_y readout neurons.
"""

import numpy as np
from numpy.typing import NDArray

from vdib.backends.sift import sift
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
        # Of a window that follows nothing: it lies on the sensor.
        self.window, self.reach = self.shape[1:], 0
        if self.track is not None:
            self.window, self.reach = self.track.size[::-1], self.track.reach
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
        middle = np.array([[self.shape[2] // 2, self.shape[1] // 2]])
        self._tracked = Tracked(middle, np.zeros((1, 1, 4), np.int64))
        if self.track is not None:
            self._tracked = self.track.begin(self.shape[1:])
        self._sums, self._fired = np.zeros(4, np.int64), list[Ints]()

    def feed(self, events: Recording) -> None:
        """The next events, in order of time and not before those of the last call."""
        if not len(events):
            return
        if self.start is None:
            self.start = int(events.t[0])
        self.last = int(events.t[-1])
        t, neuron = self.binning.neurons(events)
        # Of several events at one time, the last may come after a look behind that time.
        step = np.maximum((t - self.start) // self.dt, self.step)
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
            if self.track is not None:
                fired = np.concatenate([*self._fired, np.empty(0, np.int64)])
                height, width = self.shape[1:]
                own = np.zeros(len(fired), np.int64), fired % width, fired // width % height
                self._tracked = self.track.after(*own, self._tracked, self._sums[None])
                self._sums, self._fired = np.zeros(4, np.int64), []
            self.stream.end_step()
            self.step += 1

    def _fire(self, neuron: Ints) -> None:
        """Events of the step under way: the first of a neuron makes it spike."""
        height, width = self.shape[1:]
        rest = self._tracked.centre[0], self.reach, self._sums
        fired, placed = sift(neuron, self.step, self._stamp, (height, width), self.window, *rest)
        if self.track is not None:
            self._fired.append(fired)
        self.stream.feel(placed)
