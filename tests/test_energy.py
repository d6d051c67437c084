"""Operations, updates, traffic and joules, counted by hand; and by others."""

import json
from dataclasses import replace

import numpy as np
import pytest
import suites
import torch
from tiny_runs import run as fit_run
from tiny_runs import said, summary

from vdib.backends import event_linear
from vdib.backends.settings import changed
from vdib.decoder import CNNDecoder, LogisticDecoder, MLPDecoder
from vdib.encoder import build_encoder
from vdib.energy import check
from vdib.energy.__main__ import main
from vdib.energy.costs import COSTS, read_costs
from vdib.energy.counts import Work, dense_network, encoder_work, together
from vdib.energy.decoding import decoder_work
from vdib.energy.report import per_joule
from vdib.energy.updates import update
from vdib.figures.energy import energy
from vdib.handmade import CountDecoder
from vdib.lightning_modules.choices import NEURONS
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.neurons.recurrent import recurrent_lif
from vdib.neurons.spiking_lstm import spiking_lstm
from vdib.neurons.techniques import Techniques
from vdib.noise import Noise
from vdib.operations import arriving, connections, operations
from vdib.runs.command import UserError
from vdib.signal import Label
from vdib.sparse import SparseSpikes
from vdib.spike_code import SpikeCode
from vdib.window import BasisWindow, FullWindow, RateWindow

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
F32 = torch.float32


def encoded(input_shape, num_readout, hidden, rate=0.3, steps=8, examples=2, **settings):
    torch.manual_seed(0)
    encoder = build_encoder(input_shape, num_readout, hidden, num_filters=2, **settings).eval()
    x = suites.spike_train(examples, steps, *input_shape, rate=rate, dtype=F32)
    encoder.calibrate(x, 0.3)
    with torch.no_grad():
        return encoder, x, encoder(x, Noise(0, 0, torch.arange(examples)))


def test_what_a_small_dense_network_does_by_hand():
    encoder, x, code = encoded((5,), 3, (4,))
    encoder.layers[0].synapses.by_input.data[:2] = 0  # two inputs without a weight
    given, hidden, sent = x.sum() / 2, code.hidden[0].sum() / 2, code.spikes.sum() / 2
    felt = float(x[..., 2:].sum() / 2)
    first, last = encoder_work(encoder, x, code).values()
    # Four neurons with two poles, an exponential after-potential, one comparison; 8 steps.
    expected = Work(
        events=float(given),
        additions=4 * felt,
        unpruned_synops=4 * float(given),
        dense_synops=8 * 5 * 4,
        updates=8 * 4,
        update_multiplications=8 * 4 * (2 + 1),
        update_additions=8 * 4 * (2 + 1 + 1) + float(hidden),
        spikes=float(hidden),
        bytes=3 * 4 * 4 * felt + 2 * 4 * (3 * 8 * 4 + float(hidden)) + 8 * float(hidden),
    )
    assert 0 < felt < given
    for name, value in expected.as_dict().items():
        assert first.as_dict()[name] == pytest.approx(value), name
    taps = int((encoder.readout.filter.impulse_response(10) != 0).sum())
    expected = Work(
        events=float(hidden),
        additions=float(hidden) * 3 * 2,
        unpruned_synops=float(hidden) * 3 * 2,
        dense_synops=8 * 4 * 3 * 2,
        updates=8 * 3,
        update_multiplications=8 * 3 * taps,
        update_additions=8 * 3 * (taps + 1 + 1) + 10 * float(sent),
        spikes=float(sent),
        bytes=3 * 4 * 6 * float(hidden)
        + 2 * 4 * (8 * 3 * (9 + 10) + 10 * float(sent))
        + 8 * float(sent),
    )
    assert hidden > 0
    assert sent > 0
    for name, value in expected.as_dict().items():
        assert last.as_dict()[name] == pytest.approx(value), name


