"""The precision that is chosen, kept and reported, and what mixed precision must not round."""

import json
import math
from pathlib import Path

import pytest
import torch
import yaml

from vdib import evaluate, fit
from vdib.decoder import CNNDecoder, LogisticDecoder, MLPDecoder
from vdib.dynamics.filters import delayed
from vdib.encoder import SpikeCode
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.predictive_coding.data import BlobData
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.metrics import ssim
from vdib.neurons.srm import stochastic_srm
from vdib.neurons.synapses import dense
from vdib.noise import EVALUATION, Noise
from vdib.precision import precision_for
from vdib.prior import AutoregressivePrior
from vdib.signal import Curve, Image, Label
from vdib.window import BasisWindow

TINY = [
    *("--model.hidden", "[20]", "--model.num_readout", "8", "--data.num_steps", "6"),
    *("--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"),
    *("--trainer.limit_test_batches", "1", "--trainer.max_epochs", "1"),
    *("--trainer.enable_progress_bar", "false", "--figures_every", "-1"),
]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
RUNS = Path("runs", "naturalise_digits")


def mixed():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.fixture
def hardware(monkeypatch, tmp_path):
    """Pretend to have some, in an empty folder: a CPU with these features, an accelerator."""
    monkeypatch.chdir(tmp_path)

    def pretend(cpu="", accelerator=None, bfloat16=False):
        def gpu_knows(including_emulation=True):
            return bfloat16 or including_emulation

        for name in ("amx_tile", "avx512_bf16"):
            monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda n=name: n == cpu)
        found = None if accelerator is None else torch.device(accelerator)
        monkeypatch.setattr(
            torch.accelerator, "current_accelerator", lambda check_available=False: found
        )
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", gpu_knows)

    pretend()
    return pretend


# --- the choice -------------------------------------------------------------------------------


def test_bfloat16_where_the_hardware_multiplies_it(hardware, monkeypatch):
    slow = ("32-true", "no bfloat16 arithmetic in this CPU")
    fast = ("bf16-mixed", "this CPU multiplies bfloat16 faster")
    assert precision_for("auto") == precision_for("cpu") == precision_for("gpu") == slow
    for cpu in ("amx_tile", "avx512_bf16"):
        hardware(cpu)
        assert precision_for("auto") == precision_for("cpu") == fast
    hardware("amx_tile", "cuda", bfloat16=True)
    assert precision_for("auto") == precision_for("gpu") == precision_for("cuda")
    assert precision_for("auto") == ("bf16-mixed", "this GPU multiplies bfloat16 faster")
    assert precision_for("cpu") == fast
    hardware("amx_tile", "cuda", bfloat16=False)  # it would be emulated
    assert precision_for("auto") == ("32-true", "no bfloat16 arithmetic in this GPU")
    hardware("amx_tile", "mps")
    assert precision_for("auto") == precision_for("tpu")
    assert precision_for("auto") == ("32-true", "bfloat16 is for CPUs and CUDA")
    for name in ("amx_tile", "avx512_bf16"):  # another version of torch
        monkeypatch.delattr(torch.cpu, f"_is_{name}_supported")
    assert precision_for("cpu") == slow


def config(name):
    return yaml.safe_load((RUNS / name / "config.yaml").read_text())["trainer"].get("precision")


def first_line(capsys):
    told = capsys.readouterr()
    assert told.err == ""
    return told.out.splitlines()[0]


def test_a_run_keeps_the_precision_it_began_with(hardware, capsys):
    hardware("amx_tile")
    assert fit.main([*TINY, "--name", "fast"]) == 0
    begins = f"vdib: training in {RUNS / 'fast'}, precision bf16-mixed"
    assert first_line(capsys) == f"{begins} (this CPU multiplies bfloat16 faster)"
    assert config("fast") == "bf16-mixed"
    before = json.loads((RUNS / "fast" / "summary.json").read_text())
    assert math.isfinite(before["loss_nats"])

    hardware()  # on another machine
    assert evaluate.main([str(RUNS / "fast")]) == 0
    assert json.loads((RUNS / "fast" / "summary.json").read_text()) == before
    capsys.readouterr()
    args = ["--name", "fast", "--ckpt_path", "last", "--trainer.max_epochs", "2"]
    assert fit.main(args) == 0
    assert first_line(capsys) == begins
    assert config("fast") == "bf16-mixed"


def test_what_is_said_is_obeyed(hardware, capsys):
    hardware("amx_tile")
    assert fit.main([*TINY, "--name", "exact", "--trainer.precision", "32"]) == 0
    assert first_line(capsys) == f"vdib: training in {RUNS / 'exact'}, precision 32-true"
    assert config("exact") == 32
    plugin = ["--trainer.plugins", "MixedPrecision", "--trainer.plugins.device", "cpu"]
    plugin += ["--trainer.plugins.precision", "bf16-mixed"]
    hardware()
    assert fit.main([*TINY, "--name", "plugin", *plugin]) == 0
    assert first_line(capsys) == f"vdib: training in {RUNS / 'plugin'}, precision bf16-mixed"
    assert config("plugin") is None


