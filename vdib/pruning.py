"""Magnitude pruning of an encoder while it learns.

    pruned = amount (1 - (1 - p / end)^3) at the share p of the training, amount from p = end on

Zhu & Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
2017, https://arxiv.org/abs/1710.01878. Of every connection, of hidden layers and the readout, that
share of the weights is zero, the smallest, and stays so. `vdib.operations` counts what that saves.
"""

import torch

from vdib.encoder import SpikingEncoder
from vdib.operations import connections


class Pruning:
    """Of an encoder's weights in training. What is pruned is zero, and so it is in a checkpoint.

    Args:
        encoder: whose weights are pruned.
        amount: share of the weights that are zero in the end, in (0, 1).
        end: share of the training from which on they are, in (0, 1].

    Raises:
        ValueError: shares outside their range.
    """

    def __init__(self, encoder: SpikingEncoder, amount: float, end: float = 0.5) -> None:
        if not 0 < amount < 1 or not 0 < end <= 1:
            raise ValueError(f"prune: got {amount}, expected above 0 and below 1")
        self.amount, self.end = amount, end
        layers = (*encoder.layers, encoder.readout)
        parts = [part for layer in layers for part, _ in connections(layer)]
        self._weights = [weight for part in parts for weight in part.parameters()]
        self.begin()

    def begin(self) -> None:
        """Take what is zero now for pruned: after the weights were drawn, or restored."""
        self._alive = [weight.detach() != 0 for weight in self._weights]

    def share(self, progress: float) -> float:
        """The share of the weights that is pruned at that share of the training."""
        left = 1 - min(1.0, progress / self.end)
        return self.amount * (1 - left**3)

    @torch.no_grad()
    def after_update(self, progress: float) -> None:
        """Zero what is pruned by now, which an optimiser may have moved.

        Args:
            progress: share of the training that is over, in [0, 1].
        """
        for weight, alive in zip(self._weights, self._alive, strict=True):
            count = round(self.share(progress) * weight.numel())
            if count > weight.numel() - int(alive.sum()):
                # What is pruned already is smaller than anything.
                size = weight.abs().masked_fill(~alive, -1).flatten()
                alive.view(-1)[size.topk(count, largest=False).indices] = False
            weight.mul_(alive)
