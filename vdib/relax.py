"""RELAX for an autoregressive readout: a learned control variate on softened spikes.

A spike is `y = 1[z > 0]` of `z = v - log(n / (1 - n))`, with uniform noise n. Given the past of its
code, c_t is any smooth function of the z of step t. With p = sigmoid(v) and R_t the return,

    grad_v = (y - p) (R_t - c_t(z)) + kappa dc_t/dz,
    kappa = (1 - p) / (1 - n) where y = 1, p / n where y = 0

is an unbiased estimate of the gradient through each spike of step t, whatever c: the last term is
`dc/dz dz/dv` under z as it is drawn, less the same under z as it is drawn once y is known. Both are
taken at one z (the common random numbers of Tucker et al.). Here c is

    c_t = m_t + s_t net( sigmoid(z / temperature), v )

with m_t and s_t, mean and deviation of the returns of earlier batches, and a network of one hidden
layer, which learns to make the mean of `grad_v^2` small along with everything else. It looks at the
step's z and, through v, at input and past; step by step like this it is the form that Grathwohl et
al. use for actions under a policy. What is made small is the variance at the logits, not that of
the weights' gradient.

Grathwohl, Choi, Wu, Roeder & Duvenaud, "Backpropagation through the Void: Optimizing control
variates for black-box gradient estimation", 2018, https://arxiv.org/abs/1711.00123; Tucker, Mnih,
Maddison, Lawson & Sohl-Dickstein, "REBAR: Low-variance, unbiased gradient estimates for discrete
latent variable models", 2017, https://arxiv.org/abs/1703.07370.

Legend: B batch, T steps, N neurons, H hidden units.
"""

import torch
from torch import Tensor, nn

from vdib.drawn import Drawn
from vdib.estimator import Estimator


class Relax(Estimator):
    """The score function less a learned control variate; unbiased.

    Args:
        num_steps: T; `loss` raises a `ValueError` for sequences of another length.
        num_neurons: N.
        num_hidden: H, of the control variate.
        temperature: of the softened spikes that it sees, dimensionless.
        momentum: of the moving averages, per batch.

    Raises:
        ValueError: a temperature that is not positive.
    """

    mean: Tensor
    square: Tensor
    weight: Tensor

    def __init__(
        self,
        num_steps: int,
        num_neurons: int,
        num_hidden: int = 32,
        temperature: float = 0.5,
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"the temperature must be positive, got {temperature}")
        self.temperature, self.momentum = temperature, momentum
        self.soft = nn.Linear(num_neurons, num_hidden)
        self.given = nn.Linear(num_neurons, num_hidden, bias=False)
        self.head = nn.Linear(num_hidden, 1)
        nn.init.zeros_(self.head.weight)  # the mean return alone, to begin with
        nn.init.zeros_(self.head.bias)
        for name in ("mean", "square"):
            self.register_buffer(name, torch.zeros(num_steps))
        self.register_buffer("weight", torch.zeros(()))

    def loss(self, drawn: Drawn) -> Tensor:
        returns, v = drawn.returns, drawn.code.logits
        if returns.shape[1] != len(self.mean):
            raise ValueError(f"num_steps: got {len(self.mean)}, the data have {returns.shape[1]}")
        mean = self.mean / self.weight.clamp_min(1e-12)
        deviation = (self.square / self.weight.clamp_min(1e-12) - mean**2).clamp_min(0).sqrt()
        signal = self.signal(drawn, returns - mean, deviation)  # B, T, N
        self._remember(returns)
        through = (v * signal.detach()).sum((1, 2))
        # The network learns from its own term, in units of the returns' variance.
        own = (signal.square().sum(2) / deviation.square().clamp_min(1e-12)).sum(1)
        return drawn.mean_over_codes(drawn.costs) + through + own

    def signal(self, drawn: Drawn, returns: Tensor, deviation: Tensor) -> Tensor:
        """`grad_v`, `(B, T, N)`, of returns less their mean, which carries the network's gradient.

        Args:
            drawn: one code per input.
            returns: `(B, T)` nats.
            deviation: s, `(T,)` nats.
        """
        spikes, v = drawn.code.spikes.detach(), drawn.code.logits.detach()
        noise = drawn.uniform().to(v)
        z = (v - torch.logit(noise)).requires_grad_()
        p = torch.sigmoid(v)
        kappa = torch.where(spikes > 0.5, torch.sigmoid(-v) / (1 - noise), p / noise)
        with torch.enable_grad(), torch.autocast(v.device.type, enabled=False):
            c = deviation * self.net(z, v)
            (slope,) = torch.autograd.grad(c.sum(), z, create_graph=True)
        return (spikes - p) * (returns - c)[:, :, None] + kappa * slope

    def net(self, z: Tensor, v: Tensor) -> Tensor:
        """Of each step, `(B, T, N)` each to `(B, T)`."""
        hidden = torch.tanh(self.soft(torch.sigmoid(z / self.temperature)) + self.given(v))
        out: Tensor = self.head(hidden)[..., 0]
        return out

    def _remember(self, returns: Tensor) -> None:
        new = 1 - self.momentum
        self.mean = self.momentum * self.mean + new * returns.mean(0)
        self.square = self.momentum * self.square + new * returns.square().mean(0)
        self.weight = self.momentum * self.weight + new
