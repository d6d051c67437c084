"""The scripts that make published tables, on runs that are pretended or tiny."""

import csv
import importlib
import importlib.util
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vdib.datasets.digits import Digits
from vdib.metrics import wilson_interval

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch, tmp_path):
    """A script of benchmarks/ as a module, in an empty folder."""
    if not BENCHMARKS.is_dir():
        pytest.skip("an installed package has no benchmarks")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def load(name):
        if not Path(__file__).with_name(f"{name}.py").is_file():  # a helper of the tests' own
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(f"{name}.py", BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look there
        spec.loader.exec_module(module)
        return module

    yield load
    for name in set(sys.modules) - before:
        if (BENCHMARKS / f"{name.removesuffix('.py')}.py").is_file():
            del sys.modules[name]


def setting(args, name, default):
    return args[args.index(f"--{name}") + 1] if f"--{name}" in args else default


def pretended(asked):
    """In the place of `sweep`: losses that follow from what a run is told."""

    def sweep(jobs, workers):
        found = {}
        for folder, args in jobs.items():
            asked.append((folder.name, list(args)))
            gain = float(setting(args, "model.encoder_gain", "1"))
            frozen = setting(args, "model.frozen_encoder", "false") == "true"
            window = {"rate": 3.0, "full": 1.0, "basis": 2.0}
            seed = float(setting(args, "seed", "0"))
            loss = 100 + window[setting(args, "model.window", "full")] + seed
            # Another estimator wants the smaller learning rate.
            small, other = (f"--model.{key}" in args for key in ("encoder_lr", "estimator"))
            small = small and setting(args, "model.encoder_lr", "") == "0.0005"
            found[folder] = {
                "name": folder.name,
                "loss_nats": loss + 50 * frozen,
                # On test data a gain of 16 would be best, on validation data 4 is.
                "validation_loss_nats": loss + frozen * (50 + abs(gain - 4)) + (small != other),
                "distortion_nats": loss - gain,
                "rate_bits": 10.0,
                "rate_bits_best": 5.0,
                "spikes_per_sample": 7.0,
                "judge_accuracy": 0.5 + 0.01 * seed,
                "ssim": 0.25,
                "test_samples": 500,
            }
        return found

    return sweep


def rows_of(printed):
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line[:1] == "|"]
    return [line for line in lines if line[0] != "---"]