def test_lstm_cells_tell_each_other_a_step_later():
    encoder, x, code = encoded((5,), 3, (6,), neuron=spiking_lstm)
    first, _ = encoder_work(encoder, x, code).values()
    given, told = float(x.sum()) / 2, float(code.hidden[0][:, :-1].sum()) / 2
    assert first.additions == pytest.approx(24 * (given + told))
    assert first.dense_synops == 24 * (8 * 5 + 7 * 6)
    assert (first.update_multiplications, first.update_additions) == (0, 8 * 6 * 4)
    assert told > 0
    encoder, x, code = encoded((5,), 3, (6,), neuron=NEURONS["lstm"].part)
    first, last = encoder_work(encoder, x, code).values()
    told = float((code.hidden[0][:, :-1] != 0).sum()) / 2
    assert first.additions == pytest.approx(24 * given)
    assert first.macs == pytest.approx(24 * told)
    assert last.additions == 0
    assert last.macs == float((code.hidden[0] != 0).sum()) / 2 * 3 * 2
    assert first.spikes == 0


def test_spikes_that_are_delayed_beyond_the_end_cost_nothing():
    encoder, x, code = encoded((5,), 3, (4,), techniques=Techniques(delays=4))
    late = encoder.layers[0].delays.round().long()
    arrive = sum(
        float(x[b, t, j]) for b in range(2) for t in range(8) for j in range(5) if t + late[j] < 8
    )
    first, _ = encoder_work(encoder, x, code).values()
    assert first.additions == pytest.approx(4 * arrive / 2)
    assert arrive < x.sum()
    more = first.bytes - 12 * first.additions
    own = float(code.hidden[0].sum()) / 2
    assert more == pytest.approx(8 * arrive / 2 + 8 * (3 * 32 + own) + 8 * own)


def test_counts_of_residual_blocks_are_so_many_spikes_and_neurons_hear_their_own():
    settings = {"conv": ("2c3",), "techniques": Techniques(residual="add"), "neuron": recurrent_lif}
    encoder, x, code = encoded((1, 4, 4), 3, (), 0.5, **settings)
    for layer in encoder.layers:
        for weight in (w for c, _ in connections(layer) for w in c.parameters()):
            weight.data = 2 * weight.abs()
    with torch.no_grad():
        code = encoder(x, Noise(0, 0, torch.arange(2)))
    left, below = code.hidden[1], code.hidden[0]
    own = left - below  # of the block's own neurons
    assert left.max() == 2
    assert own.sum() > 0
    found = {(a.layer, a.recurrent): a for a, _ in arriving(encoder, x, code)}
    assert float(found[1, True].operations()) == pytest.approx(float(own[:, :-1].sum()) / 2 * 32)
    assert float(found[2, False].operations()) == pytest.approx(float(left.sum()) / 2 * 3 * 2)
    assert found[2, False].spikes
    assert len(found) == 5


