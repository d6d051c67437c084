"""VIMCO: several codes per input under one objective, a bound that tightens with their number.

With the cost of code k

    c_k = sum_t d_t + beta log p(y_t | y^{t-1}, x^t) / q(y_t | y^{t-1})

the objective and its gradient are

    L_K = E[ F ],    F = -log (1/K) sum_k exp(-c_k)
    grad L_K = E[ grad F |_{codes fixed}
                  + sum_k sum_t grad log p(y_kt | y_k^{t-1}, x^t) (F - F_kt) ]

K = 1 is the loss itself, but for the sampled log-ratio in place of its mean. L_K falls with K;
where beta is 1 and steps weigh 1 it is the importance-weighted bound on `-log p(r)`. F_kt is F with
c_k replaced by what is known of it before step t and, for the rest, the mean over the other codes:
it does not depend on y_kt, so that the estimate is unbiased.

Mnih & Rezende, "Variational Inference for Monte Carlo Objectives", 2016,
https://arxiv.org/abs/1602.06725, who have one step; Burda, Grosse & Salakhutdinov, "Importance
Weighted Autoencoders", 2016, https://arxiv.org/abs/1509.00519.

Legend: K codes per input, B batch, T steps.
"""

import math

import torch
from torch import Tensor

from vdib.drawn import Drawn
from vdib.estimator import Estimator


class VIMCO(Estimator):
    """The gradient of the K-sample bound, each code compared with the bound without it.

    The model's own loss, of one code, is logged and measured whatever K.

    Args:
        num_samples: K, at least 2.

    Raises:
        ValueError: fewer.
    """

    def __init__(self, num_samples: int = 4) -> None:
        super().__init__()
        if num_samples < 2:
            raise ValueError(f"VIMCO compares at least two codes, got {num_samples}")
        self.num_samples = num_samples

    def loss(self, drawn: Drawn) -> Tensor:
        costs = drawn.by_code(drawn.sampled_costs)  # K, B, T
        bound = free_energy(costs.sum(2))
        signal = bound.detach()[:, None] - self.without(costs.detach())
        score = drawn.by_code(drawn.code.log_prob()) * signal
        return bound + score.sum((0, 2))

    def without(self, costs: Tensor) -> Tensor:
        """F_kt, `(K, B, T)`, from the costs of all codes, `(K, B, T)`."""
        count, total = len(costs), costs.sum(2)
        to_go = costs.flip(2).cumsum(2).flip(2)
        others = (to_go.sum(0) - to_go) / (count - 1)
        instead = total[:, :, None] - to_go + others
        own = torch.eye(count, dtype=torch.bool, device=costs.device)[:, :, None, None]
        # k that is left out, all codes, B, T.
        return free_energy(torch.where(own, instead[None], total[None, :, :, None]), dim=1)


def free_energy(costs: Tensor, dim: int = 0) -> Tensor:
    """`-log (1/K) sum_k exp(-c_k)` over one axis, in nats."""
    return math.log(costs.shape[dim]) - torch.logsumexp(-costs, dim)
