"""A trained model on a live input: one step in, one prediction out, in constant time and memory.

    stream = model.stream(seed=0)
    prediction = stream.push(x_t)

equals `model(x, ...)` over the whole sequence, step by step and spike by spike, to rounding.

Legend: N_x inputs, N_y readout neurons, L steps of the window, O outputs of the decoder.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vdib.decoder import Decoder, LogisticDecoder, WindowDecoder
from vdib.encoder import SpikeCode, SpikingEncoder
from vdib.handmade import HandmadeDecoder, Memory, Reading, Scores
from vdib.neurons.layer import commuting
from vdib.neurons.stepping import Array, Driven, Stepped, stepped
from vdib.noise import EVALUATION, Noise
from vdib.signal import Label, Signal

NOISE_STEPS = 1024
"""Steps whose noise is drawn at once."""


@dataclass(frozen=True)
class Prediction:
    """What is decoded at one step.

    Attributes:
        outputs: of the decoder, `(O,)`; of one made by hand the `log_prob` of every label.
        signal: what is decoded.
        reading: of a decoder made by hand.
    """

    outputs: Tensor
    signal: Signal
    reading: Reading | None = None

    @property
    def distribution(self) -> Distribution:
        """Over r, with batch shape `()`."""
        if self.reading is not None:
            return Scores(self.outputs)
        return self.signal.likelihood(self.outputs)

    @property
    def label(self) -> int | None:
        """What it is taken for, as if the sequence ended now; None where r is no label."""
        if self.reading is not None:
            return int(self.reading.label[0])
        return int(self.outputs.argmax()) if isinstance(self.signal, Label) else None

    @property
    def decided(self) -> int:
        """After how many steps the label was settled for good; 0 while it may change."""
        return 0 if self.reading is None else int(self.reading.decided[0])


class Stream:
    """One live input under the weights the model has now; later training does not reach it.

    Runs on the CPU, whatever the model's device.

    Args:
        encoder: with a stochastic readout or another.
        decoder: of a window of recent spikes, or made by hand.
        seed: of the readout's noise.
        id: of the stream: the noise is that of `Noise(seed, EVALUATION, [id])`.

    Attributes:
        time: steps so far.
        spikes: the readout's spikes of the last step, `(N_y,)`.

    Raises:
        ValueError: another kind of decoder.
    """

    @torch.no_grad()
    def __init__(self, encoder: SpikingEncoder, decoder: Decoder, seed: int, id: int = 0) -> None:
        if not isinstance(decoder, WindowDecoder | HandmadeDecoder):
            name = type(decoder).__name__
            raise ValueError(
                f"streams are decoded from a window of recent spikes or by hand, not by {name}"
            )
        encoder = copy.deepcopy(encoder).cpu().eval()
        self._decoder = copy.deepcopy(decoder).cpu().eval()
        self._linear = _linear(self._decoder)
        self._noise = Noise(seed, EVALUATION, torch.tensor([id]))
        self._block: Array = np.empty((0, encoder.num_readout), np.float32)
        self.time = 0
        self.input_shape = encoder.input_shape
        self._layers: list[Stepped] = [
            stepped(layer) for layer in (*encoder.layers, encoder.readout)
        ]
        if not decoder.SAMPLES:
            (readout,) = commuting([encoder.readout], f"a stream of {type(decoder).__name__}")
            self._layers[-1] = Driven(readout)
        self._draws = encoder.readout.stochastic
        like = next(encoder.parameters()).new_zeros(1)
        self._memory: Memory = ()
        length = 1
        if isinstance(self._decoder, HandmadeDecoder):
            self._memory = self._decoder.memory(like)
        else:
            length = self._decoder.window.length
        self._recent = like.new_zeros(length, encoder.num_readout)
        self._dtype = self._recent.numpy().dtype

    @property
    def spikes(self) -> Tensor:
        return self._recent[-1].clone()

    @torch.no_grad()
    def push(self, x: Tensor | Array) -> Prediction:
        """The next step's spikes, of `input_shape`, to what is decoded now.

        Raises:
            ValueError: spikes of another shape.
        """
        now: Array = np.asarray(x, self._dtype)
        if now.shape != self.input_shape:
            raise ValueError(f"spikes: got shape {now.shape}, expected {self.input_shape}")
        at = self.time % NOISE_STEPS
        if at == 0 or not len(self._block):
            layer, start = len(self._layers) - 1, self.time - at
            shape = self._block.shape[1:]
            self._block = self._noise.uniform(layer, NOISE_STEPS, shape, start)[0].numpy()
        for layer_ in self._layers[:-1]:
            now = layer_.push(now, None)
        recent: Array = self._recent.numpy()  # a view
        recent[:-1] = recent[1:]
        recent[-1] = self._layers[-1].push(now, self._block[at] if self._draws else None)
        self.time += 1
        if isinstance(self._decoder, HandmadeDecoder):
            return self._by_hand(self._decoder)
        if self._linear is None:
            outputs = self._decoder.outputs(self._recent[None, None])[0, 0]
        else:
            weight, bias = self._linear
            outputs = torch.from_numpy(np.dot(weight, recent.ravel()) + bias)
        return Prediction(outputs, self._decoder.signal)

    def _by_hand(self, decoder: HandmadeDecoder) -> Prediction:
        readout = self._layers[-1]
        v, drive = (
            None if part is None else torch.from_numpy(part)[None]
            for part in (readout.v, getattr(readout, "drive", None))
        )
        code = SpikeCode(self._recent[-1:].clone(), v, (), self._draws, drive)
        reading, self._memory = decoder.step(code, self._memory)
        return Prediction(reading.scores[0], decoder.signal, reading)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that `load_state_dict` needs to go on as if nothing had happened."""
        parts = {
            f"layer_{i}_{j}": part
            for i, layer in enumerate(self._layers)
            for j, part in enumerate(layer.memory())
        }
        address = torch.tensor([self._noise.seed, int(self._noise.ids[0]), self.time])
        read = {f"decoder_{i}": part for i, part in enumerate(self._memory)}
        whole = {"address": address, "recent": self._recent, **parts, **read}
        return {name: part.clone() for name, part in whole.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on where another stream of the same model was, noise included.

        Raises:
            ValueError: the state is of another model.
        """
        own = self.state_dict()
        fits = own.keys() == state.keys()
        if not fits or any(own[name].shape != state[name].shape for name in own):
            raise ValueError("the state is that of a stream of another model")
        seed, id, self.time = (int(value) for value in state["address"])
        self._noise = Noise(seed, EVALUATION, torch.tensor([id]))
        self._block = self._block[:0]
        self._recent = state["recent"].to(self._recent).clone()
        self._memory = tuple(
            state[f"decoder_{i}"].to(part).clone() for i, part in enumerate(self._memory)
        )
        for i, layer in enumerate(self._layers):
            memory = [
                state[f"layer_{i}_{j}"].to(part).clone() for j, part in enumerate(layer.memory())
            ]
            layer.remember(memory if self.time else None)


def _linear(decoder: Decoder) -> tuple[Array, Array] | None:
    """The weights `(O, L N_y)` and bias `(O)` that a logistic decoder comes to, window included."""
    if type(decoder) is not LogisticDecoder:  # what extends it need not be linear
        return None
    bias = decoder.head.bias
    size = decoder.window.length * decoder.num_neurons
    one_spike = torch.eye(size).to(bias).view(size, 1, decoder.window.length, -1)
    weight = decoder.outputs(one_spike)[:, 0].T - bias[:, None]
    return weight.contiguous().numpy(), bias.numpy()
