"""What onnxruntime makes of exported files, beside what the model itself does.

In double precision an encoder's spikes are the same, one for one, over as many steps as are asked.
In single precision the order of sums moves v by a rounding error, and a neuron that lies as close
to its threshold may fire here and not there: such a disagreement is told with its distance from
the threshold, and the exported step then goes on from what the model remembers, so that the next
one is another.

Legend: T steps, N readout neurons, L steps of the window.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.backends import dispatch
from vdib.decoder import WindowDecoder
from vdib.encoder import SpikingEncoder
from vdib.export.onnx_model import EncoderStep

TOLERANCE = 1e-5
"""Of a decoder's outputs, and of v from the threshold where spikes may differ."""

Array = NDArray[Any]


@dataclass
class Compared:
    """Spikes of two encoders.

    Attributes:
        steps: T.
        spikes: how many the model had, in all layers.
        disagreements: of each the step, the layer, and the distance from the threshold.
    """

    steps: int
    spikes: int = 0
    disagreements: list[tuple[int, int, float]] = field(default_factory=list)

    @property
    def furthest(self) -> float:
        """The largest distance from the threshold at which spikes differed; 0 where none did."""
        return max((distance for _, _, distance in self.disagreements), default=0.0)


def session(content: bytes) -> Any:
    """What runs a file."""
    import onnxruntime  # type: ignore[import-untyped, import-not-found, unused-ignore]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def decoder_error(decoder: WindowDecoder, content: bytes, spikes: Tensor) -> float:
    """The largest difference of outputs o for windows `(B, L, N)` of spikes, over max(1, |o|)."""
    with torch.no_grad():
        expected = decoder.outputs(spikes[:, None])[:, 0].numpy()
    (found,) = session(content).run(None, {"spikes": spikes.numpy()})
    return float((np.abs(found - expected) / np.maximum(1, np.abs(expected))).max())


@torch.no_grad()
def compare(encoder: SpikingEncoder, content: bytes, x: Tensor, noise: Tensor) -> Compared:
    """One stream through both.

    Args:
        encoder: the model's.
        content: of `encoder_step.onnx`.
        x: `(T, *N_in)` spikes; their type is that of the numbers.
        noise: `(T, N)`, uniform in (0, 1).
    """
    step, run = EncoderStep(encoder, x.dtype), session(content)
    wanted = [out.name for out in run.get_outputs()]
    mine = list(step.zeros)
    theirs = [state.numpy() for state in mine]
    found = Compared(len(x))
    with dispatch.plain():
        for t in tqdm(range(len(x)), unit="step", desc="onnxruntime", disable=None):
            drawn = [noise[None, t].to(x.dtype)] if encoder.readout.stochastic else []
            outs = step(x[None, t], *drawn, *mine)
            ours = dict(zip(step.outputs, outs, strict=True))
            given = zip(step.inputs, (x[None, t], *drawn), strict=False)
            feed = {name: value.numpy() for name, value in given}
            feed |= {f"state_{i}": state for i, state in enumerate(theirs)}
            other = dict(zip(wanted, run.run(None, feed), strict=True))
            mine = [ours[f"next_state_{i}"] for i in range(len(mine))]
            theirs = [other[f"next_state_{i}"] for i in range(len(mine))]
            if _differ(found, t, ours, other, drawn):
                theirs = [state.numpy() for state in mine]
    return found


def _differ(
    found: Compared, t: int, ours: dict[str, Tensor], other: dict[str, Array], noise: list[Tensor]
) -> bool:
    """Note where spikes of a step differ: in the first layer that does, the cause of the rest."""
    hidden = sum(name.startswith("hidden_") and "_v_" not in name for name in ours)
    layers = [*((f"hidden_{i}", f"hidden_v_{i}") for i in range(1, hidden + 1)), ("spikes", "v")]
    found.spikes += sum(int(ours[name].sum()) for name, _ in layers)
    for i, (name, v) in enumerate(layers):
        wrong = ours[name].numpy() != other[name]
        if wrong.any():
            distance = np.full(wrong.shape, np.inf)
            if v in ours:
                threshold = torch.logit(noise[0].double()) if noise and name == "spikes" else 0.0
                distance = (ours[v].double() - threshold).abs().numpy()
            found.disagreements += [(t, i, float(d)) for d in distance[wrong]]
            return True
    return False
