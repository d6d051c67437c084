"""Synapses as nodes of a NIR graph: weights, batch norm in them, a filter that ends as its lags.

Legend: K filters, L steps of a response, N neurons, N_in inputs.
"""

from typing import Any

import numpy as np

from vdib.dynamics.filters import ExponentialPair, RaisedCosines
from vdib.export.nir_nodes import Array, Graph, Sources, array
from vdib.neurons.learned import LearnedPair
from vdib.neurons.normalised import NormalisedSynapses
from vdib.neurons.synapses import Dense, PooledConv2d, SumPool2d


def currents(graph: Graph, synapses: Any, filter: Any, name: str, below: Sources) -> Sources:
    """Currents, `(*N)`: those of a filter that ends of every lag, already weighted."""
    if isinstance(filter, ExponentialPair | LearnedPair):
        return linear_map(graph, synapses, name, below)
    if not isinstance(filter, RaisedCosines):
        raise ValueError(f"NIR cannot say {name}: {type(filter).__name__} kernels")
    responses = array(filter.impulse_response(filter.duration))  # K, L
    found: Sources = ()
    for lag, response in enumerate(responses.T):
        if response.any():
            late = below
            if lag:
                steps = lag * np.ones(synapses.input_shape)
                late = graph.delay(f"{name}_ago_{lag}", steps, below)
            found += linear_map(graph, synapses, f"{name}_{lag}", late, None, response)
    return found


def linear_map(
    graph: Graph,
    synapses: Any,
    name: str,
    below: Sources,
    bias: Array | None = None,
    response: Array | None = None,
) -> Sources:
    """A linear map, and a bias current of each channel.

    Args:
        graph: it is added to.
        synapses: what makes the currents.
        name: what nodes are called after.
        below: what they are given.
        bias: `(N)`, or a channel's.
        response: what each of K filters lets through, `(K)`; K is 1 by default.
    """
    import nir  # type: ignore[import-untyped, import-not-found, unused-ignore]

    mix = np.ones(1) if response is None else response
    scale: Array | None = None
    if isinstance(synapses, NormalisedSynapses):
        scale, current = (array(x) for x in synapses.folded())
        added = mix @ current.reshape(len(mix), -1)
        bias = added if bias is None else bias + added
        synapses = synapses.synapses
    if isinstance(synapses, SumPool2d):
        raise ValueError(f"NIR cannot say {name}: fixed sums of a neuron's own weight")
    if not isinstance(synapses, Dense | PooledConv2d):
        raise ValueError(f"NIR cannot say {name}: {type(synapses).__name__}")
    weight = array(synapses.weight if isinstance(synapses, Dense) else synapses.pooled_weight())
    if scale is not None:
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    weight = np.tensordot(mix, weight.reshape(len(mix), -1, *weight.shape[1:]), 1)
    if isinstance(synapses, Dense):
        given = flat(graph, f"{name}_flat", synapses.input_shape, below)
        affine = nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
        return graph.add(f"{name}_weights", affine, given)
    place = synapses.pool, synapses.padding, 1, 1
    silent = np.zeros(len(weight)) if bias is None else bias
    conv = nir.Conv2d(tuple(synapses.input_shape[1:]), weight, *place, silent)
    return graph.add(f"{name}_weights", conv, below)


def flat(graph: Graph, name: str, shape: tuple[int, ...], below: Sources) -> Sources:
    import nir  # type: ignore[import-untyped, import-not-found, unused-ignore]

    if len(shape) == 1:
        return below
    node = nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
    return graph.add(name, node, below)
