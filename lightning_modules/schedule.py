"""The learning rate over a training, and what becomes of it when a run goes on."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Schedule = Callable[[Optimizer, float], LambdaLR]
"""`(optimizer with the peaks as its rates, steps of the whole training) -> schedule`."""


def constant(optimizer: Optimizer, steps: float) -> LambdaLR:
    """Each group's peak throughout."""
    return LambdaLR(optimizer, lambda step: 1.0)


def cosine(optimizer: Optimizer, steps: float) -> LambdaLR:
    """From each group's peak to zero along a cosine: `peak (1 + cos(pi step / steps)) / 2`.

    Args:
        optimizer: with the peaks as its learning rates.
        steps: of the whole training; infinite where nothing says when that ends, and the rate
            stays at its peak.
    """
    total = max(1, steps)
    return LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step, total) / total))
    )


def follow_peaks(schedule: Any, peaks: Sequence[Any]) -> None:
    """Have a schedule go on under these peaks, from where it is.

    A checkpoint restores the learning rates that it was trained with over those of now.
    """
    if schedule.base_lrs != peaks:
        schedule.base_lrs = list(peaks)
        groups = schedule.optimizer.param_groups
        for group, peak, part in zip(groups, peaks, schedule.lr_lambdas, strict=True):
            group["lr"] = peak * part(schedule.last_epoch)
