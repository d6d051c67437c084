"""A NIR graph as a layer of ours: every node by forward Euler at dt.

    LI         v[t] = v[t-1] + dt / tau (v_leak - v[t-1] + r I[t])
    LIF        the same; spikes where v > v_threshold, and there v is v_reset from then on
    CubaLIF    i[t] = i[t-1] + dt / tau_syn (w_in I[t] - i[t-1]), then an LIF of i[t]
    Threshold  1[v > threshold]
    Delay      x[t - d], d = delay / dt, rounded

An input acts in its own step. Every cycle has to hold a Delay of a step or more.

Legend: B batch, T steps, N_in inputs, N outputs (any number of axes).
"""

import errno
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from vdib.export.nir_nodes import tensor
from vdib.sparse import SparseSpikes, Spikes

State = tuple[Tensor, ...]
"""Of every node that remembers something; `(B, ...)` each."""
Known = dict[str, Tensor]


class NIRLayer(nn.Module):
    """A layer, deterministic, in double precision.

    Args:
        graph: with one input and one output.
        dt: seconds of a step; what the graph's metadata say by default.

    Raises:
        ValueError: a node of no known kind, a cycle without a delay, several inputs or outputs, or
            no dt.
    """

    stochastic = False

    def __init__(self, graph: Any, dt: float | None = None) -> None:
        super().__init__()
        self.nodes: dict[str, Any] = dict(graph.nodes)
        ends = [
            [name for name, node in self.nodes.items() if type(node).__name__ == kind]
            for kind in ("Input", "Output")
        ]
        if [len(names) for names in ends] != [1, 1]:
            raise ValueError(
                f"NIR: got {len(ends[0])} inputs and {len(ends[1])} outputs, expected one each"
            )
        ((self.source,), (self.sink,)) = ends
        if dt is None and "dt" not in (graph.metadata or {}):
            raise ValueError("NIR: the graph says no dt: give one")
        self.dt = float(graph.metadata["dt"] if dt is None else dt)
        for name, node in self.nodes.items():
            if type(node).__name__ not in KINDS:
                raise ValueError(f"NIR: {name} is a {type(node).__name__}, which nothing here runs")
        self.input_shape = _shape(self.nodes[self.source].input_type["input"])
        self.shape = _shape(self.nodes[self.sink].output_type["output"])
        self.below: dict[str, list[str]] = {name: [] for name in self.nodes}
        for before, after in graph.edges:
            self.below[after].append(before)
        self.late = {
            name: (tensor(node.delay) / self.dt).round().long()
            for name, node in self.nodes.items()
            if type(node).__name__ == "Delay"
        }
        breaks = {name for name, steps in self.late.items() if int(steps.min()) >= 1}
        order = {name: [] if name in breaks else self.below[name] for name in self.nodes}
        try:
            self.order = list(TopologicalSorter(order).static_order())
        except CycleError as error:
            cycle = " -> ".join(error.args[1])
            raise ValueError(f"NIR: a cycle without a delay: {cycle}") from error
        # What a node remembers, by its name and a letter.
        self.kept = [
            f"{name}.{part}"
            for name, node in self.nodes.items()
            for part in REMEMBERED.get(type(node).__name__, "")
        ]
        self.places: dict[tuple[str, str], int] = {}
        self.numbers = nn.ParameterList()
        for name, node in self.nodes.items():
            for part in NUMBERS:
                if getattr(node, part, None) is not None:
                    self.places[name, part] = len(self.numbers)
                    number = tensor(getattr(node, part))
                    self.numbers.append(nn.Parameter(number, requires_grad=False))

    def forward(self, x: Spikes, *how: Any) -> tuple[Tensor, None]:
        """Spikes of whole sequences, `(B, T, *N_in)` to `(B, T, *N)`; it has no v."""
        dense = x.dense() if isinstance(x, SparseSpikes) else x
        state: State | None = None
        out = []
        for now in dense.unbind(1):
            spikes, _, state = self.step(now, state)
            out.append(spikes)
        return torch.stack(out, 1), None

    def step(self, x: Tensor, state: State | None, *how: Any) -> tuple[Tensor, None, State]:
        """One step of `forward`."""
        before: Known = dict(zip(self.kept, state or (), strict=False))
        after: Known = {}
        values = {self.source: x.double()}
        for name in self.order:
            if name in self.late:
                values[name] = self._delayed(name, values, before, len(x))
            elif name != self.source:
                values[name] = self._value(name, self._given(name, values), before, after)
        for name, steps in self.late.items():  # once all is known that goes into them
            past = self._past(name, before, len(x))
            known = torch.cat([self._given(name, values)[:, None], past], 1)
            after[f"{name}.x"] = known[:, : int(steps.max())]
        return values[self.sink], None, tuple(after[name] for name in self.kept)

    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Nothing: its weights are what the file says."""

    def _given(self, name: str, values: Known) -> Tensor:
        parts = [values[source] for source in self.below[name]]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def _past(self, name: str, before: Known, rows: int) -> Tensor:
        """The last inputs of a delay, the latest first, `(B, D, *N)`."""
        if f"{name}.x" in before:
            return before[f"{name}.x"]
        steps = self.late[name]
        return torch.zeros(rows, int(steps.max()), *steps.shape, dtype=torch.float64)

    def _delayed(self, name: str, values: Known, before: Known, rows: int) -> Tensor:
        steps, past = self.late[name], self._past(name, before, rows)
        if int(steps.min()) >= 1:  # what goes in now may not be known yet
            known = torch.cat([torch.zeros_like(past[:, :1]), past], 1)
        else:
            known = torch.cat([self._given(name, values)[:, None], past], 1)
        return known.gather(1, steps[None, None].expand(rows, 1, *steps.shape))[:, 0]

    def _value(self, name: str, x: Tensor, before: Known, after: Known) -> Tensor:
        node, kind = self.nodes[name], type(self.nodes[name]).__name__

        def number(part: str) -> Tensor:
            found: Tensor = self.numbers[self.places[name, part]]
            return found

        if kind == "Linear":
            return x @ number("weight").T
        if kind == "Affine":
            return x @ number("weight").T + number("bias")
        if kind == "Conv2d":
            place = _pair(node.stride), _pair(node.padding), _pair(node.dilation), int(node.groups)
            return conv2d(x, number("weight"), number("bias"), *place)
        if kind == "Scale":
            return x * number("scale")
        if kind == "Flatten":
            return x.flatten(1)
        if kind == "Threshold":
            return (x > number("threshold")).double()
        if kind == "Output":
            return x
        if kind == "CubaLIF":
            x = self._leak(f"{name}.i", number("w_in") * x, number("tau_syn"), before, after)
        tau = number("tau_mem" if kind == "CubaLIF" else "tau")
        v = self._leak(f"{name}.v", number("v_leak") + number("r") * x, tau, before, after)
        if kind == "LI":
            return v
        spikes = (v > number("v_threshold")).double()
        after[f"{name}.v"] = torch.where(spikes > 0, number("v_reset"), v)
        return spikes

    def _leak(self, name: str, drive: Tensor, tau: Tensor, before: Known, after: Known) -> Tensor:
        """`y[t] = (1 - dt / tau) y[t-1] + dt / tau drive[t]`."""
        share = self.dt / tau
        past = before.get(name, torch.zeros_like(drive))
        after[name] = (1 - share) * past + share * drive
        return after[name]


KINDS = (
    *("Input", "Output", "Linear", "Affine", "Conv2d", "Scale", "Flatten"),
    *("LI", "LIF", "CubaLIF", "Threshold", "Delay"),
)
"""Nodes that are known."""
REMEMBERED = {"LI": "v", "LIF": "v", "CubaLIF": "iv", "Delay": "x"}
NUMBERS = (
    *("weight", "bias", "scale", "threshold", "tau", "r", "v_leak", "v_threshold", "v_reset"),
    *("tau_syn", "tau_mem", "w_in"),
)


def read(path: Path | IO[bytes], dt: float | None = None) -> NIRLayer:
    """The graph in a file, as a layer.

    Args:
        path: a .nir file, ours or of another tool; or its bytes.
        dt: seconds of a step, where the file does not say.

    Raises:
        ValueError: it is damaged, or no such file can be run here (one line).
    """
    import nir  # type: ignore[import-untyped, import-not-found, unused-ignore]

    if isinstance(path, Path) and not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    try:
        graph = nir.read(path)
    except Exception as error:  # whatever the bytes of a wrong file happen to mean
        raise ValueError(f"{path} is damaged, or no NIR") from error
    return NIRLayer(graph, dt)


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in x)


def _pair(x: Any) -> tuple[int, int]:
    first, second = x
    return int(first), int(second)
