"""One model that is told the price of a nat: distortion against bits at every price it was told.

    python benchmarks/beta_input.py --seeds 3 --epochs 16 40

The other way to curves of one model beside `--curves annealed` of `vdib.tradeoff`. Of K prices,
each training batch is charged one, drawn by (seed, step), and all parts know which:

    L = E_k E [ -log q(r | y, k) + beta_k sum_t KL( p(y_t | y^{t-1}, x^t, k) || q_k(y_t | y^{t-1}) ]

The encoder has K more inputs, of which the k-th fires in every step; the decoder sees the same
beside the readout's spikes; each price has a prior of its own. The epoch is chosen by the loss of
the validation data, the mean over the prices. Every price is then measured as a run of its own is:
its best prior is fitted to codes at that price alone. 16 epochs are those of an annealed model of
four prices, 10 + 3 x 2; 40 are those of four runs.
"""

import argparse
import copy
import csv
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from pytorch_lightning.trainer.states import TrainerFn
from sweep import sweep
from torch import Tensor, nn
from torch.distributions import Distribution

from vdib.decoder import Decoder, MLPDecoder
from vdib.encoder import SpikeCode, SpikingEncoder
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.model import VDIB
from vdib.prior import Prior
from vdib.runs.cli import prepare
from vdib.runs.folder import Run
from vdib.runs.loading import rebuild
from vdib.runs.measuring import measure
from vdib.signal import Signal
from vdib.sparse import Spikes
from vdib.window import Window

BETAS = (0.01, 0.1, 0.3, 1.0)
COLUMNS = {
    "loss_nats": 1,
    "distortion_nats": 1,
    "rate_bits": 1,
    "rate_bits_best": 1,
    "spikes_per_sample": 0,
    "judge_accuracy": 3,
    "train_seconds": 0,
}
"""Of the table, with how many digits."""


def told(spikes: Spikes, k: int, count: int) -> Tensor:
    """`(B, T, *N)` spikes beside K more, of which the k-th fires in every step: `(B, T, N + K)`."""
    assert isinstance(spikes, Tensor), "lists of spikes are of event cameras"
    which = torch.arange(count, device=spikes.device) == k
    which = which.to(spikes).expand(*spikes.shape[:2], -1)
    return torch.cat([spikes.flatten(2), which], 2)


class ToldEncoder(SpikingEncoder):
    """`p(y || x, k)`: an encoder of N + K inputs at the k-th price, whose weights it shares.

    Args:
        encoder: of N + K inputs.
        k: which price.
        count: K.
    """

    def __init__(self, encoder: SpikingEncoder, k: int, count: int) -> None:
        super().__init__(encoder.layers, encoder.readout, encoder.credit)
        self.k, self.count = k, count

    def forward(self, x: Spikes, *how: Any) -> SpikeCode:
        return super().forward(told(x, self.k, self.count), *how)

    def calibrate(self, x: Spikes, rate: float, spread: float = 1.0) -> None:
        super().calibrate(told(x, self.k, self.count), rate, spread)


class ToldDecoder(Decoder):
    """`q(r | y, k)`: a decoder of N_y + K neurons at the k-th price, whose weights it shares."""

    def __init__(self, decoder: Decoder, k: int, count: int) -> None:
        super().__init__(decoder.signal)
        self.decoder, self.k, self.count = decoder, k, count

    def forward(self, code: SpikeCode, every_step: bool = False) -> Distribution:
        seen = replace(code, spikes=told(code.spikes, self.k, self.count))
        decoded: Distribution = self.decoder(seen, every_step)
        return decoded

    def start_from(self, outputs: Tensor) -> None:
        self.decoder.start_from(outputs)


class ToldPrior(Prior):
    """`q_k(y_t | y^{t-1})`: the k-th of K priors, all of which it holds for the optimiser."""

    def __init__(self, priors: nn.ModuleList, k: int) -> None:
        super().__init__()
        self.priors, self.k = priors, k

    @property
    def own(self) -> Prior:
        prior: Prior = self.priors[self.k]  # type: ignore[assignment]
        return prior

    def forward(self, spikes: Tensor) -> Tensor:
        logits: Tensor = self.own(spikes)
        return logits

    def start_from(self, rates: Tensor) -> None:
        self.own.start_from(rates)


