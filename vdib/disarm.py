"""DisARM: antithetic pairs of codes, for readouts whose spikes are independent given the input.

Of a pair drawn by noise u and 1 - u, with spikes y and y', logits v and returns R and R',

    grad_v = (R_t - R'_t) (y - y') sigmoid(|v|) / 2

is an unbiased estimate of the gradient through each spike. Of one spike alone its second moment is
`max(p, 1 - p)` times that of two independent ones. It needs spikes that are independent given the
input: a readout without feedback.

Dong, Mnih & Tucker, "DisARM: An Antithetic Gradient Estimator for Binary Latent Variables", 2020,
https://arxiv.org/abs/2006.10680; the same is the U2G of Yin, Ho, Yan, Qian & Zhou, "Probabilistic
Best Subset Selection via Gradient-Based Optimization", 2020, https://arxiv.org/abs/2006.06448.

Legend: P pairs, B batch, T steps, N neurons.
"""

import torch
from torch import Tensor

from vdib.drawn import Drawn
from vdib.dynamics.feedback import NoFeedback
from vdib.estimator import Estimator
from vdib.neurons.layer import Layer


class DisARM(Estimator):
    """Two codes per input for every pair; unbiased.

    Args:
        num_pairs: P, at least 1.

    Raises:
        ValueError: fewer.
    """

    antithetic = True

    def __init__(self, num_pairs: int = 1) -> None:
        super().__init__()
        if num_pairs < 1:
            raise ValueError(f"DisARM compares codes in pairs, got {num_pairs} of them")
        self.num_samples = 2 * num_pairs

    def check(self, readout: Layer) -> None:
        if not isinstance(getattr(readout, "feedback", None), NoFeedback):
            raise ValueError(
                "DisARM needs readout neurons that do not feel their own spikes: "
                "--model.readout_settings '{feedback: false}'"
            )

    def loss(self, drawn: Drawn) -> Tensor:
        code = drawn.code
        one, other = code.spikes.detach().chunk(2)
        above, below = drawn.returns.chunk(2)
        v = code.logits.chunk(2)[0]  # of both
        difference = (above - below)[:, :, None] * (one - other)
        signal = 0.5 * difference * torch.sigmoid(v.detach().abs())
        through = (v * signal).sum((1, 2)).view(self.num_samples // 2, -1)
        return drawn.mean_over_codes(drawn.costs) + through.mean(0)
