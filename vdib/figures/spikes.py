"""Spikes of a sample: tensors in, `matplotlib.figure.Figure` out.

Shapes: `T` time steps, `N` neurons.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vdib.figures.style import INK, LAYERS, Array, same_length, tidy, to_numpy


def raster(
    input_spikes: Array,
    readout_spikes: Array,
    hidden_spikes: Array | None = None,
    step_ms: float | None = None,
) -> Figure:
    """Spikes of one sample, (T, N) in {0, 1} per layer: neuron against time.

    The layers share the time axis: in steps, or in ms where `step_ms` (ms per step) is given.
    """
    given = {"input": input_spikes, "hidden": hidden_spikes, "readout": readout_spikes}
    layers = {name: to_numpy(spikes, "T N") for name, spikes in given.items() if spikes is not None}
    same_length(**layers)

    figure = Figure(figsize=(7, 1.9 * len(layers) + 0.3), layout="constrained")
    panels = figure.subplots(len(layers), 1, sharex=True)
    step = 1.0 if step_ms is None else step_ms
    for axes, (name, spikes) in zip(panels, layers.items(), strict=True):
        (length, population), (steps, neurons) = spikes.shape, np.nonzero(spikes > 0.5)
        # In points: a neuron's share of the axes' height, where that can be seen at all.
        tick = min(max(110 / max(population, 1), 1.8), 9)
        style = {"marker": "|", "linewidths": 1.2, "rasterized": True}
        axes.scatter(steps * step, neurons, tick**2, LAYERS[name], **style)
        axes.set_xlim(-0.5 * step, (length - 0.5) * step)
        axes.set_ylim(-0.5 - 0.02 * population, population - 0.5 + 0.02 * population)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        tidy(axes, "", "neuron", f"{name}: {population:,} neurons, {len(steps):,} spikes")
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panels[-1].set_xlabel("time (steps)" if step_ms is None else "time (ms)", color=INK)
    figure.align_ylabels()
    return figure
