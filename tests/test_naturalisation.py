"""The naturalisation module: what it measures, and what it refuses."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import vdib
from vdib import fit
from vdib.lightning_modules.choices import NEURONS
from vdib.lightning_modules.choosing import Choice
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.lightning_modules.predictive_coding.signals import Pattern
from vdib.metrics import wilson_interval
from vdib.neurons.srm import srm
from vdib.noise import EVALUATION, Noise
from vdib.signal import Image

DIGITS = Image((28, 28), digits=True)
TINY = [
    *("--model.hidden", "[20]", "--model.num_readout", "16", "--data.num_steps", "6"),
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "60", "--figures_every", "-1"),
    *("--trainer.enable_progress_bar", "false", "--trainer.precision", "32-true"),
]
# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def small(**settings):
    torch.manual_seed(0)
    return NaturalisationModule(
        num_steps=5, input_shape=(784,), signal=DIGITS, hidden=[10], num_readout=4, **settings
    )


def test_rate_coding_is_drawn_anew_at_each_step_and_fixed_in_evaluation():
    data = ImageData(coding="rate", num_steps=5)
    batch = data.split("validation").__getitems__(range(20))
    at = [data.code(batch, step).spikes for step in (0, 1, EVALUATION, EVALUATION)]
    assert not torch.equal(at[0], at[1])
    assert torch.equal(at[2], at[3])


def test_naturalised_images_are_pixels():
    data = ImageData(num_steps=5)
    batch = data.code(data.split("validation").__getitems__(range(3)), EVALUATION)
    images = small()(batch.spikes, batch.id)
    assert images.shape == (3, 28, 28)
    assert 0 <= images.min() <= images.max() <= 1


def test_a_frozen_encoder_has_nothing_to_learn():
    module = small(frozen_encoder=True)
    assert not any(p.requires_grad for p in module.vdib.encoder.parameters())
    assert all(p.requires_grad for p in module.vdib.decoder.parameters())


def test_what_a_neuron_holds_fixed_is_not_learnt(monkeypatch):
    def stiff(*how):
        layer = srm(*how)
        layer.gain.requires_grad_(False)
        return layer

    monkeypatch.setitem(NEURONS, "stiff", Choice(stiff, "a gain that stays"))
    encoder = small(neuron="stiff").vdib.encoder
    fixed = [name for name, p in encoder.named_parameters() if not p.requires_grad]
    assert fixed == ["hidden.0.gain"]


def test_the_judge_is_no_part_of_the_model():
    assert not any("judge" in name for name in small().state_dict())


def test_a_signal_that_is_not_measured_is_refused():
    with pytest.raises(ValueError, match="decodes images or labels or curves, the data hold"):
        NaturalisationModule(num_steps=5, input_shape=(6,), signal=Pattern(6, 2))
    with pytest.raises(ValueError, match="decodes active inputs, the data hold images"):
        PredictiveCodingModule(num_steps=5, input_shape=(784,), signal=DIGITS, lag=0, unscored=0)


@pytest.mark.parametrize("steps", [0, 6])
def test_an_odd_window_is_refused(steps):
    with pytest.raises(ValueError, match=f"window_steps: got {steps}, expected 1 to 5"):
        small(window_steps=steps)


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(monkeypatch):
    module = small()
    monkeypatch.setattr(NaturalisationModule, "trainer", SimpleNamespace(precision_plugin=None))
    monkeypatch.setattr(NaturalisationModule, "global_step", 3)
    weight = next(iter(module.vdib.parameters()))
    weight.grad = torch.full_like(weight, float("nan"))
    with pytest.raises(FloatingPointError, match="gradient"):
        module.on_before_optimizer_step(None)


def figures_of(module, batch, monkeypatch):
    """What a module measures of a batch."""
    seen = {}
    monkeypatch.setattr(module, "log_figures", lambda stage, figures, count: seen.update(figures))
    with torch.no_grad():
        module.evaluate("test", batch)
        out = module.vdib(batch.spikes, batch.target, Noise(module.seed, EVALUATION, batch.id))
    return seen, out


@pytest.mark.parametrize("coding", ["time", "rate", "constant"])
def test_operations_are_counted_of_spikes_and_of_currents(coding, monkeypatch):
    module, data = small(), ImageData(num_steps=5, coding=coding)
    batch = data.examples("validation", 20)
    seen, out = figures_of(module, batch, monkeypatch)
    dense = batch.spikes if isinstance(batch.spikes, torch.Tensor) else batch.spikes.dense()
    neurons, readout = module.vdib.encoder.layers[0].shape[0], module.vdib.encoder.num_readout
    first = (dense != 0).sum() * neurons
    then = out.code.hidden[0].sum() * readout * module.vdib.encoder.readout.filter.num_filters
    assert len(module.vdib.encoder.layers) == 1
    assert float(seen["synops"]) == pytest.approx(float(first + then) / 20)


def test_penalties_are_logged_under_their_names_and_in_the_loss(monkeypatch):
    weights = {"hidden_spikes": 0.5, "readout_spikes": 2.0}
    module, batch = small(penalties=weights), ImageData(num_steps=5).examples("validation", 20)
    module.vdib.encoder.calibrate(batch.spikes, 0.3)
    seen, out = figures_of(module, batch, monkeypatch)
    hidden = 0.5 * out.code.hidden[0].sum((1, 2)).mean()
    readout = 2.0 * out.code.spikes.sum((1, 2)).mean()
    torch.testing.assert_close(seen["hidden_spikes_nats"], hidden)
    torch.testing.assert_close(seen["readout_spikes_nats"], readout)
    assert hidden > 0
    rest = out.distortion.sum(1).mean() + module.vdib.beta * out.rate.sum(1).mean()
    torch.testing.assert_close(seen["loss"], rest + hidden + readout)
    with pytest.raises(ValueError, match="got 'silence', expected hidden_spikes"):
        small(penalties={"silence": 1.0})


def test_class_accuracy_is_the_share_of_right_classes(tmp_path, monkeypatch):
    """Of a run, recomputed from its weights: spike counts into the layers of its decoder."""
    monkeypatch.chdir(tmp_path)
    args = ["--data.target", "label", "--model.decoder", "logistic", "--model.window", "rate"]
    assert fit.main([*args, *TINY, "--name", "labels"]) == 0
    run = Path("runs", "naturalise_digits", "labels")
    summary = json.loads((run / "summary.json").read_text())
    model, batch = vdib.load(run), ImageData(num_steps=6).examples("test", 500)
    with torch.no_grad():
        counts = model.encode(batch.spikes, Noise(0, EVALUATION, batch.id)).spikes.sum(1)
        answers = counts @ model.decoder.head.weight.T + model.decoder.head.bias
    right = int((answers.argmax(1) == batch.label).sum())
    assert right > 75  # one in ten by chance
    assert summary["class_accuracy"] == pytest.approx(right / 500)
    ends = [summary[f"class_accuracy_{end}"] for end in ("low", "high")]
    assert ends == pytest.approx(wilson_interval(right, 500))
    sure, error = answers.softmax(1).max(1), 0.0
    for m in range(15):  # bins of equal width, over the whole test split at once
        these = (sure.values > m / 15) & (sure.values <= (m + 1) / 15)
        if these.any():
            hits = (sure.indices == batch.label)[these].double().mean()
            error += these.double().mean() * (hits - sure.values[these].double().mean()).abs()
    assert summary["calibration_error"] == pytest.approx(float(error), abs=1e-5)
    assert float(error) > 0.01
    costs = torch.nn.functional.cross_entropy(answers, batch.label)
    assert summary["distortion_nats"] == pytest.approx(float(costs), rel=1e-4)
    assert "judge_accuracy" not in summary
    assert "ssim" not in summary


def test_figures_of_a_part_of_the_test_split_say_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = ["--data.target", "label", "--trainer.limit_test_batches", "0.5", "--name", "part"]
    assert fit.main([*TINY, *args]) == 0
    summary = json.loads(Path("runs", "naturalise_digits", "part", "summary.json").read_text())
    assert summary["test_samples"] == 250
    right = round(summary["class_accuracy"] * 250)
    assert summary["class_accuracy_low"] == pytest.approx(wilson_interval(right, 250)[0])
