"""A training step of a spiking LSTM layer, beside its matrix products alone.

    python benchmarks/lstm.py [--steps 28] [--batch 100] [--units 200] [--inputs 28] [--rounds 15]

Forward and backward pass of the layer in float32 on one core, without optimiser and decoder. The
products alone: of all inputs with the input weights, of h with the recurrent weights step by step,
and those of the backward pass. Fused, plain and products take turns; printed are medians of CPU
time, and of the turns' ratios to the products, with quartiles.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from vdib.backends import dispatch
from vdib.neurons.layer import Neuron
from vdib.neurons.lstm import LSTM, lstm
from vdib.neurons.spiking_lstm import spiking_lstm
from vdib.neurons.synapses import dense

Step = Callable[[], object]


def layer_step(layer: LSTM, x: Tensor, upstream: Tensor) -> Step:
    """Forward and backward through a layer, for all its weights."""
    parameters = list(layer.parameters())
    return lambda: torch.autograd.grad(layer(x)[0], parameters, upstream)


def products(layer: LSTM, x: Tensor, upstream: Tensor) -> Step:
    """The same without all that is elementwise."""
    with torch.no_grad():
        h = layer(x)[0]
        grad = torch.randn(*h.shape[:2], 4 * h.shape[2])
    weight = layer.synapses.by_input.detach()  # type: ignore[attr-defined]
    recurrent = layer.recurrent.by_input.detach()
    rows, h_rows, grad_rows = (value.flatten(0, 1) for value in (x, h, grad))

    def step() -> None:
        rows @ weight
        for t in range(1, h.shape[1]):
            h[:, t - 1] @ recurrent
        for t in range(1, h.shape[1]):
            grad[:, t] @ recurrent.T
        h_rows.T @ grad_rows
        rows.T @ grad_rows

    return step


def plainly(step: Step) -> Step:
    def run() -> object:
        with dispatch.plain():
            return step()

    return run


def cpu_time(step: Step) -> float:
    """Milliseconds."""
    before = time.process_time()
    step()
    return 1e3 * (time.process_time() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("steps", 28), ("batch", 100), ("units", 200), ("inputs", 28), ("rounds", 15)
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = (torch.rand(args.batch, args.steps, args.inputs) < 0.15).float()
    upstream = torch.randn(args.batch, args.steps, args.units)
    steps: dict[str, Step] = {}
    neurons: dict[str, Neuron] = {"spiking LSTM": spiking_lstm, "ordinary LSTM": lstm}
    for name, neuron in neurons.items():
        layer = neuron(*dense((args.inputs,), args.units), None)
        assert isinstance(layer, LSTM)
        layer.calibrate(x)
        step = layer_step(layer, x, upstream)
        if name == "spiking LSTM":
            steps["products"] = products(layer, x, upstream)
            steps[f"{name}, plain"] = plainly(step)
        steps[name] = step
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds + 1):
        for name, step in steps.items():
            taken[name].append(cpu_time(step))
    print(f"T={args.steps}, B={args.batch}, {args.inputs} inputs, {args.units} units")
    for name, times in taken.items():
        ratios = [a / b for a, b in zip(times[1:], taken["products"][1:], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        median = statistics.median(times[1:])
        print(f"{name:<20} {median:7.1f} ms   {middle:.2f} [{low:.2f}, {high:.2f}] products")


if __name__ == "__main__":
    main()
