"""What a trade-off leaves behind: rows and columns of its table, axes and curves of its figure."""

import argparse
import csv
import math
from pathlib import Path

import numpy as np
import pytest

from vdib.tradeoff import report
from vdib.tradeoff.curves import Job, Plan
from vdib.tradeoff.planning import Axes, planned
from vdib.tradeoff.report import write

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NAT = math.log(2)
"""Nats of a bit."""

AXES = Axes("rate_bits", "rate_bits_best", "spikes_per_sample", "nats", "sample", ["counts"])
CURVES = {"time": (), "frozen": (), "counts": ()}


def summary(seed, bits, nats, beta, **more):
    """Of a run: bits under the training prior, two thirds of them under the best."""
    return {
        "seed": seed,
        "nats": nats,
        "rate_bits": bits,
        "rate_bits_best": bits / 1.5,
        "spikes_per_sample": 2 * bits,
        "loss_nats": nats + beta * bits * NAT,
        "validation_rate_bits": bits,
        "validation_loss_nats": nats + beta * bits * NAT,
        "class_accuracy": 1 / nats,
        **more,
    }


def runs():
    """Two seeds at two betas, a frozen encoder of two gains, and counts of one seed."""
    found = {}
    for seed in (0, 1):
        for beta, bits, nats in (("0.1", 30.0, 4.0), ("1", 6.0, 8.0)):
            own = summary(seed, bits + 3 * seed, nats + seed, float(beta), judge_accuracy=0.5)
            found[Job("time", beta, None, seed)] = own
        for gain, bits, nats in (("1", 9.0, 12.0), ("8", 45.0, 6.0)):
            own = summary(seed, bits, nats + seed / 4, 0.1)
            found[Job("frozen", "0.1", gain, seed)] = own
    for beta in ("0.1", "1"):
        found[Job("counts", beta, None, 0)] = summary(0, 15.0, 99.0, float(beta))
    return found


@pytest.fixture
def left(tmp_path, monkeypatch):
    """The rows of the table, and the figure."""
    figures = []
    monkeypatch.setattr(report, "save", lambda figure, path: figures.append((figure, path)))
    plan = Plan(CURVES, ("0.1", "1"), ("1", "8"), 2, (), tmp_path)
    paths = write(plan, runs(), AXES)
    assert paths == [tmp_path / "tradeoff.csv", tmp_path / "tradeoff.png"]
    ((figure, path),) = figures
    assert path == paths[1]
    with paths[0].open(newline="") as file:
        return list(csv.DictReader(file)), figure


def test_the_table_has_a_row_for_each_curve_beta_and_seed(left):
    table, _ = left
    keys = [(row["curve"], row["beta"], row["gain"], row["seed"]) for row in table]
    assert keys == [
        *(("time", "0.1", "", "0"), ("time", "0.1", "", "1")),
        *(("time", "1", "", "0"), ("time", "1", "", "1")),
        # The gain that is worth its bits at a low price is not at a high one: 6 + 3.1 and 12 + 0.6
        # nats at 0.1, 6 + 31 and 12 + 6.2 at 1.
        *(("frozen", "0.1", "8", "0"), ("frozen", "0.1", "8", "1")),
        *(("frozen", "1", "1", "0"), ("frozen", "1", "1", "1")),
        *(("counts", "0.1", "", "0"), ("counts", "1", "", "0")),
    ]
    assert list(table[0])[:5] == ["curve", "beta", "gain", "seed", "nats"]
    assert list(table[0])[-1] == "judge_accuracy"
    assert [row["judge_accuracy"] for row in table] == ["0.5"] * 4 + [""] * 6  # nobody judged


def test_every_row_has_the_loss_of_its_own_beta(left):
    table, _ = left
    for row in table:
        paid = float(row["beta"]) * float(row["rate_bits"]) * NAT
        for split in ("", "validation_"):
            assert float(row[f"{split}loss_nats"]) == pytest.approx(float(row["nats"]) + paid)


def test_what_is_drawn_is_bits_under_the_best_prior_and_spikes(left):
    _, figure = left
    above_bits, above_spikes, bits, spikes = figure.axes
    assert bits.get_xlabel() == "bits per sample under the best prior"
    assert spikes.get_xlabel() == "spikes per sample"
    assert above_bits.get_ylabel() == "distortion (nats/sample)"
    assert bits.get_ylabel() == "class accuracy"  # of which every row has one
    lines = {line.get_label(): line.get_xydata() for line in above_bits.get_lines()}
    assert set(lines) == {"time", "frozen"}  # what counts cost are no nats of a probability
    assert {line.get_label() for line in bits.get_lines()} == {"time", "frozen", "counts"}
    # Means over seeds, from few bits to many.
    np.testing.assert_allclose(lines["time"], [[7.5 / 1.5, 8.5], [31.5 / 1.5, 4.5]])
    np.testing.assert_allclose(lines["frozen"], [[9 / 1.5, 12.125], [45 / 1.5, 6.125]])
    (time,) = (line for line in above_spikes.get_lines() if line.get_label() == "time")
    np.testing.assert_allclose(time.get_xydata(), [[15, 8.5], [63, 4.5]])


def test_bands_reach_from_the_lowest_seed_to_the_highest(left):
    """Straight lines from (4, 8) to (20, 4) and from (6, 9) to (22, 5): where both are, 6 to 20."""
    _, figure = left
    band = figure.axes[0].collections[1].get_paths()[0].vertices  # behind the dots of `time`
    assert (band[:, 0].min(), band[:, 0].max()) == pytest.approx((6, 20))
    at = band[np.isclose(band[:, 0], 6), 1]
    assert (at.min(), at.max()) == pytest.approx((7.5, 9))
    at = band[np.isclose(band[:, 0], 20), 1]
    assert (at.min(), at.max()) == pytest.approx((4, 5.5))


def test_accuracies_of_the_judge_come_first_where_every_row_has_one(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(report, "save", lambda figure, path: figures.append(figure))
    judged = {job: {**one, "judge_accuracy": 0.9} for job, one in runs().items()}
    write(Plan(CURVES, ("0.1", "1"), ("1", "8"), 2, (), tmp_path), judged, AXES)
    assert figures[0].axes[2].get_ylabel() == "judge accuracy"
    assert len(figures[0].axes) == 4


@pytest.mark.parametrize(
    ("words", "axes"),
    [
        (
            ["--config", "digits", "--data.target", "label"],
            (
                *("rate_bits", "rate_bits_best", "spikes_per_sample"),
                *("distortion_nats", "sample", ["counts"]),
            ),
        ),
        (
            ["--config", "predictive_coding", "--model.readout", "threshold"],
            (
                *("code_length_bits_per_step", "code_length_bits_best_per_step"),
                *("spikes_per_step", "nats_per_step", "step", []),
            ),
        ),
    ],
)
def test_axes_are_in_the_unit_of_the_task(words, axes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    curves = ["time", "counts"] if "label" in words else ["time"]
    asked = argparse.Namespace(
        name="x", betas=["0.1"], curves=curves, gains=["1"], seeds=1, anneal_epochs=2
    )
    plan, found = planned(asked, words)
    assert found == Axes(*axes)
    assert list(plan.curves) == curves
    assert list(Path().iterdir()) == []
    if "counts" in curves:  # one neuron a class, whatever the config has
        told = plan.curves["counts"]
        assert told[told.index("--model.num_readout") + 1] == "10"
