"""The commands end to end: run folders, resuming, seeds, and one line for every mistake.

Runs are as small as they get (3 batches an epoch, 20-8 neurons, 6 steps), in a folder that is not
the checkout.
"""

import math
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tiny_runs import SIZES, TINY, rows, run, said, same, summary, weights

import vdib
from vdib import evaluate, fit
from vdib.figures.curves import rate_distortion
from vdib.lightning_modules import choices
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.runs.cli import build
from vdib.signal import Image

# Lightning calls what jsonargparse, and tensorboard what numpy, has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CHECKOUT = Path(vdib.__file__).parents[1]
KEYS = {
    *("experiment", "name", "seed", "judge_accuracy", "distortion_nats", "rate_bits"),
    *("rate_bits_marginal", "spikes_per_sample", "hidden_rate", "readout_rate", "ssim", "synops"),
    *("dead_neurons", "train_seconds"),
}
FIGURES = {"naturalised", "raster", "rate_distortion", "code_tsne"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in an empty folder, and hears Ctrl-C even where a script started pytest."""
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def plain_tsne(monkeypatch):
    """The t-SNE takes seconds and is tested elsewhere: two features in its place."""
    monkeypatch.setattr("vdib.figures.codes._embed", lambda points, *how: points[:, :2])


# --- a run and its folder ---------------------------------------------------------------------


def test_a_run_leaves_a_folder_that_evaluate_reproduces(capsys, monkeypatch):
    args = ["--name", "one", "--trainer.max_epochs", "2", "--seed", "7"]
    assert fit.main([*SIZES, "--figures_every", "0", *args]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    folder = Path("runs", "naturalise_digits", "one")
    assert told.out.splitlines()[0].startswith(f"vdib: training in {folder}, precision ")
    assert told.out.splitlines()[-1].split() == ["run", str(folder)]

    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    figures = {os.path.join("figures", f"{name}.png") for name in FIGURES}
    kept = {os.path.join("checkpoints", f"{name}.ckpt") for name in ("last", "best")}
    assert written == {"config.yaml", "metrics.csv", "summary.json", *kept, *figures}
    assert all((folder / name).stat().st_size > 1000 for name in figures)

    found = summary(folder)
    assert found.keys() >= KEYS
    assert {name: found[name] for name in ("experiment", "name", "seed")} == {
        "experiment": "naturalise_digits",
        "name": "one",
        "seed": 7,
    }
    numbers = [value for value in found.values() if not isinstance(value, str)]
    assert all(math.isfinite(value) for value in numbers)  # a dict or a list would raise

    # one row per training batch (epochs 0 and 1, 3 each), one per validation, one of the test
    assert [(row["epoch"], row["step"]) for row in rows(folder)] == [
        *(("0", step) for step in "0122"),
        *(("1", step) for step in "3455"),
        ("2", "6"),
    ]

    before = {name: (folder / name).read_bytes() for name in ("summary.json", "metrics.csv")}
    shutil.rmtree(folder / "figures")
    moved = Path("moved")
    folder.rename(moved)
    (moved / "summary.json").unlink()
    monkeypatch.setattr("vdib.figures.codes._embed", lambda points, *how: points[:, :2])
    assert evaluate.main([str(moved)]) == 0
    assert {name: (moved / name).read_bytes() for name in before} == before
    assert {path.stem for path in (moved / "figures").iterdir()} == FIGURES
    assert not Path("runs", "naturalise_digits", "one").exists()
    table = capsys.readouterr().out
    assert table.splitlines()[0] == "naturalise_digits, seed 7"
    assert f"{found['distortion_nats']:.4g}" in table


def test_last_is_the_last_epoch_and_best_the_best(monkeypatch):
    train = NaturalisationModule.training_step

    def spoil(module, batch, batch_idx):
        """The first epoch ends as if training went badly, the second with bad weights."""
        bias = module.vdib.decoder.head.bias.data
        wrong = 2 * (batch_idx == module.trainer.num_training_batches - 1)
        first = module.current_epoch == 0
        bias += wrong * first
        loss = train(module, batch, batch_idx)
        bias += -wrong if first else wrong
        return loss

    monkeypatch.setattr(NaturalisationModule, "training_step", spoil)
    drawn = []

    def spy(bits, nats, epochs, *rest):
        drawn.append(epochs.tolist())
        return rate_distortion(bits, nats, epochs, *rest)

    monkeypatch.setattr("vdib.lightning_modules.callbacks.rate_distortion", spy)
    folder = run("spoilt", "--figures_every", "0", epochs=2)
    first, second = (float(row["val/loss"]) for row in rows(folder) if row["val/loss"])
    assert first < second
    assert drawn == [[1, 2]]  # the figure shows every epoch, not only those up to the best
    assert summary(folder)["validation_loss_nats"] == pytest.approx(first, rel=1e-6)
    assert not same(weights(folder, "best"), weights(folder, "last"))
    before = summary(folder)
    assert evaluate.main([str(folder)]) == 0
    assert summary(folder) == before


def test_a_run_is_never_overwritten(capsys):
    folder = run("mine")
    other = run("other", "--seed", "1")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    elsewhere = str(other / "checkpoints" / "last.ckpt")
    for args in ([], ["--ckpt_path", elsewhere]):
        run("mine", *args, status=2)
        line = said(capsys)
        assert f"{folder} exists: choose another --name" in line
        assert "--experiment naturalise_digits --name mine --ckpt_path last" in line
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_evaluate_wants_a_finished_run(capsys):
    assert evaluate.main(["nowhere"]) == 2
    assert "nowhere: no such folder, nor a run that ships" in said(capsys)
    for args in ([], ["a", "b"], ["--figures"]):
        assert evaluate.main(args) == 2
    assert evaluate.main(["--help"]) == 0
    assert "usage: python -m vdib.evaluate [-h]" in capsys.readouterr().out


# --- seeds ------------------------------------------------------------------------------------


def test_same_seed_same_run():
    first = run("first", "--seed", "3")
    again = run("again", "--seed", "3", "--data.coding", "time")
    other = run("other", "--seed", "4")
    assert same(weights(first), weights(again))
    left, right = summary(first), summary(again)
    for name in ("name", "train_seconds"):
        del left[name], right[name]
    assert left == right
    assert rows(first) == rows(again)
    assert not same(weights(first), weights(other))


# --- resuming ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [0, 2], ids=["between epochs", "within an epoch"])
def test_a_resumed_run_ends_as_if_uninterrupted(monkeypatch, capsys, batch):
    # `score`, because its baseline is state; settings of its own, which a resume has to keep
    own = ["--model.estimator", "score", "--data.coding", "rate", "--model.beta", "0.3"]
    whole = run("whole", *own, "--seed", "5", epochs=2)
    train = NaturalisationModule.training_step

    def stop(module, inputs, batch_idx):
        if module.current_epoch == 1 and batch_idx == batch:
            signal.raise_signal(signal.SIGINT)
        return train(module, inputs, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(NaturalisationModule, "training_step", stop)
        broken = run("broken", *own, "--seed", "5", epochs=2, status=130)
    assert not (broken / "summary.json").exists()
    line = said(capsys)
    assert line.startswith("interrupted; go on with ")
    assert fit.main(line.split(" with ")[1].split()) == 0

    assert same(weights(whole), weights(broken))
    optimiser = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"]
        for folder in (whole, broken)
    ]
    moments = [state[0]["state"] for state in optimiser]
    assert moments[0].keys() == moments[1].keys()
    assert all(same(moments[0][index], moments[1][index]) for index in moments[0])
    assert (whole / "metrics.csv").read_text() == (broken / "metrics.csv").read_text()
    left, right = summary(whole), summary(broken)
    assert left["judge_accuracy"] == right["judge_accuracy"]
    assert left["distortion_nats"] == right["distortion_nats"]
    configs = [(folder / "config.yaml").read_text() for folder in (whole, broken)]
    assert configs[0].replace("name: whole", "name: broken") == configs[1]


def test_a_moved_run_goes_on_for_more_epochs():
    folder = run("longer", "--model.window", "rate", "--seed", "2", epochs=2)
    began = rows(folder)
    moved = Path("elsewhere", "naturalise_digits", "longer")
    moved.parent.mkdir(parents=True)
    folder.rename(moved)
    words = ["--runs", "elsewhere", "--name", "longer", "--ckpt_path", "last"]
    assert fit.main([*words, "--trainer.max_epochs", "3"]) == 0
    assert not folder.exists()
    after = rows(moved)
    for name in ("train/loss", "val/loss"):
        assert [row[name] for row in after[:8]] == [row[name] for row in began[:8]]
    assert [int(row["epoch"]) for row in after] == [0] * 4 + [1] * 4 + [2] * 4 + [3]
    last = torch.load(moved / "checkpoints" / "last.ckpt", weights_only=True)
    assert (last["epoch"], last["global_step"]) == (2, 9)
    config = (moved / "config.yaml").read_text()
    assert "window: rate" in config
    assert "max_epochs: 3" in config
    assert summary(moved)["seed"] == 2


def test_checkpoints_that_cannot_be_resumed(capsys):
    assert fit.main(["--name", "new", "--ckpt_path", "last"]) == 2
    assert "--ckpt_path last: there is no checkpoint" in said(capsys)
    assert fit.main(["--ckpt_path", "nowhere.ckpt"]) == 2
    assert "--ckpt_path nowhere.ckpt: there is no checkpoint nowhere.ckpt" in said(capsys)
    Path("notes.ckpt").write_text("hello")
    assert fit.main(["--ckpt_path", "notes.ckpt"]) == 2
    assert said(capsys) == "notes.ckpt is damaged, or no checkpoint"
    assert not Path("runs").exists()

    folder = run("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    run("mine", "--ckpt_path", "last", "--model.hidden", "[30]", status=2)
    assert "is of another model: size mismatch" in said(capsys)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_loss_that_is_not_a_number_leaves_the_last_checkpoint(monkeypatch, capsys):
    train = NaturalisationModule.training_step

    def spoil(module, batch, batch_idx):
        if module.current_epoch == 1:
            with torch.no_grad():
                module.vdib.decoder.head.bias.fill_(math.nan)
        return train(module, batch, batch_idx)

    monkeypatch.setattr(NaturalisationModule, "training_step", spoil)
    folder = run("nan", epochs=2, status=2)
    line = said(capsys)
    assert line.startswith("the loss is nan at step 3: decoder.head.bias is not finite after ")
    assert "a lower --model.lr, or --trainer.gradient_clip_val 1; go on with --experiment" in line
    for which in ("last", "best"):
        assert all(bool(weight.isfinite().all()) for weight in weights(folder, which).values())


def test_a_learning_rate_far_too_high(capsys):
    run("high", "--model.lr", "1e30", status=2)
    line = said(capsys)
    assert line.startswith("the loss is nan at step 1: ")
    assert "weights and data are finite, the sum overflows: a lower --model.lr" in line


# --- settings ---------------------------------------------------------------------------------


def test_named_configs_and_paths():
    names = ["--name", "x"]
    assert build(names).config.experiment == "naturalise_digits"
    for args in (["--config", "mnist"], ["--config=mnist"], ["-c", "mnist"]):
        assert build([*args, *names]).config.data.init_args.dataset == "mnist"
    # options override the file wherever they stand, and files the files before them
    cli = build(["--model.beta", "0.5", "--config", "mnist", *names])
    assert (cli.config.model.init_args.beta, cli.model.vdib.beta) == (0.5, 0.5)
    Path("mine.yaml").write_text(
        "experiment: mine\nmodel:\n  class_path: NaturalisationModule\n  init_args: {rho: 0.2}\n"
    )
    cli = build(["--config", "mnist", "--config", "mine.yaml", *names])
    assert cli.folder == Path("runs", "mine", "x")
    assert (cli.model.rho, cli.config.data.init_args.dataset) == (0.2, "mnist")


TABLES = {
    "estimator": choices.ESTIMATORS,
    "credit": choices.CREDITS,
    "window": choices.WINDOWS,
    "prior": choices.PRIORS,
    "surrogate": choices.SURROGATES,
    "decoder": choices.DECODERS,
}


def together(run):
    """A word of every table, all of them in turn; each time a table begins anew, it is shifted."""
    words = {}
    for shift, (kind, table) in enumerate(TABLES.items()):
        words[kind] = list(table)[(run + shift * (run // len(table))) % len(table)]
    return words


RUNS = [together(run) for run in range(max(map(len, TABLES.values())))]


@pytest.mark.parametrize("words", RUNS, ids=lambda words: "-".join(words.values()))
def test_every_name_runs(words):
    args = [word for kind, name in words.items() for word in (f"--model.{kind}", name)]
    if words["estimator"] == "disarm":
        args += ["--model.readout_settings", "{feedback: false}"]
    coding = ("time", "rate")[RUNS.index(words) % 2]
    measured = KEYS
    if not issubclass(Image, choices.DECODERS[words["decoder"]].part.DECODES):
        args += ["--data.target", "label", "--model.num_readout", "10"]  # a neuron a class
        measured = KEYS - {"judge_accuracy", "ssim"} | {"class_accuracy", "decision_step"}
    folder = run("any", *args, "--data.coding", coding, "--trainer.limit_train_batches", "2")
    assert summary(folder).keys() >= measured
    before = summary(folder)
    assert evaluate.main([str(folder)]) == 0
    assert summary(folder) == before


@pytest.mark.parametrize("neuron", choices.NEURONS)
def test_every_neuron_runs(neuron):
    folder = run("any", "--model.neuron", neuron, "--trainer.limit_train_batches", "2")
    spiking = neuron != "lstm"  # whose hidden layers have no spikes to count
    assert summary(folder).keys() >= (KEYS if spiking else KEYS - {"hidden_rate"})


def test_convolutional_layers_before_the_dense_ones():
    folder = run("conv", "--model.conv", "[2, 3]", "--model.credit", "dfa")
    shapes = {name: tuple(w.shape) for name, w in weights(folder, "best").items()}
    assert any(shape[:2] == (3, 2) for shape in shapes.values())  # the second convolution
    assert any(shape[-1:] == (3 * 7 * 7,) for shape in shapes.values())  # pooled twice


def test_classes_with_settings_of_their_own():
    args = ["--model.decoder", "MLPDecoder", "--model.decoder.num_hidden", "32"]
    args += ["--model.estimator", "LeaveOneOut", "--model.estimator.num_samples", "3"]
    folder = run("classes", *args)
    assert weights(folder)["vdib.decoder.hidden.weight"].shape == (32, 6 * 8)
    assert vdib.load(folder).estimator.num_samples == 3
    assert evaluate.main([str(folder)]) == 0


WRONG = {
    "--model.num_redout 8": "--model.num_redout: no such setting; did you mean num_readout?",
    "--data.codng rate": "--data.codng: no such setting; did you mean coding?",
    "--model.neuron.beta 0.9": "--model.neuron.beta: no such setting",
    "--trainer.max_epoch 1": "--trainer.max_epoch: no such option; did you mean "
    "--trainer.max_epochs?",
    "--window rate": "--window: no such option; did you mean --model.window?",
    "--nam x": "--nam: no such option; did you mean --name?",
    "bogus": "bogus: no such option",
    "--model.seed 1": "--model.seed: follows from --seed",
    "--model.num_steps 9": "--model.num_steps: follows from --data.num_steps",
    "--model.decoder mpl": "--model.decoder: got 'mpl', expected logistic, mlp, cnn, "
    "counts, slayer_counts, van_rossum, membrane, first_spike, a class; "
    "did you mean mlp?",
    "--model.decoder MLPDecodr": "--model.decoder: got 'MLPDecodr', expected logistic, mlp, cnn, "
    "counts, slayer_counts, van_rossum, membrane, first_spike, a class; did you mean MLPDecoder?",
    "--model.decoder torch.nn.Linear": "--model.decoder: got torch.nn.Linear, expected a Decoder",
    "--model.decoder mlp --model.decoder.num_hidden 9": "--model.decoder.num_hidden: no such "
    "setting; --model.decoder MLPDecoder has one",
    "--model.decoder MLPDecoder --model.decoder.num_hiden 9": "--model.decoder.num_hiden: no such "
    "setting; did you mean num_hidden?",
    "--model.decoder MLPDecoder --model.decoder.num_hidden x": "--model.decoder.num_hidden: got "
    "'x', expected int",
    "--model.decoder CNNDecoder --model.decoder.kernel_size 4": "kernel_size must be odd, got 4",
    "--model.estimator LeaveOneOut --model.estimator.num_samples 1": "leave-one-out compares at "
    "least two codes, got 1",
    "--model.window odd": "--model.window: got 'odd', expected full, basis, rate",
    "--model.window_steps 31": "window_steps: got 31, expected 1 to 10, the steps of the data",
    "--model.window_steps 0": "window_steps: got 0, expected 1 to 10, the steps of the data",
    "--model.window_steps 1.5": "--model.window_steps: got '1.5', expected int",
    "--model.window basis --model.num_basis 31": "a temporal basis over 10 steps has 1 to 10 "
    "elements, got 31",
    "--model.hidden 20,30": "--model.hidden: got '20,30', expected a list",
    "--model.hidden [0]": "hidden: got 0, expected at least 1",
    "--model.num_readout many": "--model.num_readout: got 'many', expected int",
    "--model.num_readout -3": "num_readout: got -3, expected at least 1",
    "--model.lr 0": "lr and encoder_lr: got 0.0 and None, expected above 0",
    "--data.dataset cifar": "--data.dataset: got 'cifar', expected digits, mnist",
    "--data.batch_size 0": "data needs batch_size >= 1 and num_workers >= 0, got 0 and 0",
    "--seed -1": "--seed: got -1, expected 0 to 4294967295",
    "--config nope": "--config nope: neither a file nor one of ",
    "--trainer.max_epochs few": "--trainer.max_epochs: got 'few', expected int",
    "--trainer.accelerator abacus": "--trainer: You selected an invalid accelerator name",
    "--trainer.devices 0": "--trainer: `Trainer(devices='0')` value is not a valid input",
    "--trainer.logger csb": "--trainer.logger: got 'csb', expected wandb, tensorboard, a class",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_is_one_line(words, capsys):
    assert fit.main(words.split()) == 2
    assert said(capsys).startswith(WRONG[words])
    assert list(Path().iterdir()) == []


def test_a_file_with_a_mistake_is_one_line(capsys):
    for text, line in {
        "experiment: x\nmodel: [\n": "Problems parsing config: while parsing a flow node, line 3",
        "experiment: x\ntrainer: {max_epochz: 3}": "--trainer.max_epochz: no such option; did you",
        "experiment: x\nmodel: {hidden: [3]}": "--model.hidden: no such setting; --model Natural",
        "experiment: x\nmodel: NaturalisationModule": "the following arguments are required: data",
        "model: NaturalisationModule\ndata: ImageData": "--experiment: say in which folder",
    }.items():
        Path("mine.yaml").write_text(text)
        assert fit.main(["--config", "mine.yaml"]) == 2
        assert said(capsys).startswith(line)


def test_nothing_trained_is_one_line(capsys):
    run("none", epochs=0, status=2)
    assert "there is nothing to evaluate" in said(capsys)


def test_missing_data_is_one_line_and_leaves_no_folder(tmp_path, monkeypatch, capsys):
    from torchvision.datasets import MNIST as Files

    for name in ("VDIB_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(Files, "mirrors", [(tmp_path / "no-mirror").as_uri() + "/"])
    assert fit.main(["--config", "mnist"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("vdib: downloading MNIST")
    assert lines[1].startswith("vdib: MNIST not found: put train-images-idx3-ubyte, ")
    assert not Path("runs").exists()


# --- loggers ----------------------------------------------------------------------------------

with_wandb = pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")


def _with_figures(name, *args):
    every = ["--figures_every", "1", "--name", name, "--trainer.max_epochs", "1"]
    assert fit.main([*SIZES, *every, *args]) == 0
    return Path("runs", "naturalise_digits", name)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_gets_the_figures(plain_tsne):
    folder = _with_figures("board", "--trainer.logger", "tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "lightning_logs" / "version_0"), {"images": 0})
    events.Reload()
    assert {name.removeprefix("figures/") for name in events.Tags()["images"]} == FIGURES
    assert len(events.Images("figures/naturalised")) == 2  # of validation, then of the test
    assert "val/loss" in events.Tags()["scalars"]
    assert (folder / "metrics.csv").is_file()
    before = summary(folder)
    assert evaluate.main([str(folder)]) == 0
    assert summary(folder) == before
    assert len(list((folder / "lightning_logs").iterdir())) == 1


@pytest.fixture
def fresh_wandb(monkeypatch, tmp_path):
    """As on a machine that has never logged in, and not remembered from the last test."""
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb"))
    yield
    import wandb

    wandb.teardown()


@with_wandb
def test_wandb_offline_gets_the_figures_of_each_run(fresh_wandb, plain_tsne, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    import wandb

    for name in ("first", "second"):  # in one process, as sweeps do
        folder = _with_figures(name, "--trainer.logger=wandb")
        assert wandb.run is None
        (media,) = (folder / "wandb").glob("offline-run-*/files/media/images/figures")
        shown = [path.name for path in media.glob("*.png")]
        assert {name for name in FIGURES if any(s.startswith(name) for s in shown)} == FIGURES
        assert len(shown) == 2 * len(FIGURES)


@with_wandb
def test_wandb_without_a_login_is_one_line(fresh_wandb, capsys):
    run("online", "--trainer.logger", "wandb", status=2)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("vdib: --trainer.logger wandb: No API key configured.")
    assert "WANDB_MODE=offline" in line
    assert not Path("runs").exists()


def test_a_logger_that_is_not_installed_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("vdib.runs.arguments.find_spec", lambda name: None)
    for name in ("wandb", "tensorboard"):
        run("x", "--trainer.logger", name, status=2)
        assert said(capsys) == f"--trainer.logger {name}: pip install {name}"


# --- processes --------------------------------------------------------------------------------


def test_two_spawned_workers_change_nothing(monkeypatch):
    loader = ImageData._loader

    def spawn_for_training(data, split, batches=None):
        if batches is None:  # a process takes seconds to start
            monkeypatch.setattr(data, "num_workers", 0)
        return loader(data, split, batches)

    monkeypatch.setattr(ImageData, "_loader", spawn_for_training)
    alone = run("alone", "--data.coding", "rate")
    helped = run("helped", "--data.coding", "rate", "--data.num_workers", "2")
    assert same(weights(alone), weights(helped))
    assert rows(alone) == rows(helped)


def _setuptools_is_old():
    spec = find_spec("setuptools")
    return spec is None or int(version("setuptools").split(".")[0]) < 77


@pytest.mark.skipif(
    not (CHECKOUT / "pyproject.toml").is_file(), reason="not a checkout: nothing to build"
)
@pytest.mark.skipif(
    _setuptools_is_old() or find_spec("pip") is None,
    reason="building a wheel without network needs pip and setuptools >= 77",
)
def test_the_wheel_installs_one_name_and_runs(tmp_path):
    source, site = tmp_path / "source", tmp_path / "site"
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
    for name in ("vdib", "datasets", "lightning_modules", "configs"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, "wheel", *options, str(source)], check=True)
    (wheel,) = tmp_path.glob("vdib-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vdib"}
    for name in (
        *("py.typed", "judge.safetensors", "fit.py", "configs/digits.yaml", "configs/mnist.yaml"),
        *("datasets/digits.py", "lightning_modules/naturalisation/module.py"),
    ):
        assert f"vdib/{name}" in names

    environment = {**os.environ, "PYTHONPATH": str(site)}
    code = "import vdib.datasets.digits, vdib.configs; print(vdib.datasets.digits.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert Path(found.stdout.strip()) == site / "vdib" / "datasets" / "digits.py"
    command = [sys.executable, "-m", "vdib.fit", *TINY, "--name", "x", "--trainer.max_epochs", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert summary(Path("runs", "naturalise_digits", "x")).keys() >= KEYS
