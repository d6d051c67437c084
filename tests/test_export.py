"""Runs in other tools' files: rebuilt from them, or run from them, beside the model itself."""

import io
import json
import shutil
from functools import partial

import numpy as np
import pytest
import suites
import torch
from tiny_runs import run as fit_run
from tiny_runs import said, summary

import vdib
from vdib.decoder import CNNDecoder, MLPDecoder
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.export import onnx_check, onnx_model
from vdib.export.__main__ import main
from vdib.export.twin import drift, measured, twin
from vdib.lightning_modules.callbacks import Figures
from vdib.lightning_modules.choices import NEURONS, READOUTS
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.naturalise.__main__ import main as naturalise
from vdib.neurons.techniques import Techniques
from vdib.noise import Noise
from vdib.runs import exported
from vdib.runs.command import UserError
from vdib.runs.exported import ExportedRun, run_at, write_exported
from vdib.runs.folder import Run
from vdib.runs.loading import rebuild, take_best
from vdib.window import BasisWindow, FullWindow

# Of Lightning, PyTorch's exporter and jsonargparse, about themselves.
pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}Warning" for kind in ("Deprecation", "User", "Future"))
)
THRESHOLD = READOUTS["threshold"].part


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("runs"))
        yield fit_run("one", "--trainer.precision", "32-true").absolute()


