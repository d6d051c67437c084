"""`python -m vdib.information`, of a run and of spike trains of one's own."""

import json
import math

import numpy as np
import pytest
import tiny_runs
import torch

from vdib import fit
from vdib.figures.information import Measured, Panel, information
from vdib.information import __main__ as command
from vdib.information.told import entropy

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One of blobs, one of labels, and one without a likelihood."""
    folder = tmp_path_factory.mktemp("runs")
    quiet = ["--runs", str(folder), "--trainer.enable_progress_bar", "false", "--name", "r"]
    blobs = [
        *("--config", "predictive_coding", "--model.num_readout", "4", "--data.num_neurons", "6"),
        *("--data.num_steps", "12", "--data.unscored", "2", "--data.num_train", "320"),
        *("--data.num_validation", "40", "--data.num_test", "40", "--data.num_long", "0"),
        *("--model.reference", "false"),
    ]
    labels = [*tiny_runs.TINY, "--data.target", "label", "--trainer.max_epochs", "1"]
    assert fit.main([*quiet, *blobs]) == 0
    assert fit.main([*quiet, *labels]) == 0
    return {
        "blobs": folder / "predictive_coding" / "r",
        "labels": folder / "naturalise_digits" / "r",
    }


def sections(folder):
    content = json.loads((folder / "information.json").read_text())
    return content, {section["title"]: section for section in content["sections"]}


def test_a_run_of_simulated_inputs(runs, capsys):
    run = runs["blobs"]
    words = ["--num", "30", "--particles", "40", "--priors", "marginal", "--seed", "1"]
    assert command.main([str(run), *words]) == 0
    said = capsys.readouterr().out
    content, found = sections(run)
    whole = found["I(x -> y)"]
    rows = {row["name"]: row for row in whole["rows"]}
    above = [row["estimate"] for row in rows.values() if row["side"] == "above"]
    below = [row["estimate"] for row in rows.values() if row["side"] == "below"]
    assert len(above) == 4
    assert len(below) == 2
    assert max(below) < min(above)
    assert rows["multi-sample bound"]["estimate"] <= whole["ceiling"] + 1e-9
    assert whole["ceiling"] == pytest.approx(math.log2(30))
    low, high = whole["between"]
    assert low < max(below)
    assert min(above) < high
    # Together the parts of the lags are what a prior that sees the past charges, by the chain rule.
    lags = sum(row["estimate"] for row in found["split over lags"]["rows"])
    assert max(below) < lags < rows["prior marginal, fitted"]["estimate"]
    parts = {row["name"]: row["estimate"] for row in found["populations a and b"]["rows"]}
    assert parts["only a"] + parts["either"] == pytest.approx(parts["a alone"])
    assert {row["side"] for row in found["populations a and b"]["rows"]} == {"estimate"}
    # What is printed are the file's figures, per step, and how far a prior lies above.
    (line,) = (line for line in said.splitlines() if "prior marginal" in line)
    value = rows["prior marginal, fitted"]["estimate"]
    assert float(line.split("fitted")[1].split()[0]) == pytest.approx(value / 12, rel=1e-3)
    assert f"{value / max(below) - 1:+.1%}" in line
    assert "differences of bounds bound nothing" in said
    assert (run / "figures" / "information.png").stat().st_size > 10_000
    assert content["num_sequences"] == 30
    # The same seed says the same again.
    before = (run / "information.json").read_text()
    assert command.main([str(run), *words]) == 0
    assert (run / "information.json").read_text() == before


def test_populations_are_the_neurons_that_are_named(runs, capsys, tmp_path):
    """The second half named, a and b change places; a part of neurons is shown by its spans."""

    def parts(*words):
        out = tmp_path / "-".join(words or "_")
        few = ["--num", "20", "--particles", "8", "--priors", "--out", str(out)]
        assert command.main([str(runs["blobs"]), *few, *words]) == 0
        section = sections(out)[1]["populations a and b"]
        return {row["name"]: row["estimate"] for row in section["rows"]}, section["note"]

    halves, note = parts()
    assert note.startswith("a: neurons 0 to 1, b: the rest")
    swapped, note = parts("--population", "3", "2")
    assert note.startswith("a: neurons 2 to 3, b: the rest")
    for one, other in (("a", "b"), ("b", "a")):
        for what in ("{} alone", "only {}"):
            expected = pytest.approx(halves[what.format(one)])
            assert swapped[what.format(other)] == expected
    assert halves["a alone"] != pytest.approx(halves["b alone"], rel=1e-3)
    assert parts("--population", "0", "3", "2")[1].startswith("a: neurons 0, 2 to 3, b")
    capsys.readouterr()
    for some in ("4", "-1", "0 1 2 3", "1 1"):
        assert command.main([str(runs["blobs"]), "--population", *some.split()]) == 2
        line = f"--population: got {some}, expected some of the neurons 0 to 3, not all, each once"
        assert tiny_runs.said(capsys) == line


def test_a_run_of_labels(runs, capsys):
    assert command.main([str(runs["labels"]), "--num", "40", "--priors"]) == 0
    _, found = sections(runs["labels"])
    (row,) = found["I(y -> r)"]["rows"]
    assert row["side"] == "below"
    assert row["estimate"] < math.log2(10)
    assert found["I(x -> y)"]["ceiling"] == pytest.approx(math.log2(40))
    assert "split over lags" not in found  # of 784 inputs
    assert "bits/sample" in capsys.readouterr().out


def test_entropies_are_of_each_step():
    r = torch.tensor([[0, 2], [1, 2], [0, 2], [1, 2]])
    assert entropy(r, 3).tolist() == pytest.approx([math.log(2), 0])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "nowhere: no such folder, nor a run that ships: those are"),
        (["r", "--num", "3"], "--num: got 3, expected 10 or more"),
        (["r", "--folds", "3"], "--folds: of a .npz only"),
        (["own.npz", "--priors", "past"], "--priors: of a run only"),
        (["own.npz", "--out", "one.npy"], "one.npy is a file, expected a folder: name one with"),
        (["r", "--particles", "1"], "--particles: got 1, expected 2 or more"),
        (["r", "--priors", "pest"], "--priors: got 'pest', expected bernoulli, marginal, past"),
        (["none.npz"], "none.npz: no such file"),
        (["bad.npz"], "bad.npz is damaged, or no .npz of plain arrays"),
        (["one.npy"], "one.npy is damaged, or no .npz of plain arrays"),
        (["own.npz", "--y", "z"], "own.npz: has x, y, half, other, expected z: name it with"),
        (["own.npz", "--y", "half"], "own.npz: half holds other numbers than 0 and 1"),
        (["own.npz", "--y", "other"], "own.npz: x (20, 30, 2) and other (20, 29, 2), expected the"),
        (["own.npz", "--folds", "11"], "20 sequences for 11 --folds, expected 22 or more"),
    ],
)
def test_errors_are_one_line(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no archive")
    ones = np.ones((20, 30, 2))
    np.save("one.npy", ones)
    np.savez("own.npz", x=ones, y=ones, half=ones / 2, other=ones[:, 1:])
    assert command.main(words) == 2
    assert tiny_runs.said(capsys).startswith(line)


def recorded(count, num_steps, seed):
    """Neurons that follow the first two of three inputs a step later, and then rest."""
    generator = np.random.default_rng(seed)
    x = (generator.random((count, num_steps, 3)) < 0.3).astype(np.uint8)
    y = np.zeros((count, num_steps, 2), np.uint8)
    entropies = 0.0
    for t in range(1, num_steps):
        v = -2.0 + 4.0 * x[:, t - 1, :2] - 3.0 * y[:, t - 1]
        p = 1 / (1 + np.exp(-v))
        y[:, t] = generator.random((count, 2)) < p
        silent = 1 / (1 + np.exp(2.0 + 3.0 * y[:, t - 1]))  # the input is independent over time
        active = 1 / (1 + np.exp(-2.0 + 3.0 * y[:, t - 1]))
        q = 0.7 * silent + 0.3 * active
        entropies += (_entropy(q) - _entropy(p)).sum(1).mean()
    return x, y, entropies / num_steps


def _entropy(p):
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def test_spike_trains_of_ones_own(tmp_path, monkeypatch, capsys):
    """The marginal of y is a point process here, so that the estimate tends to the truth."""
    monkeypatch.chdir(tmp_path)
    x, y, truth = recorded(60, 60, 0)
    np.savez("mine.npz", stimulus=x, code=y)
    words = ["mine.npz", "--x", "stimulus", "--y", "code", "--folds", "3", "--memory", "6"]
    assert command.main(words) == 0
    content, found = sections(tmp_path / "mine_information")
    forward = {row["side"]: row for row in found["I(stimulus -> code)"]["rows"]}
    assert content["num_steps"] == 60
    assert forward["estimate"]["estimate"] / 60 == pytest.approx(truth, rel=0.1)
    assert forward["above"]["estimate"] > forward["estimate"]["estimate"]
    back = found["I(past code -> stimulus)"]["rows"][0]
    assert abs(back["estimate"] / 60) < 0.1 * truth
    both = found["I(stimulus; code)"]
    assert both["ceiling"] == pytest.approx(math.log2(20))  # of a fold
    assert both["rows"][1]["estimate"] <= both["ceiling"] + 1e-9
    assert both["rows"][1]["estimate"] > 0.9 * both["ceiling"]
    assert "an estimate" in capsys.readouterr().out
    # Of one long recording nothing is bounded from below.
    np.savez("long.npz", x=x.reshape(-1, 3), y=y.reshape(-1, 2))
    assert command.main(["long.npz", "--memory", "6", "--out", "there"]) == 0
    content, found = sections(tmp_path / "there")
    assert set(found) == {"I(x -> y)", "I(past y -> x)"}
    per_step = found["I(x -> y)"]["rows"][0]["estimate"] / content["num_steps"]
    assert per_step == pytest.approx(truth, rel=0.1)


def test_the_figure_shows_bounds_and_the_ceiling():
    rows = [Measured("a", "above", 3.0, 2.5, 3.5), Measured("b", "below", 1.0, 0.5, 1.25)]
    panel = Panel("I", rows, ceiling=2.0, between=(0.5, 3.5))
    figure = information([panel, Panel("parts", [Measured("c", "estimate", 0.1, 0, 1)])], "bits")
    first, second = figure.axes
    markers = {line.get_marker(): line for line in first.lines if line.get_marker() in ("<", ">")}
    assert markers["<"].get_xydata().tolist() == [[3.0, 0.0]]
    assert markers[">"].get_xydata().tolist() == [[1.0, 1.0]]
    (ceiling,) = (line for line in first.lines if line.get_linestyle() == "--")
    assert set(ceiling.get_xdata()) == {2.0}
    assert any("ceiling" in text.get_text() for text in first.texts)
    (shade,) = first.patches
    assert shade.get_extents().transformed(first.transData.inverted()).x0 == pytest.approx(0.5)
    spans = [list(line.get_xdata()) for line in first.lines if len(line.get_xdata()) == 2]
    assert [2.5, 3.5] in spans
    assert [0.5, 1.25] in spans
    assert [label.get_text() for label in first.get_yticklabels()] == ["a (above)", "b (below)"]
    assert not second.patches