def test_weights_in_half_precision_are_refused(hardware, capsys):
    hardware()
    assert fit.main(["--name", "half", "--trainer.precision", "bf16-true", *TINY]) == 2
    assert "bf16-true: potentials and weights need" in capsys.readouterr().err
    assert not (RUNS / "half").exists()


def test_a_run_from_before_is_evaluated(hardware):
    assert fit.main([*TINY, "--name", "old"]) == 0
    path = RUNS / "old" / "config.yaml"
    path.write_text(path.read_text().replace("  precision: 32-true\n", ""))
    assert config("old") is None
    hardware("avx512_bf16")
    before = json.loads((RUNS / "old" / "summary.json").read_text())
    assert evaluate.main([str(RUNS / "old")]) == 0
    after = json.loads((RUNS / "old" / "summary.json").read_text())
    assert after["loss_nats"] == pytest.approx(before["loss_nats"], rel=1e-3)


def test_gradients_are_clipped_in_mixed_precision(hardware):
    clip = ["--trainer.precision", "bf16-mixed", "--trainer.gradient_clip_val", "1"]
    assert fit.main([*TINY, "--name", "clipped", *clip]) == 0


# --- what is not rounded ----------------------------------------------------------------------


@pytest.mark.parametrize("signal", [Image((20, 20)), Label(400), Curve(200)], ids=str)
@pytest.mark.parametrize("make", [LogisticDecoder, MLPDecoder, CNNDecoder])
def test_distortions_are_those_of_the_outputs_in_single_precision(make, signal):
    torch.manual_seed(0)
    decoder = make(BasisWindow(9, 3), 5, signal)
    spikes = (torch.rand(2, 9, 5) < 0.4).float()
    r = torch.randint(200, (2, 1)) if isinstance(signal, Label) else torch.rand(2, 1, 400)
    r = r[..., :200] if isinstance(signal, Curve) else r
    with mixed():
        outputs = decoder.outputs(spikes[:, None])
        cost = -decoder(SpikeCode(spikes, None)).log_prob(r)
    assert outputs.dtype == torch.bfloat16
    exact = -signal.likelihood(outputs.double()).log_prob(r.to(torch.double))
    torch.testing.assert_close(cost.double(), exact, rtol=1e-6, atol=1e-6)


def test_the_prior_sums_over_time_in_single_precision():
    torch.manual_seed(0)
    prior = AutoregressivePrior(6)
    torch.nn.init.normal_(prior.linear.weight)
    spikes = (torch.rand(2, 15, 6) < 0.4).float()
    with mixed():
        logits = prior(spikes)
        currents = prior.linear(delayed(spikes))
    exact = prior.filter(currents.double().unflatten(-1, (-1, 6))) + prior.logit.double()
    torch.testing.assert_close(logits.double(), exact, rtol=1e-6, atol=1e-6)


def test_online_potentials_sum_over_kernels_in_single_precision():
    layer = stochastic_srm(*dense((1,), 1))
    torch.nn.init.ones_(layer.synapses.weight)
    traces = torch.tensor([256.0, *[1.0] * 7]).view(1, 8, 1)  # bfloat16 knows 256 and 258
    with mixed(), torch.no_grad():
        v = layer.from_traces(traces, torch.zeros(1, 1))
    assert v.item() == 256 + 7 - layer.threshold


def test_images_are_measured_in_single_precision():
    torch.manual_seed(0)
    images = torch.rand(3, 28, 28)
    near = (images + 0.05 * torch.randn(3, 28, 28)).clamp(0, 1)
    module = NaturalisationModule(
        num_steps=5,
        input_shape=(784,),
        signal=Image((28, 28), digits=True),
        hidden=[10],
        num_readout=4,
    )
    judged = []
    module._judge[0].register_forward_hook(lambda judge, given, logits: judged.append(logits))
    with mixed():
        similar = ssim(images, near)
        module.judge(images)
    assert torch.equal(similar, ssim(images, near))
    assert torch.equal(judged[0], module._judge[0](images))


def test_a_marginal_is_fitted_in_single_precision(monkeypatch):
    torch.manual_seed(0)
    data = BlobData(num_train=2, num_validation=4, num_test=2, num_steps=40, num_long=0)
    module = PredictiveCodingModule(
        lag=0, unscored=20, num_steps=40, input_shape=(20,), signal=data.signal, hidden=[]
    )
    monkeypatch.setattr(module, "log_figures", lambda *given: None)
    batch = data.examples("validation", 4)
    with mixed(), torch.no_grad():
        logits = module.evaluate("val", batch)
        code = module.vdib.encode(batch.spikes, Noise(0, EVALUATION, batch.id))
    exact = module.weights(40) @ code.logits.sigmoid()
    torch.testing.assert_close(logits[:, 0].sigmoid(), exact, rtol=1e-5, atol=0)
