"""The scripts that make tables of the source systems: what chooses a run, and what is printed."""

import json
import sys

import pytest
from test_benchmarks import script as script
from test_benchmarks import setting

from vdib.metrics import wilson_interval

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def run(accuracy, validation, spikes, hidden, test_spikes=0.0):
    return {
        "class_accuracy": accuracy,
        "validation_class_accuracy": validation,
        "validation_spikes_per_sample": spikes,
        "validation_hidden_spikes_per_sample": hidden,
        "spikes_per_sample": test_spikes,
        "hidden_spikes_per_sample": 1.0,
        "rate_bits": 8.0,
        "decision_step": 4.0,
        "test_samples": 100,
    }


def test_a_budget_of_spikes_is_kept_and_chosen_by_on_validation_data(script):
    decoding = script("decoding")
    best, frugal = run(0.5, 0.9, 20, 9), run(0.8, 0.7, 6, 3)
    loud = run(0.99, 0.95, 20, 11, test_spikes=1.0)  # quiet on test data, not on validation data
    runs = [best, frugal, loud]
    assert decoding.within(runs, 30) is best  # by validation accuracy: frugal's test one is higher
    assert decoding.within(runs, 10) is frugal
    assert decoding.within(runs, 5) is None
    table = {"0": [loud, loud], "0.1": [best, best], "0.3": [frugal, run(0.6, 0.7, 6, 3)]}
    row = decoding.row(decoding.Cell("digits", "lif", "counts"), table)
    low, high = wilson_interval(99, 100)
    assert row[:3] == ["lif", "counts", f"0.990 ± 0.000 [{low:.3f}, {high:.3f}]"]
    assert row[3:] == ["2 ± 0", "8 ± 0", "4.0 ± 0.0", *("0.700 ± 0.141", "0.500 ± 0.000"),
                       "0.990 ± 0.000"]  # fmt: skip


def test_a_cell_is_run_on_its_own_fold_and_with_its_price(script, tmp_path):
    cell = script("decoding").Cell("nmnist", "plif", "first spike")
    folder, args = cell.run(tmp_path, "0.002", "0.03", 2)
    assert folder.name == "nmnist-plif-first-spike-lr0.002-w0.03-2"
    assert setting(args, "data.fold", "") == setting(args, "seed", "") == "2"
    assert setting(args, "model.penalties", "") == "{hidden_spikes: 0.03, readout_spikes: 0.03}"
    assert "--model.penalties" not in cell.run(tmp_path, "0.002", "0", 2)[1]


def test_slayers_folds_are_ten_and_their_mean_is_printed(script, monkeypatch, tmp_path):
    slayer, asked = script("slayer"), {}

    def sweep(jobs, workers):
        asked.update(jobs)
        found = {}
        for folder, args in jobs.items():
            fold = int(setting(args, "data.fold", "0"))
            found[folder] = {**run(0.9 + 0.01 * fold, 0, 0, 0, 150.0), "train_seconds": 60.0 * fold}
        return found

    monkeypatch.setattr(slayer, "sweep", sweep)
    printed = slayer.row("shifted", slayer.folds("shifted", tmp_path, 0, 1))
    assert [setting(args, "data.fold", "") for args in asked.values()] == [*map(str, range(10))]
    low, high = wilson_interval(945, 1000)
    assert f"0.945 ± 0.030 [{low:.3f}, {high:.3f}] | 1000 | 150 + 1 | 4.5 |" in printed


def test_learning_rates_of_sequences_are_chosen_on_validation_data(script, monkeypatch, tmp_path):
    sequences = script("sequences")

    def sweep(jobs, workers):
        found = {}
        for folder, args in jobs.items():
            lr = float(setting(args, "model.lr", "0"))
            # On test data 0.01 would be best, on validation data 0.005 is.
            found[folder] = {"validation_loss_nats": abs(lr - 0.005), "class_accuracy": lr}
        return found

    monkeypatch.setattr(sequences, "sweep", sweep)
    table = sequences.Table(tmp_path, 3, 1)
    for name in ("speech", "speech-theo"):  # whose speaker takes the settings of the clean split
        for neuron in sequences.NEURONS:
            assert table.rate(name, neuron) == 0.005
            assert [found["class_accuracy"] for found in table.of(name, neuron)] == [0.005] * 3


def test_a_technique_is_compared_seed_by_seed_with_the_baseline_of_its_network(
    script, monkeypatch, tmp_path, capsys
):
    ablation = script("ablation")

    def finished(name, seed, accuracy, operations=2_000.0, **more):
        args = ablation.arguments("direct", ablation.ROWS[name], seed)
        assert setting(args, "data.fold", "") == setting(args, "seed", "") == str(seed)
        figures = {**run(accuracy, 0, 0, 0, 40.0), "synops": operations, **more}
        folder = tmp_path / "ablation" / f"direct-{name}-{seed}"
        folder.mkdir(parents=True)
        for file, what in [("arguments", args), ("summary", figures), ("cpu_seconds", 30.0)]:
            (folder / f"{file}.json").write_text(json.dumps(what))
        return folder

    for seed, (dense, norm, conv, residual) in enumerate(
        [(0.8, 0.9, 0.5, 0.6), (0.6, 0.8, 0.7, 0.6)]
    ):
        finished("dense", seed, dense)
        finished("norm", seed, norm, 5_000.0 + 2_000 * seed)
        finished("prune", seed, dense, 400.0, unpruned_synops=2_000.0)
        finished("conv", seed, conv)
        finished("conv_add", seed, residual)
        folder = finished("delays", seed, 0.1)
    (folder / "arguments.json").write_text("[]")  # of other settings: no row
    words = ["ablation.py", "--table", "--bases", "direct", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", [*words, "--runs", str(tmp_path)])
    ablation.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[:3] for row in cells] == [
        ["**200 hidden neurons**", "0.700 ± 0.141", ""],
        ["batch norm (tdBN)", "0.850 ± 0.071", "+0.150 ± 0.071"],
        ["80 % of the weights pruned", "0.700 ± 0.141", "+0.000 ± 0.000"],
        ["**6 channels, 64 hidden neurons**", "0.600 ± 0.141", ""],
        ["residual block, ADD", "0.600 ± 0.000", "+0.000 ± 0.141"],
    ]
    assert cells[1][3:] == ["1 ± 0", "40 ± 0", "6 ± 1", "30 ± 0"]
    assert cells[2][5] == "0 ± 0 (unpruned: 2)"
