"""How figures are made: each recomputed by hand in NumPy, from codes and decoded pixels alone."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

import vdib
from vdib import fit
from vdib.encoder import build_encoder
from vdib.estimator import LeaveOneOut, StraightThrough
from vdib.lenet5 import load_judge
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.predictive_coding.data import BlobData
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.metrics import ssim, wilson_interval
from vdib.noise import EVALUATION, Noise
from vdib.penalty import hidden_spikes, readout_spikes
from vdib.prior import BernoulliPrior

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def array(x):
    return x.detach().double().numpy()


def kl_bits(p, q):
    """`p log2 p/q + (1-p) log2 (1-p)/(1-q)`, elementwise."""
    return p * np.log2(p / q) + (1 - p) * np.log2((1 - p) / (1 - q))


def sigmoid(v):
    return 1 / (1 + np.exp(-array(v)))


def measured(module, batch, monkeypatch, stage="test"):
    """What `evaluate` logs of a batch, and the code it saw, made again from its address."""
    seen = {}

    def log(at, figures, count):
        assert (at, count) == (stage, len(batch.id))
        seen.update({name: float(value) for name, value in figures.items()})

    monkeypatch.setattr(module, "log_figures", log)
    with torch.no_grad():
        module.evaluate(stage, batch)
        code = module.vdib.encode(batch.spikes, Noise(module.seed, EVALUATION, batch.id))
    return seen, code


@pytest.fixture(scope="module")
def naturalising():
    """A module whose figures all differ, and 40 digits."""
    torch.manual_seed(0)
    module = NaturalisationModule(
        num_steps=5, input_shape=(1, 28, 28), signal=ImageData().signal, hidden=[12, 10],
        num_readout=6, beta=0.3, rho=0.2, seed=3, penalties={"readout_spikes": 0.5},
    )  # fmt: skip
    batch = ImageData(num_steps=5).examples("test", 40)
    module.vdib.encoder.calibrate(batch.spikes, 0.2, 2.0)
    module.vdib.decoder.start_from(ImageData(num_steps=5).constant())
    for weight in module.vdib.decoder.parameters():
        weight.data += 0.03 * torch.randn(weight.shape)
    module.marginal = torch.rand(5, 6) * 0.5 + 0.02
    module.vdib.prior = BernoulliPrior(0.35)  # another than that of rho
    return module, batch


def test_every_figure_of_naturalisation_by_hand(naturalising, monkeypatch):
    module, batch = naturalising
    seen, code = measured(module, batch, monkeypatch)
    with torch.no_grad():
        images = module.vdib.decode(code).mean
    q, r = array(images).reshape(40, 784), array(batch.target).reshape(40, 784)
    p, spikes, count = sigmoid(code.logits), array(code.spikes), 40
    distortion = -(r * np.log(q) + (1 - r) * np.log(1 - q)).sum() / count
    bits = kl_bits(p, 0.35).sum() / count
    pictures = images.view(40, 28, 28).float()
    right = load_judge()(pictures).argmax(1) == batch.label
    originals = load_judge()(batch.target.view(40, 28, 28)).argmax(1) == batch.label
    hidden = [array(h).sum() / h.numel() for h in code.hidden]
    # Each spike reaches all neurons above it: 12, then 10, then 6 through eight filters each.
    counts = [array(batch.spikes).sum(), *(array(h).sum() for h in code.hidden)]
    operations = counts[0] * 12 + counts[1] * 10 + counts[2] * 6 * 8
    expected = {
        "loss": distortion + 0.3 * bits * math.log(2) + 0.5 * spikes.sum() / count,
        "distortion_nats": distortion,
        "rate_bits": bits,
        "negative_elbo_nats": distortion + bits * math.log(2),  # whatever beta is
        "rate_bits_marginal": kl_bits(p, array(module.marginal)).sum() / count,
        "rate_bits_bernoulli": kl_bits(p, 0.2).sum() / count,
        "spikes_per_sample": spikes.sum() / count,
        "readout_rate": spikes.sum() / (40 * 5 * 6),
        "hidden_rate": sum(hidden) / 2,
        "hidden_spikes_per_sample": sum(array(h).sum() for h in code.hidden) / count,
        "synops": operations / count,
        "readout_spikes_nats": 0.5 * spikes.sum() / count,
        "judge_accuracy": int(right.sum()) / count,
        "judge_accuracy_originals": int(originals.sum()) / count,
        "ssim": float(ssim(pictures, batch.target.view(40, 28, 28)).mean()),
    }
    assert seen.keys() == expected.keys()
    for name, value in expected.items():
        assert seen[name] == pytest.approx(value, rel=2e-4), name
    # Figures that could be taken for each other are far apart.
    assert int(originals.sum()) >= 38 > 20 > int(right.sum())
    values = [value for name, value in expected.items() if name != "readout_spikes_nats"]
    assert all(abs(a - b) > 1e-3 * abs(a) for a, b in itertools.combinations(values, 2))


def test_what_is_fitted_on_validation_data_is_not_measured_on_them(naturalising, monkeypatch):
    seen, code = measured(*naturalising, monkeypatch, "val")
    assert "rate_bits_marginal" not in seen
    module, batch = naturalising
    module.on_validation_epoch_start()
    monkeypatch.setattr(module, "evaluate", lambda stage, batch: code.logits[: len(batch.id)])
    module.validation_step(batch, 0)
    torch.testing.assert_close(module._probabilities, torch.sigmoid(code.logits).sum(0))
    assert module._count == 40


def test_the_judge_sees_what_was_naturalised(naturalising, monkeypatch):
    module, batch = naturalising
    shown = []
    monkeypatch.setattr(module, "judge", lambda images: shown.append(images) or batch.label)
    seen, code = measured(module, batch, monkeypatch)
    assert seen["judge_accuracy"] == 1
    with torch.no_grad():
        assert torch.equal(shown[0], module.vdib.decode(code).mean.view(40, 28, 28))


def test_every_figure_of_prediction_by_hand(monkeypatch):
    blobs = BlobData(2, num_train=6, num_validation=4, num_test=4, num_steps=40, num_long=0)
    torch.manual_seed(0)
    module = PredictiveCodingModule(
        **{name: getattr(blobs, name) for name in PredictiveCodingModule.TAKES},
        hidden=[], num_readout=5, beta=0.3, rho=0.2, window_steps=5, decoder="logistic",
    )  # fmt: skip
    batch = blobs.examples("test", 4)
    module.vdib.encoder.calibrate(batch.spikes, 0.2, 2.0)
    for weight in module.vdib.decoder.parameters():
        weight.data += 0.3 * torch.randn(weight.shape)
    module.marginal = torch.rand(1, 5) * 0.5 + 0.02
    module.vdib.prior = BernoulliPrior(0.35)  # another than that of rho
    seen, code = measured(module, batch, monkeypatch)
    with torch.no_grad():
        decoded = module.vdib.decode(code)
    log_q, target, scored = array(decoded.logits), batch.target.numpy(), range(20, 38)
    log_q = log_q - np.log(np.exp(log_q).sum(-1, keepdims=True))
    active = array(blobs.signal.patterns.active)
    p, spikes = sigmoid(code.logits), array(code.spikes)
    nats, wrong, bits, fitted, independent, fired = [], [], [], [], [], []
    for b, t in itertools.product(range(4), scored):
        nats.append(-log_q[b, t, target[b, t]])
        wrong.append(((active[log_q[b, t].argmax()] - active[target[b, t]]) ** 2).mean())
        bits.append(kl_bits(p[b, t], 0.35).sum())
        independent.append(kl_bits(p[b, t], 0.2).sum())
        fitted.append(kl_bits(p[b, t], array(module.marginal)[0]).sum())
        fired.append(spikes[b].sum() / 40)
    expected = {
        "loss": np.mean(nats) + 0.3 * np.mean(bits) * math.log(2),
        "nats_per_step": np.mean(nats),
        "mse": np.mean(wrong),
        "rate_bits_per_step": np.mean(bits),
        "rate_bits_marginal_per_step": np.mean(fitted),
        "rate_bits_bernoulli_per_step": np.mean(independent),
        "spikes_per_step": np.mean(fired),
        "hidden_rate": 0,
        "synops": array(batch.spikes).sum()
        / 4
        * 5
        * module.vdib.encoder.readout.filter.num_filters,
    }
    assert seen.keys() == expected.keys()
    for name, value in expected.items():
        assert seen[name] == pytest.approx(value, rel=2e-4), name


def test_a_summary_by_hand(tmp_path, monkeypatch):
    """Of a run's weights: the marginal of validation codes, all else of the test digits."""
    monkeypatch.chdir(tmp_path)
    words = ["--model.hidden", "[20]", "--model.num_readout", "8", "--data.num_steps", "6"]
    words += ["--model.prior", "bernoulli"]
    words += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "20", "--seed", "5"]
    words += ["--figures_every", "-1", "--trainer.enable_progress_bar", "false", "--name", "one"]
    assert fit.main([*words, "--trainer.precision", "32-true", "--model.encoder_gain", "2"]) == 0
    run = Path("runs", "naturalise_digits", "one")
    summary = json.loads((run / "summary.json").read_text())
    model, data = vdib.load(run), ImageData(num_steps=6)
    found = {}
    for split in ("validation", "test"):
        batch = data.examples(split, 500)
        with torch.no_grad():
            code = model.encode(batch.spikes, Noise(5, EVALUATION, batch.id))
            images = model.decode(code).mean
        q, r, p = array(images)[:, 0], array(batch.target), sigmoid(code.logits)
        nats = -(r * np.log(q) + (1 - r) * np.log(1 - q)).sum(1).mean()
        bits = kl_bits(p, 0.1).sum((1, 2)).mean()
        found[split] = nats, bits, p, nats + 0.01 * bits * math.log(2)
    marginal = found["validation"][2].mean(0)
    elbo = {split: some[0] + some[1] * math.log(2) for split, some in found.items()}
    nats, bits, p, loss = found["test"]
    right = int((load_judge()(images.view(-1, 28, 28)).argmax(1) == batch.label).sum())
    low, high = wilson_interval(right, 500)
    expected = {
        "seed": 5, "loss_nats": loss, "distortion_nats": nats, "rate_bits": bits,
        "rate_bits_marginal": kl_bits(p, marginal).sum((1, 2)).mean(),
        "validation_loss_nats": found["validation"][3], "test_samples": 500,
        "judge_accuracy_originals": 0.988,  # the ceiling of the shipped digits
        "negative_elbo_nats": elbo["test"],
        "validation_negative_elbo_nats": elbo["validation"],
        "judge_accuracy": right / 500, "judge_accuracy_low": low, "judge_accuracy_high": high,
    }  # fmt: skip
    for name, value in expected.items():
        assert summary[name] == pytest.approx(value, rel=2e-4), name
    assert abs(found["validation"][3] - loss) > 1e-3 * loss


