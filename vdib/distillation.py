"""Distillation: an ordinary network, the teacher, tells the model how likely it finds each label.

    distortion = -log q(r) + weight tau^2 KL(softmax(z / tau) || softmax(s / tau))

with z the teacher's logits of the summed input, s the decoder's scores of the labels and tau the
temperature: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015,
https://arxiv.org/abs/1503.02531. Only training sees it: validation and test costs are `-log q(r)`.

Legend: B batch, M codes per input, T steps, N inputs, O labels, R recordings of a split.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from vdib.sparse import SparseSpikes, Spikes

Examples = Iterable[tuple[Spikes, Tensor]]
"""Batches of spikes `(B, T, *N)` and labels `(B,)`."""

BATCH = 32
"""Examples of an update."""


def rates(x: Spikes) -> Tensor:
    """Spikes per step of each input, `(B, T, *N)` to `(B, N)`."""
    if not isinstance(x, SparseSpikes):
        return x.float().flatten(2).mean(1)
    examples, steps = x.shape[:2]
    place = x.rows() // steps * x.num_neurons + x.neuron
    counts = torch.bincount(place, minlength=examples * x.num_neurons)
    return counts.view(examples, -1).float() / steps


class Teacher:
    """A network of rectified units, which sees how often each input fires but not when.

    It is no part of the model nor of its checkpoints.

    Args:
        num_inputs: N.
        num_labels: O.
        units: of its hidden layer.
        temperature: tau.
        weight: of the divergence beside the distortion.
        epochs: it is trained for.
        lr: learning rate of its Adam.

    Raises:
        ValueError: a number that is not positive.
    """

    def __init__(
        self,
        num_inputs: int,
        num_labels: int,
        units: int = 256,
        temperature: float = 2.0,
        weight: float = 1.0,
        epochs: int = 20,
        lr: float = 1e-3,
    ) -> None:
        numbers = {"units": units, "temperature": temperature, "weight": weight}
        for name, value in {**numbers, "epochs": epochs, "lr": lr}.items():
            if not value > 0:
                raise ValueError(f"teacher: {name}: got {value}, expected above 0")
        self.temperature, self.weight, self.epochs, self.lr = temperature, weight, epochs, lr
        self.network = nn.Sequential(
            nn.Linear(num_inputs, units), nn.ReLU(), nn.Linear(units, num_labels)
        )

    def fit(self, train: Examples, validation: Examples, seed: int = 0) -> float:
        """Train on one split, and keep the weights of the epoch with the least cost on the other.

        Args:
            train: batches that it learns from.
            validation: others, by which the epoch is chosen.
            seed: of the order.

        Returns:
            The share of the validation examples that it is right about.
        """
        x, label = _whole(train)
        seen, answer = _whole(validation)
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(self.network.parameters(), self.lr)
        least, best, accuracy = float("inf"), self.network.state_dict(), 0.0
        for _ in range(self.epochs):
            order = torch.randperm(len(x), generator=generator)
            for start in range(0, len(x), BATCH):
                rows = order[start : start + BATCH]
                optimizer.zero_grad()
                loss = cross_entropy(self.network(x[rows]), label[rows])
                loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
                optimizer.step()
            with torch.no_grad():
                logits = self.network(seen)
            cost = float(cross_entropy(logits, answer))
            if cost < least:
                least = cost
                best = {name: part.clone() for name, part in self.network.state_dict().items()}
                accuracy = float((logits.argmax(1) == answer).float().mean())
        self.network.load_state_dict(best)
        self.network.requires_grad_(False)
        return accuracy

    def nats(self, x: Spikes, decoded: Distribution) -> Tensor:
        """What a decoder's disagreement with the teacher costs, `(M B, S)`.

        Args:
            x: the input, `(B, T, *N)`.
            decoded: over labels, batch shape `(M B, S)`.
        """
        scores: Any = decoded
        scores = scores.scores if hasattr(scores, "scores") else scores.logits
        with torch.no_grad():
            logits = self.network.to(scores.device)(rates(x).to(scores.device))
        logits = logits.repeat(len(scores) // len(logits), 1)[:, None].expand_as(scores)
        tau = self.temperature
        student, teacher = (log_softmax(z.float() / tau, -1) for z in (scores, logits))
        divergence = kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
        return self.weight * tau**2 * divergence


def _whole(batches: Examples) -> tuple[Tensor, Tensor]:
    """A split as rates `(R, N)` and labels `(R,)`."""
    parts = [(rates(x).cpu(), label.cpu()) for x, label in batches]
    return torch.cat([x for x, _ in parts]), torch.cat([label for _, label in parts])
