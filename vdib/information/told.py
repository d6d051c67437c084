"""What is told of a natural signal of known entropy: `I(y -> r) >= H(r) - distortion`.

For any decoder q and any step t, `I(y^t; r_t) >= H(r_t) - E -log q(r_t | y^t)`. H is that of how
often the training targets are what (at each step, where every step is decoded), which lies below
the true one in expectation: the bound stays one. The decoder has seen neither these sequences nor
r. Steps are bounded one by one: their mean is a mean of `I(y^t; r_t)`, no part of `I(x -> y)`.

Legend: N sequences, T steps, P values of r.
"""

import torch
from torch import Tensor

from vdib.information.intervals import mean
from vdib.information.rows import Row, Section
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.lightning_modules.predictive_coding.signals import Pattern
from vdib.noise import EVALUATION, Noise
from vdib.runs.cli import VDIBCLI
from vdib.signal import Label

BATCH = 100


def entropy(r: Tensor, num_values: int) -> Tensor:
    """Of how often each column's values occur, `(N, T)` int64 to `(T,)` in nats.

    >>> entropy(torch.tensor([[0, 1], [1, 1]]), 3)
    tensor([0.6931, 0.0000], dtype=torch.float64)
    """
    counts = torch.zeros(num_values, r.shape[1], dtype=torch.float64)
    counts.scatter_add_(0, r, torch.ones_like(r, dtype=torch.float64))
    p = counts / len(r)
    out: Tensor = torch.special.entr(p).sum(0)
    return out


def told(cli: VDIBCLI, num: int, seed: int) -> list[Section]:
    """The section of r, where r is a label or a pattern; otherwise none.

    Args:
        cli: the model and data of a run, with its best weights.
        num: N of the test split.
        seed: of the code.
    """
    module, data = cli.model, cli.datamodule
    if isinstance(data.signal, Label) and not module.vdib.every_step:
        weights = None
        known = entropy(data.targets("train")[:, None], data.signal.num_outputs)[0]
    elif isinstance(module, PredictiveCodingModule) and isinstance(data.signal, Pattern):
        weights = module.weights(data.num_steps)
        known = entropy(data.targets("train"), data.signal.num_outputs) @ weights.double()
    else:
        return []
    examples = data.split("test")
    costs = []
    for rows in torch.split(torch.arange(min(num, len(examples))), BATCH):
        batch = data.code(examples.__getitems__(rows.tolist()), EVALUATION)
        noise = Noise(seed, EVALUATION, batch.id)
        out = module.vdib(batch.spikes, batch.target, noise, weights)
        costs.append(out.distortion.double().sum(1))
    steps = data.num_steps if weights is not None else 1  # the table divides by them
    terms = steps * (known - torch.cat(costs)).numpy()
    row = Row("H(r) - distortion", "below", mean(terms), len(terms), seed)
    where = "I(y^t; r_t), the mean over scored steps" if weights is not None else "I(y -> r)"
    ceiling = float(steps * known)
    return [Section(where, (row,), note=f"H(r) {ceiling / steps / 0.6931471805599453:.4g} bits")]
