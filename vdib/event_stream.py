"""A trained encoder on a live input of events, decoded only when it is asked.

    stream = model.event_stream(seed=0)
    stream.feel(neurons)                    those that fired, as they come, each once a step
    stream.end_step()
    images = stream.decode(np.stack([stream.recent]))

Step by step and spike by spike it is `model.stream(seed)` and the whole sequence, but what it costs
grows with the events, and not with how often somebody looks. `glance` looks between two steps, as
if the one under way were over, and changes nothing.

Legend: N_y readout neurons, L steps of the window, S looks.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributions import Distribution

from vdib.decoder import Decoder, WindowDecoder
from vdib.encoder import SpikingEncoder
from vdib.neurons.event_stepping import Doubles, Fired, by_events
from vdib.noise import EVALUATION, Noise
from vdib.precision import single

NOISE_STEPS = 256
"""Steps whose noise is drawn at once."""


class EventStream:
    """One live input of events under the weights the model has now; runs on the CPU.

    Args:
        encoder: whose layers spike.
        decoder: of a window of recent spikes.
        seed, id: of the readout's noise, that of `Noise(seed, EVALUATION, [id])`.

    Attributes:
        time: steps that are over.
        input_shape: of one step's spikes; neurons are counted through it.

    Raises:
        ValueError: a decoder without a window, a layer of real numbers.
    """

    @torch.no_grad()
    def __init__(self, encoder: SpikingEncoder, decoder: Decoder, seed: int, id: int = 0) -> None:
        if not isinstance(decoder, WindowDecoder):
            name = type(decoder).__name__
            raise ValueError(f"streams of events are decoded from a window, not by {name}")
        encoder = copy.deepcopy(encoder).cpu().eval()
        self._decoder = copy.deepcopy(decoder).cpu().eval()
        self._layers = [by_events(layer) for layer in (*encoder.layers, encoder.readout)]
        self._noise = Noise(seed, EVALUATION, torch.tensor([id]))
        self._shape = encoder.readout.shape
        self._dtype = next(encoder.parameters()).dtype
        self.input_shape = encoder.input_shape
        self.reset()

    def reset(self) -> None:
        """Begin anew, noise included."""
        for layer in self._layers:
            layer.reset()
        self.time = 0
        length = self._decoder.window.length
        # Twice as long as the window, which moves through it: most steps copy nothing.
        self._spikes = np.zeros((2 * length, *self._shape), np.float32)
        self._end = length
        self._block: Doubles = np.empty((0, *self._shape))

    def feel(self, fired: Fired) -> None:
        """Neurons that have fired in this step; each once a step."""
        self._layers[0].feel(fired)

    def end_step(self) -> None:
        """The step under way is over."""
        fired = self._layers[0].fire(self._drawn())
        for layer in self._layers[1:]:
            layer.feel(fired)
            fired = layer.fire(self._drawn())
        length = len(self._spikes) // 2
        if self._end == len(self._spikes):
            self._spikes[:length] = self._spikes[length:]
            self._end = length
        self._spikes[self._end] = 0
        self._spikes[self._end][fired] = 1
        self._end += 1
        self.time += 1

    def _drawn(self) -> Doubles:
        """Uniform numbers of the step under way, `(N_y,)`."""
        at = self.time % NOISE_STEPS
        if at == 0 or not len(self._block):
            layer, start = len(self._layers) - 1, self.time - at
            drawn = self._noise.uniform(layer, NOISE_STEPS, self._shape, start)
            self._block = drawn[0].double().numpy()
        now: Doubles = self._block[at]
        return now

    @property
    def recent(self) -> NDArray[np.float32]:
        """The readout's last L steps, `(L, N_y)`, a copy."""
        length = len(self._spikes) // 2
        return self._spikes[self._end - length : self._end].copy()

    def glance(self) -> NDArray[np.float32]:
        """The same, if the step under way ended now."""
        fired: Fired = np.empty(0, np.int64)
        for layer in self._layers:
            fired = layer.peek(fired, self._drawn())
        length = len(self._spikes) // 2
        seen = np.zeros((length, *self._shape), np.float32)
        seen[:-1] = self._spikes[self._end - length + 1 : self._end]
        seen[-1][fired] = 1
        return seen

    @torch.no_grad()
    def decode(self, recent: NDArray[np.float32]) -> Distribution:
        """What S windows of spikes `(S, L, N_y)` mean, a distribution with batch shape `(S,)`."""
        windows = torch.from_numpy(recent).to(self._dtype)[None]
        return self._decoder.signal.likelihood(single(self._decoder.outputs(windows))[0])
