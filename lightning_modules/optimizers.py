"""The optimisers that a model may be trained by, all of them Adam's relatives."""

from collections.abc import Callable
from typing import Any

from torch.optim import Adam, NAdam, Optimizer

Optimizing = Callable[[list[dict[str, Any]], float, bool], Optimizer]
"""`(groups of parameters, learning rate, whether to fuse) -> optimiser`."""


def adam(groups: list[dict[str, Any]], lr: float, fused: bool) -> Optimizer:
    """Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015,
    https://arxiv.org/abs/1412.6980.
    """
    return Adam(groups, lr, fused=fused)


def amsgrad(groups: list[dict[str, Any]], lr: float, fused: bool) -> Optimizer:
    """Adam whose second moment never falls: Reddi, Kale & Kumar, "On the Convergence of Adam and
    Beyond", 2018, https://arxiv.org/abs/1904.09237.
    """
    return Adam(groups, lr, amsgrad=True, fused=fused)


def nadam(groups: list[dict[str, Any]], lr: float, fused: bool) -> Optimizer:
    """Adam with Nesterov's momentum, whose schedule warms up: Dozat, "Incorporating Nesterov
    Momentum into Adam", 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ. Never fused.
    """
    return NAdam(groups, lr)