@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_is_counted_whatever_is_around_it(name):
    technique = Techniques(norm=True, attention=4)
    each = [
        encoded((5,), 3, (4,), neuron=NEURONS[name].part, techniques=t)[0].layers[0]
        for t in (None, technique)
    ]
    plain, wrapped = map(update, each)
    currents = 4 if "lstm" in name else 1
    weights = 4 * 2 + 2  # of the two layers that weigh a step; the layer has 4 neurons
    assert wrapped.multiplications == plain.multiplications + currents + weights / 4
    assert wrapped.additions == plain.additions + currents + (weights + 5) / 4
    assert wrapped.words == plain.words + 3 / 4
    assert plain.additions > 0
    with pytest.raises(ValueError, match=r"^energy: no count of what Linear does at a step$"):
        update(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("conv", [False, True])
def test_the_kernels_and_neurobench_count_the_same(conv):
    shape, settings = ((2, 8, 8), {"conv": (3, "4c3p0")}) if conv else ((20,), {})
    encoder, x, code = encoded(shape, 4, (7,), 0.1, **settings)
    for layer in (*encoder.layers, encoder.readout):
        for weight in layer.synapses.parameters():
            weight.data[weight.abs() < weight.abs().median()] = 0
    rows = check.compared(encoder, SparseSpikes.of(x), code)
    assert len(rows) == 4 if conv else 2
    for name, ours, kernels, neurobench in rows:
        assert ours > 0
        assert kernels == ours, name
        assert neurobench in (ours, None), name


def test_neurobench_takes_counts_for_multiplications_and_sees_no_layer_of_ours():
    """Its errors, as docs/energy.md names them."""
    pytest.importorskip("neurobench", reason="NeuroBench is not installed")
    from neurobench.metrics.utils.layers import single_layer_MACs

    linear = torch.nn.Linear(4, 3, bias=False)
    spikes, counts = torch.tensor([[1.0, 0, 1, 1]]), torch.tensor([[1.0, 0, 2, 1]])
    assert single_layer_MACs(spikes, linear) == (9, True)
    assert single_layer_MACs(counts, linear) == (9, False)  # four spikes arrive, twelve weights
    encoder, _, _ = encoded((4,), 3, (3,))
    assert single_layer_MACs(spikes, encoder.layers[0].synapses) == (0, True)
    assert single_layer_MACs(-spikes, linear) == (9, True)


def test_the_kernels_of_the_default_network_add_as_many_weights(monkeypatch):
    """Counted where they are about to add them, on lists of spikes as evaluation makes them."""
    torch.manual_seed(0)
    encoder = build_encoder((784,), 256)
    batch = ImageData(num_steps=30).examples("test", 16)
    encoder.calibrate(batch.spikes, 0.1)
    added, gather = [], event_linear._gather

    def counting(weight, offset, neuron):
        added.append(len(neuron) * len(weight))
        return gather(weight, offset, neuron)

    monkeypatch.setattr(event_linear, "_gather", counting)
    monkeypatch.setitem(event_linear.DENSE, F32, 1.0)  # lists, however many they hold
    monkeypatch.setitem(event_linear.LISTED, F32, 1.0)
    with torch.no_grad(), changed(list_from=0):
        code = encoder(batch.spikes, Noise(0, 0, batch.id))
    assert len(added) == 2
    assert sum(added) == float(operations(encoder, batch.spikes, code)) * 16


def brute(layer, x):
    """Products of weights and inputs that are not 0, one at a time: a linear layer's."""
    weight = layer.weight.detach()
    return sum(
        int(weight[o, i] != 0) for row in x for i in row.nonzero() for o in range(len(weight))
    )


def code_of(steps=6, neurons=4, examples=3):
    spikes = suites.spike_train(examples, steps, neurons, rate=0.4, dtype=F32)
    return SpikeCode(spikes, None)


@pytest.mark.parametrize("every_step", [False, True])
def test_what_learned_decoders_do_by_hand(every_step):
    torch.manual_seed(0)
    code, times = code_of(), 6 if every_step else 1
    seen = [
        torch.cat([torch.zeros(6 - t, 4), s[:t]])
        for s in code.spikes
        for t in (range(1, 7) if every_step else [6])
    ]
    fired = sum(float(w.sum()) for w in seen) / 3
    found = decoder_work(LogisticDecoder(FullWindow(6), 4, 5), code, every_step)
    assert found["head"].additions == pytest.approx(fired * 5)
    assert found["head"].macs == 0
    assert found["head"].dense_synops == pytest.approx(times * 24 * 5)
    mlp = MLPDecoder(RateWindow(6), 4, 5, num_hidden=7)
    mlp.head.weight.data[0] = 0
    mlp.hidden.weight.data[:, 0] = 0
    counts = [w.sum(0) for w in seen]
    units = [torch.relu(mlp.hidden(c)) for c in counts]
    found = decoder_work(mlp, code, every_step)
    assert found["window"].additions == pytest.approx(fired)
    assert found["hidden"].macs == pytest.approx(brute(mlp.hidden, counts) / 3)
    assert found["head"].macs == pytest.approx(brute(mlp.head, units) / 3)
    assert 0 < found["head"].macs < found["head"].unpruned_synops < found["head"].dense_synops
    assert found["head"].additions == 0
    assert found["head"].dense_synops == pytest.approx(times * 7 * 5)
    assert found["head"].bytes == pytest.approx(16 * found["head"].macs)
    mlp = MLPDecoder(FullWindow(6), 4, 5, num_hidden=7)
    units = [torch.relu(mlp.hidden(w.flatten())) for w in seen]
    found = decoder_work(mlp, code, every_step)
    assert found["hidden"].additions == pytest.approx(fired * 7)
    assert found["head"].macs == pytest.approx(brute(mlp.head, units) / 3)
    assert found["hidden"].macs == found["head"].additions == 0
    cnn = CNNDecoder(BasisWindow(6, 2), 4, 5, num_channels=3, kernel_size=3)
    found = decoder_work(cnn, code, every_step)
    assert found["window"].additions == pytest.approx(fired * 2)
    assert found["window"].macs == pytest.approx(times * 2 * 6 * 4)
    # 6 steps to 3 to 2 by taps of 3, stride 2, one pixel of padding: 8 and then 4 taps inside.
    assert found["first"].dense_synops == pytest.approx(times * 8 * 4 * 3)
    assert found["second"].dense_synops == pytest.approx(times * 4 * 3 * 3)
    assert found["head"].dense_synops == pytest.approx(times * 2 * 3 * 5)


def test_decoders_by_hand_add_spikes():
    code = code_of()
    found = decoder_work(CountDecoder(RateWindow(6), 4, Label(4)), code, False)
    assert together(found.values()).additions == pytest.approx(float(code.spikes.sum()) / 3)
    assert together(found.values()).macs == 0


def test_the_dense_network_multiplies_every_weight_once():
    encoder, x, code = encoded((2, 6, 6), 3, (5,), conv=(4,))
    decoder = LogisticDecoder(FullWindow(8), 3, 10)
    # 5x5 pooled by 2 is 6x6 in steps of 2: of 36 taps at each of 3x3 places those inside count.
    inside = sum(
        1
        for i in range(3) for j in range(3) for a in range(6) for b in range(6)
        if 0 <= 2 * i + a - 2 < 6 and 0 <= 2 * j + b - 2 < 6
    )  # fmt: skip
    encoded_macs = inside * 2 * 4 + 36 * 5 + 5 * 3 * 2
    whole = dense_network(encoder, decoder_work(decoder, code, False))
    assert whole.macs == pytest.approx(encoded_macs + 8 * 3 * 10)
    assert whole.bytes == pytest.approx(4 * (2 * whole.macs + 36 + 5 + 3))
    dense = sum(work.dense_synops for work in encoder_work(encoder, x, code).values())
    assert dense == 8 * encoded_macs


def test_joules_by_hand():
    work = Work(additions=1000, macs=10, updates=5, update_multiplications=20, update_additions=30,
                spikes=7, bytes=100)  # fmt: skip
    arithmetic = 1000 * 0.9 + 10 * 4.6
    neurons = 20 * 3.7 + 30 * 0.9
    assert COSTS["45nm"].picojoules(work).total == pytest.approx(arithmetic + neurons)
    memory = arithmetic + neurons + 1250
    assert COSTS["45nm_memory"].picojoules(work).total == pytest.approx(memory)
    integers = 1000 * 0.1 + 10 * 0.3 + 20 * 0.2 + 30 * 0.1
    assert COSTS["45nm_int8"].picojoules(work).total == pytest.approx(integers)
    chip = 1010 * 23.6 + 10 * 3.7 + 5 * 81 + 7 * 1.7
    assert COSTS["loihi"].picojoules(work).total == pytest.approx(chip)
    beside = replace(work, updates=0, spikes=0)
    assert COSTS["loihi"].picojoules(beside, on_chip=False).total == pytest.approx(arithmetic)
    found = per_joule({"rate_bits": 80.0, "class_accuracy": 0.9}, 2e-6, 30)
    assert found == {"rate_bits": pytest.approx(4e7), "class_accuracy": pytest.approx(4.5e5)}
    found = per_joule({"rate_bits_per_step": 2.0, "symbol_accuracy": 0.5}, 2e-6, 30)
    assert found == {"rate_bits": pytest.approx(3e7), "symbol_accuracy": pytest.approx(7.5e6)}
    assert per_joule({"rate_bits": 1.0}, 0.0, 30) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no YAML or JSON"),
        ("[1]", "expected cost models by name, my_chip: {addition: 0.1, ...}"),
        ("a: 3", "a: got 3, expected some of addition, multiplication, synop, update, spike"),
        ("a: {adition: 3}", "a: got 'adition', expected some of addition, multiplication"),
        ("a: {addition: -1}", "a: addition is -1, expected pJ, 0 or more"),
        ("a: {addition: 1}", "a: no multiplication"),
    ],
)
def test_cost_models_that_are_none(text, words, tmp_path):
    path = tmp_path / "costs.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_costs(path)
    assert words in str(error.value)
    assert str(error.value).startswith(str(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("runs"))
        yield fit_run("one", "--trainer.precision", "32-true").absolute()


def test_the_command(folder, tmp_path, capsys):
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"mine": {"addition": 1, "multiplication": 2, "source": "us"}}))
    assert main([str(folder), "--costs", str(mine), "--check"]) == 0
    out = capsys.readouterr().out
    assert "per example, mean of 500 test examples of 6 steps" in out
    found = json.loads((folder / "energy.json").read_text())
    own = summary(folder)
    layers, decoder = found["layers"], found["decoder"]
    assert list(layers) == ["hidden 1", "readout"]
    counted = sum(work["synops"] for work in layers.values())
    assert counted == pytest.approx(own["synops"], rel=1e-6)
    assert main([str(folder), "--examples", "100"]) == 0
    some = json.loads((folder / "energy.json").read_text())
    assert some["examples"] == 100
    assert sum(w["synops"] for w in some["layers"].values()) != pytest.approx(counted, rel=1e-6)
    for name, value in found["total"].items():
        parts = [work[name] for work in (*layers.values(), *decoder.values())]
        assert value == pytest.approx(sum(parts)), name
    assert found["dense"]["once"]["macs"] == 784 * 20 + 20 * 8 * 8 + 6 * 8 * 512 + 512 * 784
    moving = 6 * (784 * 20 + 20 * 8 * 8) + 6 * 8 * 512 + 512 * 784
    assert found["dense"]["every step"]["macs"] == moving
    total = found["total"]
    joules = total["additions"] + 3 * total["macs"]
    joules += 2 * total["update_multiplications"] + total["update_additions"]
    assert found["joules"]["mine"]["total"] == pytest.approx(joules * 1e-12)
    assert found["joules"]["mine"]["dense, every step"] == pytest.approx(3e-12 * moving)
    bits = own["rate_bits"] / (joules * 1e-12)
    assert found["per_joule"]["mine"]["rate_bits"] == pytest.approx(bits)
    assert found["sources"]["mine"] == "us"
    assert (folder / "figures" / "energy.png").stat().st_size > 10_000
    assert f"{total['synops']:,.0f}" in out
    assert f"{1e9 * found['joules']['loihi']['dense, once']:,.0f}" in out


def test_complaints_of_the_command(folder, tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert said(capsys).endswith("summary.json is missing")
    assert main([str(folder), "--costs", str(tmp_path / "none.yaml")]) == 2
    assert said(capsys).endswith("none.yaml: No such file or directory")
    assert main([str(folder), "--examples", "0"]) == 2
    assert "--examples: got 0, expected 1 or more" in capsys.readouterr().err


def test_the_figure_has_a_bar_a_network_and_a_piece_a_part():
    parts = {"hidden 1": 1e-6, "readout": 2e-6, "decoder": 3e-6, "total": 6e-6}
    joules = {"a": parts | {"dense, once": 9e-6, "dense, every step": 2e-5}}
    (axes,) = energy(joules).axes
    lengths = [patch.get_width() for patch in axes.patches]
    np.testing.assert_allclose(lengths, [1, 2, 3, 9, 20])
    assert [patch.get_x() for patch in axes.patches] == pytest.approx([0, 1, 3, 0, 0])
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "spikes", "dense, once", "dense, every step"
    ]  # fmt: skip
    assert " 6 µJ" in [text.get_text() for text in axes.texts]
