"""When following the spikes is faster than the dense product: what the constants rest on.

    python benchmarks/break_even.py                   # of vdib/backends/event_*.py
    OMP_WAIT_POLICY=passive python benchmarks/break_even.py --threads 2 --turns 15

Forward pass and weight gradient. Each cell is the time of the event-driven product over that of the
dense one, medians of CPU time (on two threads wall time) of both in turns: for spikes that come as
lists, of which the dense product first makes a dense tensor, and for spikes that come dense, which
must be counted and listed first.
"""

import vdib  # noqa: F401  # isort: skip  # before torch, so that its waiting threads do not spin

import argparse
import math
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

from networks import mixed
from timing import Step, in_turns

from vdib.backends import event_conv
from vdib.backends import event_linear as events
from vdib.backends.settings import changed
from vdib.neurons.synapses import Dense, PooledConv2d
from vdib.sparse import SparseSpikes, Spikes

DENSITIES = 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2
PRODUCTS = [
    (1920, 784, 600),
    (1920, 600, 256),
    (6400, 1352, 800),
    (6400, 800, 256),
    (1000, 800, 2048),
]
"""Rows, inputs, outputs."""

CONVOLUTIONS = [(1600, (2, 34, 34), 12), (400, (2, 64, 64), 8), (1600, (12, 17, 17), 32)]
"""Rows, input, channels of the output: 5 x 5, pooled by 2."""


def forced(events_always: bool) -> ExitStack:
    """Everything inside takes one of the two ways, whatever the density."""
    most, large = (1.0, 0.0) if events_always else (-1.0, math.inf)
    stack = ExitStack()
    stack.enter_context(changed(list_from=large))
    for module in (events, event_conv):
        for limits in (module.DENSE, module.LISTED):
            stack.enter_context(patch.dict(limits, dict.fromkeys(limits, most)))
    return stack


def step(synapses: nn.Module, x: Spikes, bf16: bool, events_always: bool) -> Step:
    with forced(events_always), mixed(bf16), torch.no_grad():
        upstream = torch.randn_like(synapses(x))

    def run() -> None:
        with forced(events_always), mixed(bf16):
            torch.autograd.grad(synapses(x), list(synapses.parameters()), upstream)

    return run


def ratios(synapses: nn.Module, spikes: Tensor, bf16: bool, turns: int, clock: str) -> list[str]:
    """For lists and for dense spikes."""
    inputs: list[Spikes] = [SparseSpikes.of(spikes[None]), spikes.bfloat16() if bf16 else spikes]
    cells = []
    for x in inputs:
        both = {str(always): partial(step, synapses, x, bf16, always) for always in (True, False)}
        found = in_turns(both, turns)
        cells.append(f"{found['True'][clock] / found['False'][clock]:.2f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = "cpu_ms" if args.threads == 1 else "wall_ms"
    maps: list[tuple[str, tuple[int, ...], nn.Module]] = [
        (f"{inputs} to {outputs}", (rows, inputs), Dense((inputs,), outputs))
        for rows, inputs, outputs in PRODUCTS
    ]
    for rows, shape, outputs in CONVOLUTIONS:
        label = f"{'x'.join(map(str, shape))} to {outputs} channels"
        maps.append((label, (rows, *shape), PooledConv2d(shape, outputs, 5, 2)))
    generator = torch.Generator().manual_seed(0)
    for bf16 in (False, True):
        print(f"\n{'bfloat16' if bf16 else 'float32'}: lists / dense spikes\n")
        print("| | rows | " + " | ".join(f"{density:.0%}" for density in DENSITIES) + " |")
        print("| --- " * (len(DENSITIES) + 2) + "|")
        for label, size, synapses in maps:
            print(f"| {label} | {size[0]} |", end="", flush=True)
            for density in DENSITIES:
                spikes = (torch.rand(size, generator=generator) < density).float()
                cells = ratios(synapses, spikes, bf16, args.turns, clock)
                print(f" {' / '.join(cells)} |", end="", flush=True)
            print()


if __name__ == "__main__":
    main()
