"""Losses and gradients that are not finite, and what they most likely come from.

They end a training before the optimiser's step, so that no weight and no checkpoint is spoilt.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from vdib.lightning_modules.data_module import SpikeBatch

Named = Iterable[tuple[str, Tensor]]


def why_loss(step: int, loss: float, weights: Named, batch: SpikeBatch, precision: str) -> str:
    """What a loss that is not finite most likely comes from, in one line.

    Args:
        step: of the optimiser.
        loss: its value.
        weights: of the model, by name.
        batch: that it is of.
        precision: of the trainer.
    """
    head = f"the loss is {loss} at step {step}"
    for name, weight in weights:
        if not torch.isfinite(weight).all():
            return f"{head}: {name} is not finite after the step before: {_shorter_steps()}"
    spoilt = ~torch.isfinite(batch.target).view(len(batch.target), -1).all(1)
    if spoilt.any():
        example = int(batch.id[spoilt][0])
        return f"{head}: the target of example {example} is not finite: look at the data"
    finer = "" if precision.startswith("32") else ", or --trainer.precision 32-true"
    return f"{head}: weights and data are finite, the sum overflows: {_shorter_steps()}{finer}"


def why_gradient(step: int, weights: Named) -> str | None:
    """Which gradient is not finite, or too large to be added up, in one line; None where all are.

    Args:
        step: of the optimiser.
        weights: of the model, by name, with their gradients.
    """
    grads = {name: weight.grad for name, weight in weights if weight.grad is not None}
    if torch.isfinite(torch.nn.utils.get_total_norm(list(grads.values()))):
        return None
    largest = {name: float(grad.abs().max()) for name, grad in grads.items()}
    bad = [name for name, value in largest.items() if not value < float("inf")]
    name = bad[0] if bad else max(largest, key=lambda name: largest[name])
    also = f", as are those of {len(bad) - 1} more" if len(bad) > 1 else ""
    return (
        f"the gradient of {name} reaches {largest[name]:.3g} at step {step}{also}: "
        f"{_shorter_steps()}"
    )


def _shorter_steps() -> str:
    return "a lower --model.lr, or --trainer.gradient_clip_val 1"
