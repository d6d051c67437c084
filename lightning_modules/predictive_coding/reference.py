"""What could be known: a network that sees the raw input history, without a bottleneck.

One hidden layer of rectified units on the last H steps of all inputs, trained and tested on the
sequences and scored steps that spiking models get; its width is chosen on the validation split. It
bounds from above what a spiking encoder and its decoder can be asked for, up to its own training.

Legend: S scored steps of all sequences, H steps of history, D blobs, N neurons, O outputs.
"""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from vdib.datasets import drifting_blobs
from vdib.files import cache_folder, replacing
from vdib.lightning_modules.predictive_coding import signals
from vdib.lightning_modules.predictive_coding.signals import ActiveInputs

HISTORY = 14
"""H, steps: tau_e + tau_d - 1 of the reference settings, what windowed decoding can draw on."""


class HistoryMLP(nn.Module):
    """`W_2 max(0, sum_{l, d} W_1[l, bin_d[t - l]] + b_1) + b_2`.

    Args:
        num_neurons: N.
        width: hidden units.
        outputs: `(O,)`, the answer without history, from which the last bias starts.
    """

    def __init__(self, num_neurons: int, width: int, outputs: Tensor) -> None:
        super().__init__()
        self.num_neurons = num_neurons
        self.first = nn.EmbeddingBag(HISTORY * num_neurons, width, mode="sum")
        nn.init.normal_(self.first.weight, std=0.1)
        self.bias = nn.Parameter(torch.zeros(width))
        self.second = nn.Linear(width, len(outputs))
        with torch.no_grad():
            self.second.bias.copy_(outputs)

    def forward(self, history: Tensor) -> Tensor:
        """`(S, H, D)` bins to `(S, O)`."""
        lag = torch.arange(HISTORY)[:, None] * self.num_neurons
        hidden = torch.relu(self.first((history.long() + lag).flatten(1)) + self.bias)
        out: Tensor = self.second(hidden)
        return out


def histories(bins: Tensor, targets: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    """Histories `(S, H, D)` and target bins `(S, D)` of all scored steps with a full history."""
    at = scored.nonzero()[:, 0]
    at = at[at >= HISTORY - 1]
    seen = bins.unfold(1, HISTORY, 1).transpose(2, 3)  # B, T - H + 1, H, D
    return seen[:, at - (HISTORY - 1)].flatten(0, 1), targets[:, at].flatten(0, 1)


def reference_nats(
    splits: Mapping[Any, tuple[Tensor, Tensor]],
    scored: Tensor,
    signal: ActiveInputs,
    num_neurons: int,
    seed: int = 0,
    widths: Sequence[int] = (64, 256),
    batch: int = 512,
    rate: float = 5e-3,
) -> float:
    """Test loss of the best width on validation data, nats per step.

    Args:
        splits: `train`, `validation` and `test`: bins and targets, each `(B, T, D)`.
        scored: `(T,)` bool.
        signal: what is predicted.
        num_neurons: N.
        seed: of weights and order.
        widths: of the hidden layer, to choose from.
        batch: steps in a batch.
        rate: of Adam at first.
    """
    data = {name: histories(*split, scored) for name, split in splits.items()}
    generator = torch.Generator().manual_seed(seed)
    found = []
    for width in widths:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = HistoryMLP(num_neurons, width, signal.constant(signal.of(data["train"][1])))
        train(model, *data["train"], signal, generator, batch, rate)
        found.append([mean_nats(model, *data[name], signal) for name in ("validation", "test")])
    return min(found)[1]


def train(
    model: nn.Module,
    history: Tensor,
    bins: Tensor,
    signal: ActiveInputs,
    generator: torch.Generator,
    batch: int,
    rate: float,
) -> None:
    """One epoch of Adam, its rate falling to zero along a cosine."""
    optimizer = torch.optim.Adam(model.parameters(), rate, fused=True)
    batches = torch.split(torch.randperm(len(history), generator=generator), batch)
    for i, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * i / len(batches)))
        log_prob = signal.likelihood(model(history[rows])).log_prob(signal.of(bins[rows]))
        optimizer.zero_grad()
        torch.autograd.backward(-log_prob.mean())
        optimizer.step()


@torch.no_grad()
def mean_nats(model: nn.Module, history: Tensor, bins: Tensor, signal: ActiveInputs) -> float:
    def parts() -> Iterator[float]:
        for rows in torch.split(torch.arange(len(history)), 8_192):
            log_prob = signal.likelihood(model(history[rows])).log_prob(signal.of(bins[rows]))
            yield -float(log_prob.double().sum())

    return sum(parts()) / len(history)


def remembered(settings: str, compute: Callable[[], float]) -> float:
    """The reference of these settings: computed once, then kept in the user's cache.

    What is kept also depends on the code that makes the sequences and trains the network.
    """
    modules = (drifting_blobs, signals, inspect.getmodule(remembered))
    code = [inspect.getsource(module) for module in modules if module is not None]
    name = hashlib.sha256("".join([settings, *code]).encode()).hexdigest()[:24]
    path = cache_folder() / "references" / f"{name}.json"
    try:
        return float(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):  # not there, not for us, or damaged
        value = compute()
    with suppress(OSError):  # a cache that cannot be written costs time only
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(value).encode())
    return value