def test_the_table_of_decoders(script, monkeypatch, capsys):
    table, frozen = script("naturalisation_table"), script("frozen")
    asked = []
    for module in (table, frozen):
        monkeypatch.setattr(module, "sweep", pretended(asked))
    table.main(["--seeds", "2", "--out", "table.csv"])
    printed = rows_of(capsys.readouterr().out)
    verdicts = [row for row in printed if len(row) == 7 and row[0] in ("time", "rate")]
    assert len(verdicts) == 6
    for row in verdicts:  # full is best of the two on validation data; 2 nats below rate decoding
        assert row[2:] == ["full", "2.0 ± 0.0", *["50.0 ± 0.0"] * 3]
    cells = [row for row in printed if len(row) == 11 and row[0] != "decoder"]
    assert len(cells) == 36
    low, high = wilson_interval(round(0.505 * 500), 500)
    for row in cells:
        assert row[2] in ("trained", "frozen, gain 4")
        assert row[9] == f"0.505 ± 0.007 [{low:.3f}, {high:.3f}]"
    assert [row[3] for row in cells if row[:3] == ["mlp", "rate", "trained"]] == ["103.5 ± 0.7"] * 2
    # What was trained, and with what: each cell under each seed, frozen ones with the chosen gain.
    with Path("table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72
    assert {(row["frozen"], row["gain"]) for row in rows} == {("False", "1"), ("True", "4")}
    for name, args in asked:
        assert setting(args, "data.coding", "") == name.split("-")[0]
        assert setting(args, "seed", "") == name.split("-")[-1]
        is_frozen = setting(args, "model.frozen_encoder", "false")
        assert is_frozen == name.split("-")[3].lower()


def test_the_table_of_estimators(script, monkeypatch, capsys):
    estimators, frozen = script("estimators"), script("frozen")
    asked = []
    for module in (estimators, frozen):
        monkeypatch.setattr(module, "sweep", pretended(asked))
    monkeypatch.setattr(estimators, "validation_losses", lambda folder: [3.0] * 10)
    estimators.main(["--seeds", "2", "--out", "figure.png"])
    printed = capsys.readouterr().out
    digits, other = Digits("train").all().image, Digits("validation").all().image
    mean = digits.double().mean(0).clamp(1e-4, 1 - 1e-4).numpy()
    nats = -(other.numpy() * np.log(mean) + (1 - other.numpy()) * np.log(1 - mean)).sum((1, 2))
    assert f"best constant image: {nats.mean():.1f} nats" in printed
    rows = {row[0]: row[1:] for row in rows_of(printed)}
    figures = ["101.5 ± 0.7", "101.5 ± 0.7", "10 ± 0", "0.505 ± 0.007"]
    assert rows["score function"] == ["0.0005", *figures]
    assert rows["straight-through (default)"] == ["0.002", *figures]
    assert rows["frozen encoder"][:3] == ["gain 4", "151.5 ± 0.7", "151.5 ± 0.7"]
    assert len(rows) == len(estimators.RULES) + 2
    last = [args for name, args in asked if name.endswith(", 1")]
    assert len(last) == len(estimators.RULES) + 1
    assert {setting(args, "seed", "") for args in last} == {"1"}
    assert setting(last[-1], "model.encoder_gain", "") == "4"
    for rule, args in zip(estimators.RULES, last, strict=False):
        assert all(word in args for word in estimators.RULES[rule])
        assert setting(args, "model.encoder_lr", "") == rows[rule][0]


def write_sweep(name, rows):
    folder = Path("runs", "predictive_coding", name)
    folder.mkdir(parents=True)
    with (folder / "sweep.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_tables_of_prediction(script, capsys):
    prediction = script("predictive_coding")

    def row(lag, window, seed, nats, **more):
        return {
            "lag": lag, "window": window, "seed": seed, "nats_per_step": nats, "mse": 0.1,
            "rate_bits_per_step": 2, "rate_bits_best_per_step": 1, "loss_nats": nats + 1,
            "dead_neurons": seed,
            "reference_nats_per_step": 0.5, "marginal_nats_per_step": 5, "spikes_per_step": 3,
            **more,
        }  # fmt: skip

    pairs = [(lag, window) for lag in (0, 2) for window in ("full", "rate")]
    ends = [row(*pair, seed, 1 + seed) for pair in pairs for seed in (0, 1)]
    write_sweep("ends", ends)
    # Gain 16 has the lower test figure, gain 8 the lower mean validation loss.
    gains = {1: (3, 3, 9), 8: (2, 1, 4), 16: (1.5, 2.5, 1)}
    frozen = []
    for pair, (gain, (*losses, nats)), seed in itertools.product(pairs, gains.items(), (0, 1)):
        more = {"model.encoder_gain": gain, "validation_loss_nats": losses[seed]}
        frozen.append(row(*pair, seed, nats, **more))
    write_sweep("frozen", frozen)
    write_sweep("betas", [row(2, w, 0, 2, **{"model.beta": 0.1}) for w in ("full", "rate")])
    prediction.main(["--out", "."])
    rows = rows_of(capsys.readouterr().out)
    (first,) = (r for r in rows if r[:3] == ["0", "window", "trained"])
    assert first[3:6] == ["1.500 ± 0.707", "0.1000 ± 0.0000", "2.500 ± 0.707"]
    assert first[6:10] == ["2.00 ± 0.00", "1.00 ± 0.00", "0, 1", "0.500"]
    (still,) = (r for r in rows if r[:2] == ["2", "rate"] and r[2].startswith("frozen"))
    assert still[2:4] == ["frozen, gain 8", "4.000 ± 0.000"]
    (plane,) = (r for r in rows if r[:2] == ["rate", "0.1"])
    assert plane[2:5] == ["2.000", "1.00", f"{3 / np.log(2):.2f}"]  # (5 - 2) nats in bits
    assert {path.name for path in Path().glob("*.png")} == {
        "error_against_lag.png", "information_plane.png"
    }  # fmt: skip


def test_the_tables_of_recordings(script, monkeypatch, capsys):
    """Each real recording is judged under a run that neither trained nor chose on it."""
    recordings = script("recordings")
    jobs, looked = {}, []

    class Split:
        def __init__(self, split, fold=None):
            self.split, self.fold = split, fold

    def naturalised(run, some, dt_ms=None):
        looked.append((run.name, some.split, some.fold))
        right = np.arange(1000) >= 450 if some.split is None else np.full(200, some.fold != 0)
        return recordings.Score(np.zeros(len(right), int), right, right * 0.5)

    monkeypatch.setattr(recordings, "sweep", lambda some, workers: jobs.update(some))
    monkeypatch.setattr(recordings, "NMNIST", Split)
    monkeypatch.setattr(recordings, "naturalised", naturalised)
    still = recordings.Score(np.zeros(1000, int), np.arange(1000) % 2 == 0, np.zeros(1000))
    monkeypatch.setattr(recordings, "pictured", lambda some, picture: still)
    recordings.nmnist(Path("runs"), 2, 1)
    rows = [row for row in rows_of(capsys.readouterr().out) if len(row) == 4]
    assert rows[1][0] == "simulation only, recordings 901 to 1,000"
    assert rows[1][2] == "1.000 ± 0.000 [0.963, 1.000]"
    assert rows[2][2].startswith("0.550 ± 0.000 [")
    assert rows[5][0] == "simulation, then the other four fifths"
    assert rows[5][2].startswith("0.800 ± 0.000 [")
    for name, split, fold in looked:
        told = {folder.name: args for folder, args in jobs.items()}[name]
        if split is None:
            assert "real" not in name
            assert setting(told, "data.recordings", "") == "simulated"
        else:
            assert split == "test"
            assert setting(told, "data.fold", "") == str(fold)
            begun = Path(setting(told, "model.init_from", ""))
            assert begun in jobs
            window, seed = name.split("-")[2:4]
            assert begun.name == f"nmnist-simulated-{window}-{seed}"


def test_the_table_of_the_default_now(script, monkeypatch, capsys):
    recordings = script("recordings")

    def sweep(jobs, workers):
        assert [setting(told, "seed", "") for told in jobs.values()] == ["0", "1"]
        assert {setting(told, "data.recordings", "") for told in jobs.values()} == {"simulated"}
        bits = dict(zip(jobs, (300.0, 320.0), strict=True))
        return {run: {"rate_bits": bits[run], "spikes_per_sample": 9, "judge_accuracy": 0.5}
                for run in jobs}  # fmt: skip

    def naturalised(run, some):
        right = np.arange(1000) >= (850 if run.name == "now-nmnist-0" else 950)
        return recordings.Score(np.zeros(1000, int), right, right * 0.5)

    monkeypatch.setattr(recordings, "sweep", sweep)
    monkeypatch.setattr(recordings, "NMNIST", lambda split: split)
    monkeypatch.setattr(recordings, "naturalised", naturalised)
    recordings.now(Path("runs"), 2, 1)
    out = capsys.readouterr().out
    assert "| 901 to 1,000 | 0.750 ± 0.354 [0.657, 0.825] | 0.375 ± 0.177 |" in out
    assert "| all; 1 to 900 fitted the camera | 0.100 ± 0.071 [" in out
    assert "rate_bits, simulated test recordings: 310 ± 14" in out


def test_scores_of_images(script):
    recordings = script("recordings")
    batch = Digits("test").all()
    images, labels = batch.image[:50], batch.label[:50]
    score = recordings.score(images, images.flip(0), labels)
    assert score.right.sum() >= 48
    assert (score.judged == labels.numpy()).tolist() == score.right.tolist()
    assert score.ssim.mean() < 0.5
    both = recordings.joined([score, recordings.score(images.flip(0), images.flip(0), labels)])
    assert len(both.right) == 100
    assert both.ssim[50:].mean() == pytest.approx(1)


def test_sweeps_keep_what_is_finished(script, monkeypatch):
    sweeping = script("sweep")

    class Here:  # in the place of processes
        def __init__(self, *args, **how): ...
        def __enter__(self):
            return self

        def __exit__(self, *error): ...
        def submit(self, function, *args):
            from concurrent.futures import Future

            done = Future()
            done.set_result(function(*args))
            return done

    ran = []

    def main(args):
        ran.append(args)
        folder = Path(*(setting(args, part, "") for part in ("runs", "experiment", "name")))
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps({"x": len(ran)}))
        return 0

    monkeypatch.setattr(sweeping, "ProcessPoolExecutor", Here)
    monkeypatch.setattr("vdib.fit.main", main)
    jobs = {Path("runs", "e", "a"): ["--seed", "0"], Path("runs", "e", "b"): ["--seed", "1"]}
    assert [s["x"] for s in sweeping.sweep(jobs, 1).values()] == [1, 2]
    jobs[Path("runs", "e", "b")] = ["--seed", "2"]  # told otherwise: made again
    assert [s["x"] for s in sweeping.sweep(jobs, 1).values()] == [1, 3]
    assert ran[-1][:2] == ["--seed", "2"]


def test_frozen_encoders_of_a_gain_are_built(script):
    """The words that the tables use are those of the command line."""
    from tiny_runs import TINY

    from vdib.runs.cli import build

    model = build([*TINY, *script("frozen").frozen(8)]).model
    assert model.encoder_gain == 8
    assert not any(weight.requires_grad for weight in model.vdib.encoder.parameters())


def test_the_linear_reference_adds_up_what_each_past_blob_says(script, monkeypatch, capsys):
    linear = script("linear_reference")
    model = linear.HistoryLinear(6, torch.tensor([0.3, -1.0, 0.2]))
    torch.nn.init.normal_(model.map.weight)
    history = torch.randint(6, (5, linear.reference.HISTORY, 2))
    wanted = torch.tensor([[0.3, -1.0, 0.2]]).repeat(5, 1)
    for row, bins in enumerate(history):
        for lag, seen in enumerate(bins.tolist()):
            for bin in seen:
                wanted[row] += model.map.weight[6 * lag + bin].detach()
    torch.testing.assert_close(model(history), wanted)
    monkeypatch.setattr(linear, "RATES", (1e-9, 0.05))
    monkeypatch.setattr(sys, "argv", ["linear_reference.py", "--lag", "0", "--num_train", "400"])
    linear.main()
    *tried, chosen = capsys.readouterr().out.splitlines()
    constant, fitted = (float(line.split()[2]) for line in tried)
    assert fitted < constant - 1
    assert chosen.endswith("at a rate of 0.05")
