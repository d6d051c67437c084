"""benchmarks/beta_input.py: one model at several prices, against its equation and on a tiny run."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from test_benchmarks import rows_of, script  # noqa: F401  # a fixture
from tiny import spike_train
from tiny_runs import SIZES, weights
from torch.nn.functional import logsigmoid, one_hot

from vdib.encoder import SpikingEncoder
from vdib.signal import Image

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
BETAS = (0.1, 2.0, 0.5)


def test_each_price_is_its_equation(script):  # noqa: F811
    """At every price its own input fires, its own prior is asked and its own beta is charged."""
    torch.manual_seed(0)
    module = script("beta_input").BetaInput(
        input_shape=(1, 2, 3), betas=BETAS, num_steps=4, signal=Image((5,)), hidden=(6,),
        num_readout=2, prior="past",
    ).double()  # fmt: skip
    for weight in module.parameters():
        weight.requires_grad_(False).normal_(std=0.5)
    x, r = spike_train(7, 4, 1, 2, 3), torch.rand(7, 5).double()
    u = torch.rand(7, 4, 2).double()
    first = module.vdib
    plain = SpikingEncoder(first.encoder.layers, first.encoder.readout, first.encoder.credit)
    losses = []
    for k, beta in enumerate(BETAS):
        module.at(k)
        which = one_hot(torch.tensor(k), len(BETAS)).expand(7, 4, -1)
        code = plain(torch.cat([x.flatten(2), which], 2), u)
        outputs = first.decoder.decoder.outputs(torch.cat([code.spikes, which], 2)[:, None])
        p, q = torch.sigmoid(code.logits), torch.sigmoid(first.prior.priors[k](code.spikes))
        kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
        on, off = logsigmoid(outputs[:, 0]), logsigmoid(-outputs[:, 0])
        nats = -(r * on + (1 - r) * off).sum(1)
        out = module.vdib(x, r, u)
        torch.testing.assert_close(out.distortion[:, 0], nats)
        torch.testing.assert_close(out.rate.sum(1), kl.sum((1, 2)))
        losses.append(out.loss(module.vdib.beta))
        torch.testing.assert_close(losses[-1], (nats + beta * kl.sum((1, 2))).mean())
    assert len(set(map(float, losses))) == len(BETAS)


def test_prices_are_drawn_alike(script):  # noqa: F811
    drawn = script("beta_input").drawn
    counts = np.bincount([drawn(3, step, 4) for step in range(2000)])
    assert ((counts - 500) ** 2 / 500).sum() < 16.3  # chi-squared, 3 degrees, alpha = 0.001


def test_the_table_of_a_tiny_run(script, monkeypatch, capsys):  # noqa: F811
    """What is printed is measured at each price, and the epoch is chosen by all of them."""
    beta_input = script("beta_input")
    from vdib.fit import main

    def sweep(jobs, workers):
        for folder, args in jobs.items():
            assert main([*args, "--experiment", folder.parent.name, "--name", folder.name]) == 0

    monkeypatch.setattr(beta_input, "sweep", sweep)
    beta_input.main(["--seeds", "1", "--epochs", "1", *SIZES, "--figures_every", "-1"])
    printed = [row for row in rows_of(capsys.readouterr().out) if row[0] == "1"]
    folder = Path("runs", "beta_input", "epochs=1,seed=0")
    with Path("runs", "beta_input", "beta_input.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["beta"]) for row in rows] == [0.01, 0.1, 0.3, 1]
    for row, cells in zip(rows, printed, strict=True):
        loss, nats, bits = (float(row[k]) for k in ("loss_nats", "distortion_nats", "rate_bits"))
        assert loss == pytest.approx(nats + float(row["beta"]) * bits * math.log(2), rel=1e-4)
        assert cells[1:3] == [f"{float(row['beta']):g}", f"{loss:.1f} ± nan"]
        assert row["rate_prior_best"] in ("past", "as_trained")
    with (folder / "metrics.csv").open(newline="") as file:
        (chosen,) = (row["val/loss"] for row in csv.DictReader(file) if row["val/loss"])
    mean = sum(float(row["validation_loss_nats"]) for row in rows) / 4
    assert float(chosen) == pytest.approx(mean, rel=1e-4)
    # A price's prior learns from the batches of this price.
    trained = {beta_input.drawn(0, step, 4) for step in range(3)}
    start = torch.full((8,), math.log(0.1 / 0.9))
    priors = [weights(folder)[f"vdib.prior.priors.{k}.logit"] for k in range(4)]
    assert {k for k, prior in enumerate(priors) if not torch.allclose(prior, start)} == trained
    assert 0 < len(trained) < 4
