"""Trade-off curves: which runs there are, which are points, and what is left behind."""

import argparse
import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from vdib.figures.tradeoff import band, tradeoff
from vdib.runs.command import UserError
from vdib.tradeoff import __main__ as command
from vdib.tradeoff.curves import Job, Plan
from vdib.tradeoff.planning import planned

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TINY = [
    *("--data.target", "label", "--model.hidden", "[12]", "--data.num_steps", "6"),
    *("--model.num_readout", "8", "--figures_every", "-1", "--trainer.max_epochs", "1"),
    *("--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"),
    *("--trainer.limit_test_batches", "1", "--trainer.log_every_n_steps", "1"),
    *("--trainer.enable_progress_bar", "false", "--name", "one"),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def plan(**settings):
    curves = {"time": (), "frozen": ("--model.frozen_encoder", "true")}
    whole = {"curves": curves, "betas": ("0.1", "1"), "gains": ("1", "8"), "seeds": 2}
    return Plan(**{**whole, "common": ["--config", "digits"], "folder": Path("x"), **settings})


def test_a_run_for_each_point_and_seed_and_of_the_frozen_encoder_for_each_gain():
    made = plan()
    jobs = made.jobs()
    assert [path.name for path in jobs] == [
        *("time,beta=0.1,seed=0", "time,beta=1,seed=0"),
        *("frozen,gain=1,seed=0", "frozen,gain=8,seed=0"),
        *("time,beta=0.1,seed=1", "time,beta=1,seed=1"),
        *("frozen,gain=1,seed=1", "frozen,gain=8,seed=1"),
    ]
    told = {path.name: made.words(job) for path, job in jobs.items()}
    common = ["--config", "digits"]
    assert told["time,beta=1,seed=1"] == [*common, "--model.beta", "1", "--seed", "1"]
    frozen = ["--model.frozen_encoder", "true", "--model.encoder_gain", "8"]
    assert told["frozen,gain=8,seed=0"] == [*common, *frozen, "--model.beta", "0.1", "--seed", "0"]


def test_an_annealed_model_goes_through_the_betas_in_their_order():
    made = plan(curves={"time": (), "annealed": ()}, seeds=1, anneal_epochs=3)
    rounds = {path.name: made.round_of(job) for path, job in made.jobs().items()}
    assert rounds == {
        **{"time,beta=0.1,seed=0": 0, "time,beta=1,seed=0": 0},
        **{"annealed,beta=0.1,seed=0": 0, "annealed,beta=1,seed=0": 1},
    }
    told = {path.name: made.words(job) for path, job in made.jobs().items()}
    assert told["annealed,beta=0.1,seed=0"] == told["time,beta=0.1,seed=0"]
    assert told["annealed,beta=1,seed=0"] == [
        *told["time,beta=1,seed=0"],
        *("--model.init_from", str(Path("x", "annealed,beta=0.1,seed=0"))),
        *("--trainer.max_epochs", "3"),
    ]


def test_a_frozen_encoder_has_the_gain_that_costs_least_on_validation_data():
    """Gain 1 tells 10 bits at a distortion of 9 nats, gain 8 tells 20 at 4."""
    nat = math.log(2)
    runs = {}
    for gain, bits, nats in (("1", 10.0, 9.0), ("8", 20.0, 4.0)):
        for seed, off in ((0, -0.1), (1, 0.1)):
            runs[Job("frozen", "0.1", gain, seed)] = {
                "validation_rate_bits": bits,
                "validation_loss_nats": nats + off + 0.1 * bits * nat,
                "rate_bits": 2 * bits,
                "loss_nats": 100.0 / float(gain) + 0.1 * 2 * bits * nat,
                "seed": seed,
            }
    # distortion + beta rate: they are equal where beta 10 bits are 5 nats, at 0.72.
    for beta, gain in (("0.1", "8"), ("0.7", "8"), ("0.75", "1"), ("3", "1")):
        points = plan(betas=(beta,)).points(runs, "rate_bits")
        assert [(row["curve"], row["beta"], row["gain"]) for row in points] == [
            ("frozen", beta, gain)
        ] * 2
        # Losses are of the row's beta: test figures, which would have chosen otherwise, and others.
        bits, nats = (10, 9) if gain == "1" else (20, 4)
        for row, off in zip(points, (-0.1, 0.1), strict=True):
            test = 100 / float(gain) + float(beta) * 2 * bits * nat
            assert row["loss_nats"] == pytest.approx(test)
            validation = nats + off + float(beta) * bits * nat
            assert row["validation_loss_nats"] == pytest.approx(validation)


def test_points_hold_their_own_beta():
    runs = {
        Job("time", beta, None, seed): {"seed": seed, "loss_nats": float(beta) + seed}
        for beta in ("0.1", "1")
        for seed in (0, 1)
    }
    points = plan(gains=()).points(runs, "rate_bits")
    assert [(row["beta"], row["seed"], row["loss_nats"]) for row in points] == [
        *(("0.1", 0, 0.1), ("0.1", 1, 1.1), ("1", 0, 1.0), ("1", 1, 2.0))
    ]


def rows(curve="time", key="nats"):
    """Two seeds: y = 10 - x over 1 to 4, and y = 12 - x over 2 to 8."""
    values = [(0, 1, 9), (0, 4, 6), (1, 2, 10), (1, 8, 4)]
    return [
        {"curve": curve, "beta": str(i % 2), "seed": seed, "bits": x, key: y}
        for i, (seed, x, y) in enumerate(values)
    ]


def test_a_band_is_where_all_seeds_reach():
    grid, low, high = band(rows(), "bits", "nats", False)
    assert (grid[0], grid[-1]) == pytest.approx((2, 4))
    np.testing.assert_allclose(low, 10 - grid)
    np.testing.assert_allclose(high, 12 - grid)
    for few in (rows()[:2], [row for row in rows() if row["bits"] in (1, 8)]):
        assert all(len(part) == 0 for part in band(few, "bits", "nats", False))
    grid, low, high = band(rows(), "bits", "nats", True)
    np.testing.assert_allclose(low, 9 - 3 * np.log(grid) / np.log(4))
    np.testing.assert_allclose(high, 10 - 6 * np.log(grid / 2) / np.log(4))


def test_curves_go_through_means_and_densities_stay_apart():
    both = [*rows("time"), *rows("counts")]
    figure = tradeoff(both, {"bits": "bits"}, {"nats": "nats", "beta": "b"}, {"nats": ["counts"]})
    above, below = figure.axes
    assert (above.get_xlabel(), below.get_xlabel(), below.get_ylabel()) == ("", "bits", "b")
    (line,) = above.get_lines()
    assert line.get_label() == "time"
    np.testing.assert_allclose(line.get_xydata(), [[1.5, 9.5], [6, 5]])
    assert [line.get_label() for line in below.get_lines()] == ["time", "counts"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["time", "counts"]


def test_ticks_of_a_logarithm_are_plain_numbers():
    wide = [{**row, "bits": 10 * row["bits"] ** 2} for row in rows()]
    figure = tradeoff(wide, {"bits": "bits"}, {"nats": "nats"}, {})
    figure.canvas.draw()
    (axes,) = figure.axes
    told = [text.get_text() for text in axes.get_xticklabels()]
    assert {"10", "20", "50", "100", "200", "500"} <= set(told)
    assert not [word for word in told if not word.isdecimal()]
    assert not [text for text in axes.get_xticklabels(minor=True) if text.get_text()]


WRONG = {
    "--betas 0": "--betas: got 0, expected numbers above 0",
    "--betas 1 1.0": "--betas: expected distinct numbers",
    "--gains wide": "--gains: got wide, expected numbers above 0",
    "--seeds 0": "--seeds: got 0, expected at least 1",
    "--anneal_epochs 0": "--anneal_epochs: got 0, expected at least 1",
    "--curves tme": "--curves: got tme, expected some of time, annealed, rate, frozen, counts",
    "--model.windw full": "--model.windw: no such setting",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_is_one_line(words, capsys):
    assert command.main([*TINY, *words.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vdib: {WRONG[words]}")
    assert list(Path().iterdir()) == []


def test_what_a_config_cannot_have_is_left_out_unless_it_is_asked_for(capsys):
    asked = argparse.Namespace(
        name="n", betas=["0.1"], curves=None, gains=["1", "2"], seeds=1, anneal_epochs=1
    )
    made, _ = planned(asked, ["--config", "lif_mnist"])
    assert {"time", "rate", "counts", "membrane"} <= set(made.curves)
    assert not {"frozen", "first_spike"} & set(made.curves)
    assert made.gains == ()
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in told] == [" no curve frozen", " no curve first_spike"]
    asked.curves = ["time", "frozen"]
    with pytest.raises(UserError, match="encoder_gain: weights that are not calibrated have none"):
        planned(asked, ["--config", "lif_mnist"])


def test_runs_become_a_table_and_a_figure_and_are_not_run_again(capsys):
    words = [*TINY, "--curves", "time", "frozen", "counts", "--betas", "0.01", "--gains", "4"]
    assert command.main(words) == 0
    folder = Path("runs", "naturalise_digits", "one")
    told = capsys.readouterr().out
    assert "3 runs in" in told
    assert f"wrote {folder / 'tradeoff.png'}" in told
    assert (folder / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    names = ["time,beta=0.01,seed=0", "frozen,gain=4,seed=0", "counts,beta=0.01,seed=0"]
    with (folder / "tradeoff.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["curve"] for row in table] == ["time", "frozen", "counts"]
    for row, name in zip(table, names, strict=True):
        summary = json.loads((folder / name / "summary.json").read_text())
        for key in ("class_accuracy", "rate_bits", "rate_bits_best", "spikes_per_sample"):
            assert float(row[key]) == pytest.approx(summary[key])
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*/summary.json")}
    assert len(written) == 3
    assert command.main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/summary.json")} == written
    capsys.readouterr()
    for other in (
        [*TINY, "--curves", "time", "frozen", "--betas", "0.01", "--gains", "4"],
        [*words, "--model.prior", "marginal"],
    ):
        assert command.main(other) == 2
        said = f"{folder} holds a trade-off of other words, or of more curves or numbers, which"
        assert capsys.readouterr().err.startswith(f"vdib: {said}")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/summary.json")} == written
    words[words.index("--betas") : words.index("--gains")] = ["--betas", "0.01", "0.1"]
    assert command.main(words) == 0  # more of it
    with (folder / "tradeoff.csv").open(newline="") as file:
        assert [row["beta"] for row in csv.DictReader(file)] == ["0.01", "0.1"] * 3


def test_an_annealed_run_begins_with_the_weights_of_the_one_before(capsys):
    words = [*TINY, "--curves", "annealed", "--betas", "0.01", "1", "--anneal_epochs", "1"]
    assert command.main(words) == 0
    folder = Path("runs", "naturalise_digits", "one")
    told = (folder / "annealed,beta=1,seed=0" / "config.yaml").read_text()
    assert f"init_from: {folder / 'annealed,beta=0.01,seed=0'}" in told
    with (folder / "tradeoff.csv").open(newline="") as file:
        assert [row["beta"] for row in csv.DictReader(file)] == ["0.01", "1"]