class BetaInput(NaturalisationModule):
    """A module whose `vdib` is, at each batch, one of K that share all weights but their priors'.

    Args:
        input_shape: of one step's spikes (taken from the data).
        betas: the K prices.
    """

    def __init__(
        self, *, input_shape: Sequence[int], betas: Sequence[float] = BETAS, **settings: Any
    ) -> None:
        count = len(betas)

        def wide(window: Window, num_readout: int, signal: Signal) -> Decoder:
            return ToldDecoder(MLPDecoder(window, num_readout + count, signal), 0, count)

        inputs = (math.prod(input_shape) + count,)
        super().__init__(input_shape=inputs, decoder=wide, **settings)
        shared, self.betas = self.vdib, tuple(betas)
        decoder: Any = shared.decoder
        priors = nn.ModuleList(copy.deepcopy(shared.prior) for _ in betas)
        self.models = nn.ModuleList(
            VDIB(
                ToldEncoder(shared.encoder, k, count),
                ToldDecoder(decoder.decoder, k, count),
                ToldPrior(priors, k),
                shared.estimator,
                beta,
                shared.every_step,
                shared.penalties,
                shared.hidden_v,
                shared.price,
            )
            for k, beta in enumerate(betas)
        )
        self.at(0)

    def at(self, k: int) -> None:
        """Have the k-th price charged and told from now on."""
        self.vdib = self.models[k]  # type: ignore[assignment]

    def training_step(self, batch: SpikeBatch, batch_idx: int) -> Tensor | None:
        self.at(drawn(self.seed, self.global_step, len(self.betas)))
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: SpikeBatch, batch_idx: int) -> None:
        if self.trainer.state.fn != TrainerFn.FITTING:  # at one price
            return super().validation_step(batch, batch_idx)
        for k in range(len(self.betas)):
            self.at(k)
            super().validation_step(batch, batch_idx)

    def synops(self, x: Spikes, code: SpikeCode) -> dict[str, Tensor]:
        encoder: Any = self.vdib.encoder
        return super().synops(told(x, encoder.k, encoder.count), code)


def drawn(seed: int, step: int, count: int) -> int:
    """Which of K prices a training batch is charged, each as likely as the others."""
    return int(np.random.default_rng((seed, step)).integers(count))


def measured(folder: Path) -> list[dict[str, Any]]:
    """A run's summary at each of its prices, in their order."""
    run, rows = Run(folder), []
    for k, beta in enumerate(run.config()["model"]["init_args"]["betas"]):
        cli = rebuild(run)  # what was measured before has left its marginal behind
        prepare(cli)
        cli.config.fit_priors = ["past"]
        cli.model.at(k)
        rows.append({"beta": beta, **measure(cli, cli.evaluator(), run)})
    return rows


def main(words: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--epochs", type=int, nargs="+", default=[16, 40], help="in all, of a run")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args, rest = parser.parse_known_args(words)
    folder = args.runs / "beta_input"
    common = ["--config", "digits", "--model", "beta_input.BetaInput", "--fit_priors", "[]", *rest]
    jobs = {
        folder / f"epochs={epochs},seed={seed}": [
            *common, "--trainer.max_epochs", str(epochs), "--seed", str(seed)
        ]
        for seed in range(args.seeds)
        for epochs in args.epochs
    }  # fmt: skip
    sweep(jobs, args.workers)
    rows = [
        {"epochs": epochs, **row}
        for epochs in args.epochs
        for seed in range(args.seeds)
        for row in measured(folder / f"epochs={epochs},seed={seed}")
    ]
    with (folder / "beta_input.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"| epochs | beta | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 2)}")
    for epochs, beta in dict.fromkeys((row["epochs"], row["beta"]) for row in rows):
        own = [row for row in rows if (row["epochs"], row["beta"]) == (epochs, beta)]
        cells = (_cell([row[key] for row in own], digits) for key, digits in COLUMNS.items())
        print(f"| {epochs} | {beta:g} | {' | '.join(cells)} |")


def _cell(values: list[float], digits: int) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}"


if __name__ == "__main__":
    main()
