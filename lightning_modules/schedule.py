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


class Cosine:
    """From the peak to zero along a cosine, and what a run that goes on for longer follows.

    With t steps made of S, the rate is the peak times

        c(t) = (1 + cos(pi t / S)) / 2

    A run that stopped at step s, at a times its peak, and goes on to another S, does not jump:

        max[ a (1 + cos(pi (t - s) / (S - s))) / 2,  c(t) min(1, (t - s) / s) ]

    It comes down from where it was, unless the longer cosine is above that: towards it the rate
    rises evenly, for as many steps as had been made. A run that had come to its end has a = 0, and
    is warmed up again so. Where nothing says when training ends, S is infinite and the cosines
    stay at 1.

    Args:
        steps: S, of the whole training.
    """

    def __init__(self, steps: float) -> None:
        self.steps = max(1, steps)
        self.since = 0
        self.factor = 1.0

    def __call__(self, step: int) -> float:
        down = self.factor * _fall(step - self.since, self.steps - self.since)
        if not self.since:
            return down
        return max(down, _fall(step, self.steps) * min(1, (step - self.since) / self.since))

    def last(self, step: int, steps: float) -> None:
        """From this step on, be the schedule of a run that ends elsewhere."""
        steps = max(1, steps)
        if steps != self.steps:
            self.factor, self.since, self.steps = self(step), step, steps


def _fall(step: float, steps: float) -> float:
    """From 1 to 0 along a cosine."""
    if steps <= 0:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps))


def cosine(optimizer: Optimizer, steps: float) -> LambdaLR:
    """From each group's peak to zero along a cosine; see `Cosine`.

    Args:
        optimizer: with the peaks as its learning rates.
        steps: of the whole training; infinite where nothing says when that ends, and the rate
            stays at its peak.
    """
    return LambdaLR(optimizer, Cosine(steps))


def follow_length(schedule: Any, steps: float) -> None:
    """Have a schedule that a checkpoint restored end after so many steps."""
    for part in schedule.lr_lambdas:
        if isinstance(part, Cosine):
            part.last(schedule.last_epoch, steps)


def follow_peaks(schedule: Any, peaks: Sequence[Any]) -> None:
    """Have a schedule go on under these peaks, from where it is.

    A checkpoint restores the learning rates that it was trained with over those of now.
    """
    if schedule.base_lrs != peaks:
        schedule.base_lrs = list(peaks)
        groups = schedule.optimizer.param_groups
        for group, peak, part in zip(groups, peaks, schedule.lr_lambdas, strict=True):
            group["lr"] = peak * part(schedule.last_epoch)
