"""What a linear decoder of the raw inputs can know in predictive coding: for docs/results.md.

    python benchmarks/linear_reference.py --lag 2

Beside `vdib.lightning_modules.predictive_coding.reference`, which has a hidden layer: a softmax of
a linear map of the last 14 inputs, without a bottleneck, one epoch of the same sequences, the rate
of Adam chosen on the validation split.
"""

import argparse

import torch
from torch import Tensor, nn

from vdib.lightning_modules.predictive_coding import reference
from vdib.lightning_modules.predictive_coding.data import BlobData

RATES = (0.005, 0.01, 0.02, 0.03, 0.06, 0.1)


class HistoryLinear(nn.Module):
    """`sum_{l, d} W[l, bin_d[t - l]] + b`.

    Args:
        num_neurons: N.
        outputs: `(O,)`, the answer without history, from which b starts.
    """

    def __init__(self, num_neurons: int, outputs: Tensor) -> None:
        super().__init__()
        self.num_neurons = num_neurons
        self.map = nn.EmbeddingBag(reference.HISTORY * num_neurons, len(outputs), mode="sum")
        nn.init.zeros_(self.map.weight)
        self.bias = nn.Parameter(outputs.clone().float())

    def forward(self, history: Tensor) -> Tensor:
        """`(S, H, D)` bins to `(S, O)`."""
        lag = torch.arange(reference.HISTORY)[:, None] * self.num_neurons
        out: Tensor = self.map((history.long() + lag).flatten(1)) + self.bias
        return out


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lag", type=int, default=2)
    parser.add_argument("--num_train", type=int, default=8_000)
    args = parser.parse_args()
    data = BlobData(lag=args.lag, amplitude="published", unscored=20, num_train=args.num_train)
    data.prepare_data()
    data.setup("fit")
    splits = {
        name: reference.histories(*data.common(name), data.scored)
        for name in ("train", "validation", "test")
    }
    signal = data.signal
    found = []
    for rate in RATES:
        model = HistoryLinear(signal.num_neurons, signal.constant(signal.of(splits["train"][1])))
        order = torch.Generator().manual_seed(0)
        reference.train(model, *splits["train"], signal, order, 512, rate)
        nats = [
            reference.mean_nats(model, *splits[name], signal) for name in ("validation", "test")
        ]
        found.append((*nats, rate))
        print(f"rate {rate:g}: {nats[0]:.4f} nats a step in validation", flush=True)
    _, test, rate = min(found)
    print(f"lag {args.lag:+d}: {test:.4f} nats a step of the test sequences, at a rate of {rate:g}")


if __name__ == "__main__":
    main()
