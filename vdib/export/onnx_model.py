"""A decoder, and one step of an encoder, as ONNX.

    decoder.onnx         spikes (B, L, N) of the window  ->  outputs (B, O)
    encoder_step.onnx    x (1, *N_in), noise (1, N), state_0, ...  ->
                         spikes (1, N), v (1, N), hidden_1, hidden_v_1, ..., next_state_0, ...

Outputs are those of the decoder before its likelihood: of an image the logits of its pixels. A step
takes what it remembers and gives what it remembers next; all zeros is the beginning. Noise is
uniform in (0, 1), of a sampled readout only: a neuron fires where `noise < sigmoid(v)`.

Legend: B batch, L steps of the window, N readout neurons, O outputs.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vdib.backends import dispatch
from vdib.decoder import WindowDecoder
from vdib.dynamics.firing import Bernoulli
from vdib.encoder import SpikingEncoder
from vdib.files import replacing
from vdib.neurons.layer import State
from vdib.neurons.stepping import like_state, tensors_of


class EncoderStep(nn.Module):
    """One step of all layers, on tensors alone.

    Args:
        encoder: a copy is taken, in evaluation.
        dtype: of its numbers.

    Attributes:
        zeros: what it remembers before the first step.
        inputs: names of what it takes.
        outputs: names of what it gives.
    """

    def __init__(self, encoder: SpikingEncoder, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.encoder = deepcopy(encoder).cpu().to(dtype).eval()
        self.dtype = dtype
        self.patterns: list[State] = []
        v_of: list[bool] = []
        with torch.no_grad():
            for layer in self._layers():
                x = torch.zeros(1, *layer.input_shape, dtype=dtype)
                given = self._given(layer, torch.full((1, *layer.shape), 0.5, dtype=dtype))
                _, v, state = layer.step(x, None, *given)
                self.patterns.append(state)
                v_of.append(v is not None)
        self.zeros = [torch.zeros_like(x) for state in self.patterns for x in tensors_of(state)]
        stochastic = self.encoder.readout.stochastic
        states = [f"state_{i}" for i in range(len(self.zeros))]
        self.inputs = ["x", *(["noise"] if stochastic else []), *states]
        self.outputs = ["spikes", *(["v"] if v_of[-1] else [])]
        for i, has_v in enumerate(v_of[:-1], 1):
            self.outputs += [f"hidden_{i}", *([f"hidden_v_{i}"] if has_v else [])]
        self.outputs += [f"next_{name}" for name in states]

    def _layers(self) -> list[Any]:
        return [*self.encoder.layers, self.encoder.readout]

    def _given(self, layer: Any, noise: Tensor) -> tuple[Any, ...]:
        return (Bernoulli(), noise) if layer.stochastic else ()

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the right shapes."""
        x = torch.zeros(1, *self.encoder.input_shape, dtype=self.dtype)
        noise = torch.full((1, self.encoder.num_readout), 0.5, dtype=self.dtype)
        return (x, *([noise] if self.encoder.readout.stochastic else []), *self.zeros)

    def forward(self, x: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """As the names say."""
        rest = list(given)
        noise = rest.pop(0) if self.encoder.readout.stochastic else x
        hidden: list[Tensor] = []
        after: list[Tensor] = []
        found: list[Tensor] = []
        for layer, pattern in zip(self._layers(), self.patterns, strict=True):
            x, v, state = layer.step(x, like_state(pattern, rest), *self._given(layer, noise))
            after += tensors_of(state)
            hidden += found
            found = [x] if v is None else [x, v]
        return (*found, *hidden, *after)


class _Outputs(nn.Module):
    """A decoder on windows of spikes."""

    def __init__(self, decoder: WindowDecoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.decoder = deepcopy(decoder).cpu().to(dtype).eval()

    def forward(self, spikes: Tensor) -> Tensor:
        return self.decoder.outputs(spikes[:, None])[:, 0]


def encoder_step(
    encoder: SpikingEncoder, said: Mapping[str, str], dtype: torch.dtype = torch.float32
) -> bytes:
    """The content of `encoder_step.onnx`.

    Args:
        encoder: to export.
        said: metadata.
        dtype: of its numbers.
    """
    step = EncoderStep(encoder, dtype).eval()
    return _exported(step, step.example(), step.inputs, step.outputs, said)


def decoder_outputs(
    decoder: WindowDecoder, said: Mapping[str, str], dtype: torch.dtype = torch.float32
) -> bytes:
    """The content of `decoder.onnx`, for any number of windows at once."""
    example = torch.zeros(2, decoder.window.length, decoder.num_neurons, dtype=dtype)
    batch = {0: torch.export.Dim("batch")}
    module = _Outputs(decoder, dtype).eval()
    return _exported(module, (example,), ["spikes"], ["outputs"], said, ({**batch},))


def _exported(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    said: Mapping[str, str],
    dynamic: Any = None,
) -> bytes:
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), dispatch.plain(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        program: Any = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic,
            verbose=False,
        )
    proto = program.model_proto
    onnx.helper.set_model_props(proto, dict(said))
    content: bytes = proto.SerializeToString()
    return content


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as file:
        file.write(content)
