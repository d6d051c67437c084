"""Bounds by several codes and distances of drawn images, as the summary of a run has them."""

import json
import re
from pathlib import Path

import pytest
import tiny_runs
import torch

import vdib
from vdib import evaluate, fit
from vdib.datasets.digits import Digits
from vdib.dynamics.firing import Concrete
from vdib.fad import FAD, FADEncoder, fad_file
from vdib.importance import binarised, log_weights
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.metrics import Moments
from vdib.noise import EVALUATION, Noise
from vdib.price import Price
from vdib.prior import draw_spikes
from vdib.runs import generative
from vdib.runs.cli import build
from vdib.runs.command import UserError
from vdib.signal import Image, Label

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    words = ["--trainer.max_epochs", "1", "--runs", str(root), "--experiment", "x", "--name", "y"]
    loud = ["--model.encoder_gain", "4", "--model.prior", "past", "--fit_priors", "[]"]
    assert fit.main([*tiny_runs.TINY, *words, *loud]) == 0
    return root / "x" / "y"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_bounds_and_distances_by_hand(run, monkeypatch, tmp_path, capsys):
    """Of a run's test digits and of images drawn from its prior, with an encoder of any weights."""
    torch.manual_seed(0)
    distance = FAD(FADEncoder().requires_grad_(False), Moments.of(torch.randn(100, 64)))
    real = Digits("test").all().image
    monkeypatch.setattr(generative, "fad_file", lambda: tmp_path)
    monkeypatch.setattr(generative.FAD, "load", lambda path: distance)
    monkeypatch.setattr("vdib.datasets.mnist.MNIST", lambda split, download: Digits(split))
    assert evaluate.main([str(run), "--importance", "3", "--drawn", "150"]) == 0
    table = capsys.readouterr().out
    seen = json.loads((run / "summary.json").read_text())
    model = vdib.load(run)
    batch = ImageData(num_steps=6).examples("test", 500)
    noise = Noise(0, EVALUATION, batch.id)
    target = binarised(batch.target, noise)
    weights = log_weights(model, batch.spikes, target, noise.with_samples(3)).double()
    expected = -float(torch.log(weights.exp().mean(0)).mean())
    assert seen["test_samples"] == 500
    assert seen["negative_elbo_nats_3"] == pytest.approx(expected, rel=1e-5)
    assert re.search(rf"the same by 3 codes\s+{expected:.4g}\n", table)
    spikes = draw_spikes(model.prior, 150, 6, 8, Noise(0, EVALUATION, torch.arange(150)))
    images = model.decode(vdib.SpikeCode(spikes, None)).mean.view(150, 28, 28).detach()
    assert seen["fad"] == pytest.approx(distance.fad(images, real), rel=1e-4)
    assert seen["fad_published"] == pytest.approx(distance.published_fad(images), rel=1e-4)
    assert abs(seen["fad"] - seen["fad_published"]) > 1e-3 * seen["fad"]


def test_the_autoencoder_on_mnist_asks_for_all_of_them():
    """`--config mnist_vae`: a nat for a nat but for a little a neuron, hard spikes at the end."""
    module = build(["--config", "mnist_vae"]).model
    assert (module.importance_codes, module.drawn_images, module.vdib.beta) == (500, 10_000, 1.0)
    assert module.vdib.price == Price(free_bits=0.1)
    assert module.vdib.estimator.firing(0.0) == Concrete(0.5)
    assert module.vdib.estimator.firing(1.0) == Concrete(0.1)


def test_without_the_encoder_there_is_no_distance(run, monkeypatch, capsys):
    monkeypatch.delenv("VDIB_DATA", raising=False)
    assert evaluate.main([str(run), "--drawn", "20"]) == 0
    assert tiny_runs.said(capsys).startswith("no fad: $VDIB_DATA/fad/")
    assert "fad" not in json.loads((run / "summary.json").read_text())


def module_of(signal, **settings):
    return NaturalisationModule(
        num_steps=6, input_shape=(4,), signal=signal, hidden=[3], num_readout=2, **settings
    )


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (
            lambda: module_of(Label(3), importance_codes=5),
            "importance_codes: only of runs of images",
        ),
        (lambda: module_of(Label(3), drawn_images=5), "drawn_images: only of runs of images"),
        (lambda: module_of(Image((4, 4)), drawn_images=5), "drawn_images: only of runs of digits"),
        (
            lambda: module_of(Image((4, 4)), readout="threshold", importance_codes=5),
            "importance_codes: of this run there is none: its readout is deterministic",
        ),
    ],
)
def test_other_runs_have_no_such_figures(module, told):
    with pytest.raises(UserError, match=told):
        generative.check_generative(module())


def test_what_cannot_be_is_refused_before_training(capsys):
    words = ["--data.target", "label", "--model.importance_codes", "3"]
    tiny_runs.run("refused", *words, status=2)
    assert tiny_runs.said(capsys) == "importance_codes: only of runs of images"
    assert not Path("runs").exists()


def test_numbers_out_of_range(run, capsys):
    for words, told in (
        (["--importance", "0"], "--importance: got 0, expected 1 or more"),
        (["--drawn", "1"], "--drawn: got 1, expected 2 or more"),
        (["--drawn", "9", "--prior", "past"], "--prior measures nothing else"),
    ):
        assert evaluate.main([str(run), *words]) == 2
        assert told in capsys.readouterr().err
    for settings in ({"importance_codes": -1}, {"drawn_images": 1}):
        with pytest.raises(ValueError, match="importance_codes and drawn_images: got"):
            module_of(Image((4, 4)), **settings)


@pytest.mark.skipif(
    fad_file() is None, reason="the encoder is not shipped: set VDIB_DATA to a folder with fad"
)
def test_distances_of_a_run_by_the_published_encoder(run):
    assert evaluate.main([str(run), "--drawn", "300"]) == 0
    seen = json.loads((run / "summary.json").read_text())
    assert seen["fad"] > 50  # blurred means of a model that was hardly trained
    assert seen["fad_published"] > 50