@pytest.fixture(scope="module")
def copy(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "copy"
    assert main([str(folder), "--to", "safetensors", "--out", str(out)]) == 0
    return out


def outputs(model):
    batch = ImageData(num_steps=6).examples("test", 8)
    with torch.no_grad():
        code = model.encode(batch.spikes, Noise(0, -1, batch.id))
        return code.spikes, model.decode(code).mean


def test_what_is_exported_is_loaded_again_equal(folder, copy):
    before, after = vdib.load(folder), vdib.load(copy)
    for mine, other in zip(outputs(before), outputs(after), strict=True):
        assert torch.equal(mine, other)
    assert before.state_dict().keys() == after.state_dict().keys()
    content = json.loads((copy / "run.json").read_text())
    assert content["summary"] == summary(folder)
    assert content["config"] == Run(folder).config()
    assert content["vdib_version"] == vdib.__version__
    weight = content["tensors"]["vdib.decoder.head.weight"]
    assert weight == {"shape": [784, 512], "dtype": "torch.float32"}
    assert run_at(copy).summary() == summary(folder)
    assert not list(copy.glob("*.ckpt"))


def test_half_precision_is_half_the_size_and_loads_as_single(folder, copy, tmp_path):
    made = write_exported(run_at(copy), tmp_path / "half", half=True)  # of an export as of a run
    assert made.best.stat().st_size < 0.51 * (copy / "model.safetensors").stat().st_size
    before, after = vdib.load(folder), vdib.load(tmp_path / "half")
    for name, weight in before.state_dict().items():
        rounded = weight.half().float() if weight.is_floating_point() else weight
        assert torch.equal(after.state_dict()[name], rounded), name


def test_what_the_data_learned_comes_along(tmp_path):
    run = Run(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    run.write_config("data: {class_path: vdib.somewhere.WordData}\n")
    run.write_summary({"seed": 3})
    vectors, weight = torch.rand(3, 2), torch.rand(4)
    torch.save({"state_dict": {"a": weight}, "WordData": {"vectors": vectors}}, run.best)
    state = write_exported(run, tmp_path / "out").best_weights()
    assert torch.equal(state["WordData"]["vectors"], vectors)
    assert list(state["state_dict"]) == ["a"]
    assert torch.equal(state["state_dict"]["a"], weight)


def test_runs_that_ship_go_by_their_names(folder, copy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exported, "SHIPPED", tmp_path / "shipped")
    assert naturalise(["x.aedat", "--out", "images"]) == 2
    assert said(capsys).startswith("digits-dvs128 is not a finished run")
    shutil.copytree(copy, tmp_path / "shipped" / "digits-dvs128")
    assert exported.shipped() == ["digits-dvs128"]
    assert torch.equal(outputs(vdib.load("digits-dvs128"))[1], outputs(vdib.load(folder))[1])
    assert naturalise(["x.aedat", "--out", "images"]) == 2
    assert said(capsys).endswith(
        "digits-dvs128 was not trained on recordings: see --config mnist_dvs"
    )
    with pytest.raises(UserError, match=r"^nothing: no such folder, nor a run that ships: "):
        vdib.load("nothing")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("run.json", b"{", "run.json is damaged"),
        ("run.json", b"[]", "run.json is damaged"),
        ("model.safetensors", b"12", "model.safetensors is damaged, or no safetensors"),
    ],
)
def test_damaged_exports_are_one_line(copy, tmp_path, name, content, words):
    other = tmp_path / "other"
    shutil.copytree(copy, other)
    (other / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        vdib.load(other)
    assert str(error.value).endswith(words)


def test_exports_of_a_later_format_say_so(copy, tmp_path):
    content = json.loads((copy / "run.json").read_text())
    other = ExportedRun(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(content | {"format": 2, "vdib_version": "9"}))
    with pytest.raises(UserError, match=r"got format 2, expected 1 \(written by vdib 9; this is"):
        other.config()


def small(shape=(20,), seed=0, **settings):
    """An encoder of three layers whose neurons fire, and spikes for it."""
    torch.manual_seed(seed)
    encoder = build_encoder(shape, 5, (10,), **settings).double()
    x = suites.spike_train(3, 40, *shape)
    encoder.calibrate(x, 0.4, 2.0)
    for name, weight in encoder.hidden.named_parameters():
        if name.endswith(("by_input", "conv.weight")):
            weight.data *= 2
    return encoder.eval(), x


def onnx_of(encoder, dtype=torch.float64):
    return onnx_model.encoder_step(encoder, {"who": "us"}, dtype)


@pytest.mark.parametrize(
    "settings",
    [{}, {"neuron": NEURONS["recurrent_lif"].part, "techniques": Techniques(delays=3)}],
    ids=["plain", "recurrent"],
)
def test_an_encoder_step_under_onnxruntime_for_a_thousand_steps(settings):
    encoder, _ = small(**settings)
    x = suites.spike_train(1000, 20, rate=0.2, seed=1)
    noise = Noise(0, 0, torch.zeros(1, dtype=torch.int64)).uniform(0, 1000, (5,))[0]
    found = onnx_check.compare(encoder, onnx_of(encoder), x, noise)
    assert found.disagreements == []
    assert found.spikes > 2000
    content = onnx_of(encoder, torch.float32)
    found = onnx_check.compare(encoder, content, x.float(), noise)
    assert found.furthest < 1e-5
    if settings:
        return
    # A file of other weights is noticed, and where; its state is set right after each step.
    encoder.layers[0].bias.data[3] += 1e-3
    other = onnx_check.compare(encoder, content, x.float(), noise)
    assert 0 < len(other.disagreements) < 100
    assert {layer for _, layer, _ in other.disagreements} == {0}
    assert 0 < other.furthest < 1.1e-3
    encoder.layers[0].bias.data[3] -= 1e-3
    encoder.readout.bias.data[2] += 0.5
    other = onnx_check.compare(encoder, content, x.float(), noise)
    assert {layer for _, layer, _ in other.disagreements} == {1}
    assert 0.1 < other.furthest < 0.501


def test_names_and_metadata_of_an_encoder_step():
    import onnx

    encoder, _ = small(readout=THRESHOLD, neuron=NEURONS["spiking_lstm"].part)
    content = onnx_of(encoder, torch.float32)
    session = onnx_check.session(content)
    states = ["state_0", "state_1", "state_2", "state_3"]
    assert [part.name for part in session.get_inputs()] == ["x", *states]  # no noise is drawn
    assert [part.name for part in session.get_outputs()] == [
        "spikes", "hidden_1", *(f"next_{name}" for name in states)
    ]  # fmt: skip
    props = onnx.load_model_from_string(content).metadata_props
    assert {part.key: part.value for part in props}["who"] == "us"
    x = suites.spike_train(200, 20, rate=0.4, dtype=torch.float32)
    found = onnx_check.compare(encoder, content, x, torch.zeros(200, 5))
    assert found.disagreements == []
    assert found.spikes > 100


def test_decoders_under_onnxruntime():
    torch.manual_seed(0)
    windows = suites.spike_train(7, 6, 5, dtype=torch.float32)
    for decoder in (MLPDecoder(FullWindow(6), 5, 9), CNNDecoder(BasisWindow(6, 3), 5, 9)):
        content = onnx_model.decoder_outputs(decoder, {})
        assert onnx_check.decoder_error(decoder, content, windows) < 1e-5
        decoder.head.bias.data[4] += 0.5
        assert onnx_check.decoder_error(decoder, content, windows) == pytest.approx(0.5, rel=1e-4)
        decoder.head.bias.data[4] += 1e6  # of a large output, the error is relative
        wrong = onnx_check.decoder_error(decoder, content, windows)
        assert wrong == pytest.approx(1, rel=1e-4)


def test_the_twin_fires_above_its_threshold():
    encoder, x = small()
    hard = twin(encoder)
    with torch.no_grad():
        code = hard(x)
    assert torch.equal(code.spikes, (code.v > 0).double())
    assert 0.05 < code.spikes.mean() < 0.95
    assert not code.stochastic
    assert encoder.readout.stochastic  # itself as it was
    other, _ = small(readout=THRESHOLD)
    assert torch.equal(twin(other)(x).spikes, other(x).spikes)


NIR_CASES = {
    "srm": {},
    "lif": {"neuron": NEURONS["lif"].part},
    "leaky": {"neuron": NEURONS["leaky"].part},
    "plif": {"neuron": NEURONS["plif"].part, "conv": (3, "2c3"), "readout": THRESHOLD},
    "recurrent": {"neuron": NEURONS["recurrent_lif"].part, "readout": THRESHOLD},
    "learned": {
        "neuron": partial(
            NEURONS["srm"].part, learn=["membrane", "synapse", "refractory"], shared=False
        )
    },
    "recurrent, learned": {"neuron": partial(NEURONS["recurrent_lif"].part, learn=["beta"])},
    "techniques": {"techniques": Techniques(norm=True, delays=3, residual="add"), "conv": (3,)},
}


def round_trip(encoder, dt=2e-3):
    nir = pytest.importorskip("nir", "1.0.8")
    from vdib.export.nir_graph import graph_of
    from vdib.export.nir_layer import read

    content = io.BytesIO()
    nir.write(content, graph_of(twin(encoder), dt, {"who": "us"}))
    content.seek(0)
    return read(content)


@pytest.mark.parametrize("name", NIR_CASES)
def test_a_nir_file_read_back_fires_the_same(name):
    settings = NIR_CASES[name]
    encoder, x = small((1, 6, 6) if "conv" in settings else (20,), **settings)
    layer = round_trip(encoder)
    with torch.no_grad():
        expected = twin(encoder)(x).spikes
        found, _ = layer(x)
        assert torch.equal(found, expected)
        assert 0.05 < expected.mean() < 0.95
        # As the readout of an encoder without hidden layers, and as a stream.
        alone = SpikingEncoder([], layer)
        assert torch.equal(alone(x).spikes, expected)
        state, steps = None, []
        for now in x.unbind(1):
            code, state = alone.step(now, state)
            steps.append(code.spikes)
        assert torch.equal(torch.stack(steps, 1), expected)
    assert layer.dt == 2e-3
    assert (layer.shape, layer.input_shape) == (encoder.readout.shape, encoder.input_shape)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"neuron": NEURONS["slayer"].part}, "hidden_1: alpha kernels, which end"),
        ({"neuron": NEURONS["spiking_lstm"].part}, "hidden_1: LSTM cells"),
        ({"techniques": Techniques(attention=3)}, "hidden_1: temporal attention"),
        (
            {"techniques": Techniques(residual="and"), "conv": ("2c3",)},
            "hidden_2: a residual connection that multiplies",
        ),
        ({"conv": ("2a",)}, "hidden_1: fixed sums of a neuron's own weight"),
    ],
)
def test_what_nir_cannot_say_is_named(settings, words):
    pytest.importorskip("nir", "1.0.8")
    from vdib.export.nir_graph import graph_of

    encoder = build_encoder((1, 6, 6) if "conv" in settings else (20,), 5, (10,), **settings)
    with pytest.raises(ValueError, match=r"^NIR cannot say ") as error:
        graph_of(twin(encoder), 1e-3, {})
    assert str(error.value).endswith(words)
    with pytest.raises(ValueError, match=r"^NIR has no stochastic threshold"):
        graph_of(encoder.eval(), 1e-3, {})


