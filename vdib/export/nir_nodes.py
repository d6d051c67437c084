"""Nodes and edges of a NIR graph while it is made, and its numbers in double precision."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Sources = tuple[str, ...]
"""Nodes whose sum something is given."""


def array(x: Tensor | Array | float, shape: tuple[int, ...] | None = None) -> Array:
    """In double precision, as often as `shape` asks."""
    values = x.detach().cpu().double().numpy() if isinstance(x, Tensor) else np.asarray(x, float)
    return np.array(values if shape is None else np.broadcast_to(values, shape))


class Graph:
    """Nodes and edges as they are added.

    Attributes:
        dt: seconds.
    """

    def __init__(self, dt: float) -> None:
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.dt = dt

    def add(self, name: str, node: Any, sources: Sources) -> Sources:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return (name,)

    def connect(self, sources: Sources, name: str) -> None:
        self.edges += [(source, name) for source in sources]

    def integrator(
        self, name: str, decay: Array, sources: Sources, gain: Array | float = 1.0
    ) -> Sources:
        """`v[t] = decay v[t-1] + gain I[t]`."""
        import nir  # type: ignore[import-untyped, import-not-found, unused-ignore]

        tau = self.dt / (1 - decay)
        r = tau / self.dt * gain
        return self.add(name, nir.LI(tau=tau, r=r, v_leak=np.zeros_like(tau)), sources)

    def delay(self, name: str, steps: Array, sources: Sources) -> Sources:
        import nir  # type: ignore[import-untyped, import-not-found, unused-ignore]

        return self.add(name, nir.Delay(delay=steps * self.dt), sources)


def describe(graph: Any) -> str:
    """How many nodes of which kind, in words."""
    kinds: dict[str, int] = {}
    for node in graph.nodes.values():
        kinds[type(node).__name__] = kinds.get(type(node).__name__, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def tensor(x: Any) -> Tensor:
    """In double precision."""
    return torch.from_numpy(np.array(x, dtype=np.float64))
