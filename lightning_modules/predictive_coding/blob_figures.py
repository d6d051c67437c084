"""What a run of predictive coding draws: one sequence, and what its spikes came to mean.

Legend: T steps, N_x inputs, N_y readout neurons, L steps of a filter, tau_d of the window.
"""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vdib.datasets.drifting_blobs import spikes
from vdib.decoder import Decoder
from vdib.figures import prediction as plot_prediction
from vdib.lightning_modules.predictive_coding.blob_targets import BlobTarget
from vdib.lightning_modules.vdib_module import SpikeBatch
from vdib.model import VDIB
from vdib.neurons.srm import SRM
from vdib.noise import Noise


def draw(
    vdib: VDIB, target: BlobTarget, one: SpikeBatch, noise: Noise, scored: Tensor, lag: int
) -> dict[str, Figure]:
    """The figures of one sequence, by name.

    Args:
        vdib: the model.
        target: what it predicts.
        one: a batch of one sequence.
        noise: of its code.
        scored: `(T,)`, the steps that count.
        lag: of the prediction.
    """
    code = vdib.encode(one.spikes, noise)
    assert isinstance(one.spikes, Tensor)
    activity = target.activity(vdib.decode(code.spikes))
    then = spikes(one.target, one.spikes.shape[2])
    x, y, p, r = (part[0].cpu() for part in (one.spikes, code.spikes, activity, then))
    figures = {"prediction": plot_prediction.prediction(x, y, p, r, scored, lag)}
    if not vdib.encoder.layers:  # the readout listens to the input itself
        figures["meaning"] = plot_prediction.meaning(
            input_filters(vdib.encoder.readout, one.spikes.shape[1]).cpu(),
            spike_meanings(vdib.decoder, target).cpu(),
        )
    return figures


def input_filters(layer: SRM, num_steps: int) -> Tensor:
    """What an input spike adds to each neuron of a dense layer later on, in threshold widths.

    Returns:
        `(N_y, N_x, L)`, L at most `num_steps`.
    """
    (weight,) = layer.synapses.parameters()
    kernel = layer.filter.kernel(num_steps).to(weight)
    by_kernel = weight.view(len(kernel), layer.shape[0], -1)
    return torch.einsum("knj,kl->njl", by_kernel, kernel) / layer.width


def spike_meanings(decoder: Decoder, target: BlobTarget) -> Tensor:
    """What a lone spike, l steps ago, says for each input, `(N_y, N_x, tau_d)`, in nats."""
    length, size = decoder.window.length, decoder.num_neurons
    lone = torch.eye(length * size).to(decoder.head.bias).view(-1, 1, length, size)
    said = decoder.outputs(lone) - decoder.outputs(torch.zeros_like(lone))
    by_input = target.by_neuron(said[:, 0]).view(length, size, -1)
    return by_input.flip(0).permute(1, 2, 0)  # from the oldest first to steps ago