def graph(nodes, edges, **metadata):
    nir = pytest.importorskip("nir", "1.0.8")
    ends = {"i": nir.Input({"input": np.array([1])}), "o": nir.Output({"output": np.array([1])})}
    return nir.NIRGraph({**ends, **nodes}, edges, metadata)


def one(value):
    return np.array([value])


def test_files_of_others_by_the_equations_of_their_nodes():
    nir = pytest.importorskip("nir", "1.0.8")
    from vdib.export.nir_layer import NIRLayer

    node = nir.CubaLIF(tau_syn=one(4.0), tau_mem=one(8.0), r=one(3.0), v_leak=one(0.2),
                       v_threshold=one(1.0), v_reset=one(-0.5), w_in=one(2.0))  # fmt: skip
    layer = NIRLayer(graph({"n": node}, [("i", "n"), ("n", "o")]), dt=2.0)
    x = suites.spike_train(1, 60, 1)
    current, v, expected = 0.0, 0.0, []
    for s in x.flatten().tolist():
        current += 2 / 4 * (2 * s - current)
        v += 2 / 8 * (0.2 - v + 3 * current)
        expected.append(float(v > 1))
        v = -0.5 if v > 1 else v
    assert layer(x)[0].flatten().tolist() == expected
    assert 5 < sum(expected) < 55


