"""An encoder's deterministic twin as a NIR graph, exact at one time step dt.

NIR's nodes are equations in continuous time. The graph means them by forward Euler at dt, where an
input acts in its own step: `v[t] = (1 - dt / tau) v[t-1] + dt / tau (v_leak + r I[t])`. A decay `a`
per step is `tau = dt / (1 - a)`, and `r = tau / dt` for a current to count once. So

    SRM, LIF    Linear -> LI (synapse) -> LI (membrane) -> Threshold, and from its spikes
                Delay(dt) -> LI (refractoriness) back to Threshold, which takes the sum
    readout     as many Delays and Linears as its synapses remember steps, into Threshold; from its
                spikes Delays and Scales back
    leaky, PLIF Affine -> LIF where the reset is to zero; else LI -> Threshold, and Delay -> Scale
                back to LI
    recurrent   Delay(dt) -> Linear, from a layer's spikes to its currents

Every cycle holds a Delay of dt or more, so that nothing depends on the order of evaluation. Biases
of potentials are part of thresholds; batch norm, of weights and a bias current. Delays of inputs
are Delays, and a residual sum is two edges to one node. What NIR has no node for is refused: LSTM
cells, attention, a residual product, alpha kernels that are cut, neurons of one's own.

Pedersen et al., "Neuromorphic intermediate representation: A unified instruction set for
interoperable brain-inspired computing", 2024, https://doi.org/10.1038/s41467-024-52259-9.

Legend: K filters, L steps of a response, N neurons, N_in inputs.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from vdib.dynamics.alpha import Alpha
from vdib.dynamics.feedback import CosineFeedback, ExponentialFeedback
from vdib.dynamics.filters import ExponentialPair, RaisedCosines
from vdib.encoder import SpikingEncoder
from vdib.export.nir_nodes import Graph, Sources, array
from vdib.export.nir_synapses import currents, flat, linear_map
from vdib.neurons.attended import Attended
from vdib.neurons.delayed import Delayed
from vdib.neurons.leaky import Leaky
from vdib.neurons.learned import LearnedFeedback, LearnedPair
from vdib.neurons.lstm import LSTM
from vdib.neurons.recurrent import Recurrent
from vdib.neurons.residual import JOINS, Residual
from vdib.neurons.spike_response import SRM
from vdib.neurons.synapses import Dense
from vdib.neurons.wrapped import Wrapped


def graph_of(encoder: SpikingEncoder, dt: float, metadata: Mapping[str, Any]) -> Any:
    """The graph.

    Args:
        encoder: deterministic, in evaluation; see `vdib.export.twin`.
        dt: seconds of a step.
        metadata: what the file says beside it; `dt` is added.

    Raises:
        ValueError: a part that NIR has no node for (one line, which names it).
    """
    import nir  # type: ignore[import-untyped, import-not-found, unused-ignore]

    if encoder.training or encoder.readout.stochastic:
        raise ValueError("NIR has no stochastic threshold: expected an encoder's twin")
    graph = Graph(dt)
    below = graph.add("input", nir.Input({"input": np.array(encoder.input_shape)}), ())
    for i, layer in enumerate(encoder.layers, 1):
        below = _layer(graph, layer, f"hidden_{i}", below)
    below = _layer(graph, encoder.readout, "readout", below)
    graph.add("output", nir.Output({"output": np.array(encoder.readout.shape)}), below)
    said = {**metadata, "dt": dt, "method": "forward Euler; inputs act in their own step"}
    return nir.NIRGraph(graph.nodes, graph.edges, said)


def _layer(graph: Graph, layer: Any, name: str, below: Sources) -> Sources:
    """Add a layer, and say where its spikes are."""
    if isinstance(layer, Residual):
        if layer.join is not JOINS["add"]:
            raise ValueError(f"NIR cannot say {name}: a residual connection that multiplies")
        return (*_layer(graph, layer.inner, name, below), *below)
    if isinstance(layer, Delayed):
        late = graph.delay(f"{name}_late", array(layer.delays.round()), below)
        return _layer(graph, layer.inner, name, late)
    if isinstance(layer, Attended):
        raise ValueError(f"NIR cannot say {name}: temporal attention")
    if isinstance(layer, Recurrent):
        return _srm(graph, layer.inner, name, below, layer.recurrent)
    if isinstance(layer, Wrapped):  # batch norm, which is part of the synapses
        return _layer(graph, layer.inner, name, below)
    if isinstance(layer, LSTM):
        raise ValueError(f"NIR cannot say {name}: LSTM cells")
    if type(layer) is Leaky:
        return _leaky(graph, layer, name, below)
    if isinstance(layer, SRM) and isinstance(layer.filter, Alpha):
        raise ValueError(f"NIR cannot say {name}: alpha kernels, which end")
    if type(layer) is SRM:
        return _srm(graph, layer, name, below, None)
    raise ValueError(f"NIR cannot say {name}: {type(layer).__name__} neurons")


def _srm(graph: Graph, layer: SRM, name: str, below: Sources, recurrent: Dense | None) -> Sources:
    import nir  # type: ignore[import-untyped, import-not-found, unused-ignore]

    threshold = array(layer.threshold - layer.bias, layer.shape)
    out = graph.add(f"{name}_spikes", nir.Threshold(threshold=threshold), ())
    parts = currents(graph, layer.synapses, layer.filter, name, below)
    if recurrent is not None:
        late = graph.delay(f"{name}_last", np.ones(layer.shape), out)
        given = flat(graph, f"{name}_own_flat", layer.shape, late)
        weights = array(recurrent.weight)
        if len(layer.shape) > 1 or not isinstance(layer.filter, ExponentialPair | LearnedPair):
            raise ValueError(f"NIR cannot say {name}: recurrent weights of such a layer")
        parts += graph.add(f"{name}_recurrent", nir.Linear(weight=weights), given)
    graph.connect(_filtered(graph, layer.filter, layer.shape, name, parts), f"{name}_spikes")
    _feed_back(graph, layer, name, out)
    return out


def _filtered(
    graph: Graph, filter: Any, shape: tuple[int, ...], name: str, currents: Sources
) -> Sources:
    """Potentials from currents; of a filter that ends, the currents are they already."""
    if isinstance(filter, RaisedCosines):
        return currents
    if isinstance(filter, LearnedPair):
        found = filter.constants(torch.zeros((), dtype=torch.float64))
    else:
        found = filter.membrane, filter.synapse, filter.peak
    membrane, synapse, peak = (array(x, shape) for x in found)
    if synapse.any():
        currents = graph.integrator(f"{name}_synapse", synapse, currents)
    return graph.integrator(f"{name}_membrane", membrane, currents, 1 / peak)


def _feed_back(graph: Graph, layer: SRM, name: str, out: Sources) -> None:
    """From a layer's spikes back to its threshold."""
    import nir  # type: ignore[import-untyped, import-not-found, unused-ignore]

    gain = array(layer.gain, layer.shape)
    feedback = layer.feedback
    if isinstance(feedback, ExponentialFeedback | LearnedFeedback):
        late = graph.delay(f"{name}_fed_back", np.ones(layer.shape), out)
        if isinstance(feedback, LearnedFeedback):
            decay = array(feedback.decay(layer.gain), layer.shape)
        else:
            decay = array(feedback.decay, layer.shape)
        own = graph.integrator(f"{name}_refractory", decay, late, -gain)
        graph.connect(own, f"{name}_spikes")
    elif isinstance(feedback, CosineFeedback):
        for k, nu in enumerate(feedback.impulse_response(feedback.duration).tolist()):
            if nu:
                late = graph.delay(f"{name}_after_{k + 1}", (k + 1) * np.ones(layer.shape), out)
                scale = nir.Scale(scale=gain * nu)
                graph.connect(graph.add(f"{name}_refractory_{k + 1}", scale, late), out[0])
    else:
        raise ValueError(f"NIR cannot say {name}: {type(feedback).__name__}")


def _leaky(graph: Graph, layer: Leaky, name: str, below: Sources) -> Sources:
    import nir  # type: ignore[import-untyped, import-not-found, unused-ignore]

    decay, theta, _ = (array(x, layer.shape) for x in layer.constants())
    bias = array(layer.bias, (layer.shape[0], *[1] * (len(layer.shape) - 1))).reshape(-1)
    currents = linear_map(graph, layer.synapses, name, below, bias)
    tau = graph.dt / (1 - decay)
    zeros = np.zeros_like(tau)
    if layer.reset.to_zero:
        node = nir.LIF(tau=tau, r=tau / graph.dt, v_leak=zeros, v_threshold=theta, v_reset=zeros)
        return graph.add(f"{name}_spikes", node, currents)
    potential = graph.integrator(f"{name}_membrane", decay, currents)
    out = graph.add(f"{name}_spikes", nir.Threshold(threshold=theta), potential)
    late = graph.delay(f"{name}_fed_back", np.ones(layer.shape), out)
    reset = graph.add(f"{name}_reset", nir.Scale(scale=-theta), late)
    graph.connect(reset, f"{name}_membrane")
    return out
