"""A deterministic readout in whole experiments: a code length, no rate, no estimator."""

import json
import math
from pathlib import Path

import pytest
import torch

import vdib
from vdib import fit
from vdib.encoder import build_encoder
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.predictive_coding.data import BlobData
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.neurons.lif import lif
from vdib.neurons.readout import threshold
from vdib.noise import EVALUATION, Noise
from vdib.runs.folder import Run
from vdib.signal import Image

TINY = [
    *("--model.readout", "threshold", "--model.hidden", "[20]", "--model.num_readout", "16"),
    *("--data.num_steps", "6", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "20"),
    *("--figures_every", "1", "--trainer.enable_progress_bar", "false", "--name", "one"),
]
# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("credit", ["bptt", "eprop", "dfa"])
def test_a_run_is_measured_by_its_code_length(tmp_path, monkeypatch, credit):
    monkeypatch.chdir(tmp_path)
    settings = ["--model.neuron", "lif", "--model.credit", credit, "--model.beta", "0.001"]
    settings += ["--model.prior", "bernoulli"]
    assert fit.main([*TINY, *settings, "--trainer.precision", "32-true"]) == 0
    run = Run(Path("runs", "naturalise_digits", "one"))
    summary = json.loads(run.summary_file.read_text())
    assert not [name for name in summary if name.startswith("rate_bits")]
    model, batch = vdib.load(run.folder), ImageData(num_steps=6).examples("test", 500)
    with torch.no_grad():
        spikes = model.encode(batch.spikes, Noise(0, EVALUATION, batch.id)).spikes
        again = model.encode(batch.spikes, Noise(7, EVALUATION, batch.id)).spikes
    assert torch.equal(spikes, again)  # whatever the noise
    count, steps = spikes.sum((1, 2)).mean(), spikes[0].numel()
    assert 0 < count < steps
    bits = -count * math.log2(0.1) - (steps - count) * math.log2(0.9)  # under rho
    assert summary["code_length_bits"] == pytest.approx(float(bits), rel=1e-4)
    drawn = {path.name for path in run.figures.glob("*.png")}
    assert {"raster.png", "code_tsne.png", "rate_distortion.png"} <= drawn


def test_every_step_may_be_decoded_from_it(monkeypatch):
    blobs = BlobData(0, num_train=6, num_validation=4, num_test=4, num_steps=40, num_long=0)
    torch.manual_seed(0)
    taken = {name: getattr(blobs, name) for name in PredictiveCodingModule.TAKES}
    module = PredictiveCodingModule(**taken, hidden=[], num_readout=5, readout="threshold")
    batch, seen = blobs.examples("test", 4), {}
    module.vdib.encoder.calibrate(batch.spikes, module.rho)
    monkeypatch.setattr(module, "log_figures", lambda stage, figures, count: seen.update(figures))
    with torch.no_grad():
        assert module.evaluate("test", batch) is None
        code = module.vdib.encode(batch.spikes, Noise(0, EVALUATION, batch.id))
    scored = module.weights(40)
    counts = (scored[:, None] * code.spikes).sum((1, 2)).mean()
    assert 0 < counts < 5
    bits = -counts * math.log2(0.1) - (5 - counts) * math.log2(0.9)
    torch.testing.assert_close(seen["code_length_bits_per_step"], bits)
    assert not [name for name in seen if name.startswith("rate_bits")]
    assert set(module.figures(batch)) == {"prediction"}
    with torch.no_grad():
        stream = module.stream(0, int(batch.id[0]))
        for t, x in enumerate(batch.spikes[0]):
            stream.push(x)
            assert torch.equal(stream.spikes, code.spikes[0, t])
    with pytest.raises(ValueError, match="mode online needs the readout sampled, got threshold"):
        PredictiveCodingModule(**taken, hidden=[], readout="threshold", mode="online")


def test_it_is_a_layer_like_the_hidden_ones():
    encoder = build_encoder((6,), 3, (4,), neuron=lif, readout=threshold)
    hidden, readout = encoder.layers[0], encoder.readout
    assert (readout.filter, readout.fire) == (hidden.filter, hidden.fire)
    assert not readout.stochastic


def small(**settings):
    given = {"num_steps": 30, "input_shape": (4,), "signal": Image((2, 2)), "hidden": []}
    return NaturalisationModule(**given, num_readout=3, **settings)


def test_the_memory_of_a_sampled_readout_is_a_setting():
    """tau_e: a spike below is felt for so many steps, and no longer."""
    torch.manual_seed(0)
    module = small(readout_settings={"memory_steps": 17})
    readout = module.vdib.encoder.readout
    x = torch.zeros(1, 30, 4)
    x[0, 0] = 1
    with torch.no_grad():
        felt = (readout.drive(x) - readout.drive(0 * x)).abs().amax(2)[0]
    assert (felt[:17] > 1e-4).sum() >= 16
    assert (felt[17:] < 1e-6).all()
    with pytest.raises(ValueError, match="readout_settings of sampled: got 'memory'"):
        small(readout_settings={"memory": 3})
    with pytest.raises(ValueError, match="readout_settings of threshold: it has none"):
        small(readout="threshold", readout_settings={"memory_steps": 3})


@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan"), float("inf")])
def test_a_gain_is_a_number_above_0(gain):
    with pytest.raises(ValueError, match=r"encoder_gain: got \S+, expected above 0"):
        small(encoder_gain=gain)
    with pytest.raises(ValueError, match="encoder_gain: weights that are not calibrated"):
        small(encoder_gain=2.0, calibrate=False)
