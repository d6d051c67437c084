"""What a run of predictive coding draws: one sequence, and what its spikes came to mean.

Legend: T steps, N_x inputs, N_y readout neurons, L steps of a filter, tau_d of the window.
"""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vdib.decoder import WindowDecoder
from vdib.figures import prediction as plot_prediction
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.predictive_coding.signals import ActiveInputs
from vdib.model import VDIB
from vdib.neurons.layer import commuting
from vdib.neurons.stepping import LONGEST
from vdib.noise import Noise


def draw(
    vdib: VDIB, signal: ActiveInputs, one: SpikeBatch, noise: Noise, scored: Tensor, lag: int
) -> dict[str, Figure]:
    """The figures of one sequence, by name.

    Args:
        vdib: the model.
        signal: what it predicts.
        one: a batch of one sequence.
        noise: of its code.
        scored: `(T,)`, the steps that count.
        lag: of the prediction.
    """
    code = vdib.encode(one.spikes, noise)
    assert isinstance(one.spikes, Tensor)
    activity = signal.activity(vdib.decode(code))
    then = signal.active(one.target)
    x, y, p, r = (part[0].cpu() for part in (one.spikes, code.spikes, activity, then))
    figures = {"prediction": plot_prediction.prediction(x, y, p, r, scored, lag)}
    readout, decoder = vdib.encoder.readout, vdib.decoder
    if vdib.encoder.layers or not isinstance(decoder, WindowDecoder):
        return figures
    (layer,) = commuting([readout], "the figure of what spikes mean")
    expansion = layer.expansion(LONGEST)
    if expansion is not None:  # the readout listens to the input itself
        figures["meaning"] = plot_prediction.meaning(
            expansion.response.permute(2, 0, 1).cpu(), spike_meanings(decoder, signal).cpu()
        )
    return figures


def spike_meanings(decoder: WindowDecoder, signal: ActiveInputs) -> Tensor:
    """What a lone spike, l steps ago, says for each input, `(N_y, N_x, tau_d)`, in nats."""
    length, size = decoder.window.length, decoder.num_neurons
    lone = torch.eye(length * size).to(decoder.head.bias).view(-1, 1, length, size)
    said = decoder.outputs(lone) - decoder.outputs(torch.zeros_like(lone))
    by_input = signal.by_neuron(said[:, 0]).view(length, size, -1)
    return by_input.flip(0).permute(1, 2, 0)  # from the oldest first to steps ago