def test_several_codes_are_measured_against_the_target_of_their_own_input():
    """Sample-major: row m B + b is code m of input b."""
    torch.manual_seed(0)
    made = tiny.bottleneck(StraightThrough())
    penalties = {"hidden_spikes": (hidden_spikes, 0.5), "readout_spikes": (readout_spikes, 2.0)}
    made.penalties = dict(penalties)
    x = tiny.spike_train(2, 3, 3, rate=0.5)
    r = torch.rand(2, 3, 3, dtype=torch.float64)
    noise = torch.rand(6, 3, tiny.READOUT, dtype=torch.float64)
    out = made(x, r, noise)
    for m, b in itertools.product(range(3), range(2)):
        row = 2 * m + b
        alone = made(x[b : b + 1], r[b : b + 1], noise[row : row + 1])
        for one, many in ((alone.distortion, out.distortion), (alone.rate, out.rate)):
            torch.testing.assert_close(one[0], many[row])
        for name in penalties:
            torch.testing.assert_close(alone.penalties[name][0], out.penalties[name][row])
    assert out.distortion.std() > 0.01


def test_codes_of_an_input_are_numbered_like_their_noise():
    torch.manual_seed(0)
    encoder = build_encoder((6,), 4, (5,))
    x, ids = tiny.spike_train(2, 7, 6, dtype=torch.float32), torch.tensor([11, 4])
    encoder.calibrate(x, 0.3)
    noise = Noise(0, 2, ids).with_samples(LeaveOneOut(3).num_samples)
    drawn = noise.uniform(1, 7, (4,))
    together = encoder(x, noise).spikes
    for m, b in itertools.product(range(3), range(2)):
        alone = encoder(x[b : b + 1], drawn[2 * m + b][None]).spikes
        assert torch.equal(together[2 * m + b], alone[0])