def test_graphs_that_cannot_be_run(tmp_path):
    nir = pytest.importorskip("nir", "1.0.8")
    from vdib.export.nir_layer import NIRLayer, read

    li = {name: nir.LI(tau=one(2.0), r=one(1.0), v_leak=one(0.0)) for name in ("a", "b")}
    there = [("i", "a"), ("a", "b"), ("b", "a"), ("b", "o")]
    with pytest.raises(ValueError, match=r"^NIR: a cycle without a delay: "):
        NIRLayer(graph(li, there, dt=1.0))
    with pytest.raises(ValueError, match=r"^NIR: the graph says no dt: give one$"):
        NIRLayer(graph({"a": li["a"]}, [("i", "a"), ("a", "o")]))
    spikes = nir.IF(r=one(1.0), v_threshold=one(1.0))
    with pytest.raises(ValueError, match=r"^NIR: a is a IF, which nothing here runs$"):
        NIRLayer(graph({"a": spikes}, [("i", "a"), ("a", "o")], dt=1.0))
    (tmp_path / "x.nir").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match=r"x\.nir is damaged, or no NIR$"):
        read(tmp_path / "x.nir")


def test_the_drift_is_what_the_twin_loses(folder):
    cli = rebuild(Run(folder))
    take_best(cli, Run(folder))
    own = cli.model.vdib.encoder
    found = drift(cli)
    assert cli.model.vdib.encoder is own
    cli.model.vdib.encoder = twin(own)
    hard = measured(cli.evaluator(), cli)
    assert hard == {name: each["twin"] for name, each in found.items()}
    for name, each in found.items():
        assert each["drift"] == pytest.approx(each["twin"] - each["model"])
        assert summary(folder)[name] == pytest.approx(each["model"], rel=1e-5)
    assert found["spikes_per_sample"]["drift"] != 0
    assert {"judge_accuracy", "ssim", "distortion_nats"} <= found.keys()


def test_whoever_measures_a_twin_leaves_the_figures_of_the_run(folder):
    def draws(trainer):
        return any(isinstance(callback, Figures) for callback in trainer.callbacks)

    for asked in (True, False):
        cli = rebuild(Run(folder))
        cli.config.figures_every = 0
        assert draws(cli.evaluator(figures=asked)) is asked


def test_a_nir_file_says_what_its_twin_loses(folder, tmp_path, capsys):
    nir = pytest.importorskip("nir", "1.0.8")
    assert main([str(folder), "--to", "nir", "--out", str(tmp_path), "--check"]) == 0
    out = capsys.readouterr().out
    metadata = nir.read(tmp_path / "encoder.nir").metadata
    found = json.loads(metadata["drift"])
    assert found["spikes_per_sample"]["drift"] != 0
    for name, each in found.items():
        assert summary(folder)[name] == pytest.approx(each["model"], rel=1e-5)
        assert f"{name}: {each['model']:.4g} of the model, {each['twin']:.4g} of its twin" in out
        assert f"({each['drift']:+.4g})" in out
    assert " spikes of 20 test examples, 0 others" in out
    assert "sigmoid(v)" in metadata["readout"]
    assert metadata["dt"] == 1e-3


def test_the_command_for_onnx(folder, tmp_path, capsys):
    assert main([str(folder), "--to", "onnx", "--out", str(tmp_path), "--check"]) == 0
    out = capsys.readouterr().out
    assert "spikes in 1,000 steps, 0 of them others under onnxruntime, at most 0 from" in out
    assert out.count(" in 1,000 steps") == 2
    assert "decoder: outputs of 100 test examples differ by " in out
    assert {path.name for path in tmp_path.iterdir()} == {"encoder_step.onnx", "decoder.onnx"}


def test_complaints_of_the_command(folder, tmp_path, capsys):
    assert main([str(tmp_path), "--to", "onnx", "--out", str(tmp_path)]) == 2
    assert "is not a finished run" in said(capsys)
    assert main([str(folder), "--to", "onnx", "--half", "--out", str(tmp_path)]) == 2
    assert "--half: only with --to safetensors" in capsys.readouterr().err
