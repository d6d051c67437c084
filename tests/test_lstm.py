"""Spiking LSTM cells: their rules by hand, and their gradient by autograd and by differences."""

import math
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from types import SimpleNamespace
from typing import ClassVar

import pytest
import suites
import torch
import yaml

from vdib.backends import dispatch, fused_lstm
from vdib.backends.describe import NoKernel
from vdib.credit import DirectFeedback, EProp
from vdib.decoder import LogisticDecoder
from vdib.dynamics.firing import Bernoulli, Threshold
from vdib.dynamics.lstm import RealCell, SpikingCell, lstm
from vdib.dynamics.surrogate import arctan
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.estimator import StraightThrough
from vdib.handmade import CountDecoder
from vdib.lightning_modules.choices import ESTIMATORS
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.optimizers import adam
from vdib.lightning_modules.schedule import cosine
from vdib.membrane import MembraneDecoder
from vdib.model import VDIB
from vdib.neurons.lstm import lstm as ordinary
from vdib.neurons.readout import sampled, threshold
from vdib.neurons.spiking_lstm import spiking_lstm
from vdib.neurons.synapses import dense, pooled_conv
from vdib.neurons.techniques import Techniques
from vdib.noise import EVALUATION, Noise
from vdib.penalty import hidden_spikes, im_loss
from vdib.prior import BernoulliPrior
from vdib.signal import Label
from vdib.window import FullWindow

BATCH, STEPS, SIZE = 3, 9, 5


def problem(spread=2.0, batch=BATCH, steps=STEPS, size=SIZE):
    """Currents, shift and recurrent weights, all of which the gradient is taken by."""
    torch.manual_seed(0)
    shapes = (batch, steps, 4, size), (4, size), (size, 4 * size)
    drawn = [spread * torch.randn(shape).double() for shape in shapes]
    drawn[1] += spread / 2  # gates are open more often than not, and some memories are clipped
    return [value.requires_grad_() for value in drawn]


class Fired(torch.autograd.Function):
    """A threshold with a derivative of its own."""

    @staticmethod
    def forward(ctx, v, surrogate):
        ctx.save_for_backward(v)
        ctx.surrogate = surrogate
        return (v > 0).to(v)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.surrogate(*ctx.saved_tensors), None


class Clipped(torch.autograd.Function):
    """`min(x, 1)`, with gamma for its derivative where it clips."""

    @staticmethod
    def forward(ctx, x, gamma):
        ctx.save_for_backward(x)
        ctx.gamma = gamma
        return x.clamp(max=1)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return torch.where(x > 1, ctx.gamma * grad, grad), None


def by_autograd(currents, shift, recurrent, gate, candidate, gamma):
    """The paper's equations, one after the other, for `torch.autograd` to go through."""
    h = c = torch.zeros_like(currents[:, 0, 0])
    out = []
    for t in range(currents.shape[1]):
        v = (currents[:, t] + shift) + (h @ recurrent).view_as(currents[:, t])
        f, i, o = (Fired.apply(v[:, k], gate) for k in range(3))
        g = Fired.apply(v[:, 3], candidate)
        c = Clipped.apply(f * c + i * g, gamma)
        h = o * c
        out.append(h)
    return torch.stack(out, 1)


@pytest.mark.parametrize("gamma", [1.0, 0.3, 0.0])
def test_the_gradient_by_hand_is_autograds(gamma):
    layer = spiking_lstm(*dense((2,), SIZE), gamma=gamma)
    gate, candidate = layer.cell.gate.surrogate, layer.cell.candidate.surrogate
    inputs = problem()
    upstream = suites.uniform(BATCH, STEPS, SIZE) - 0.5
    h = lstm(*inputs, layer.cell)
    expected = by_autograd(*inputs, gate, candidate, gamma)
    other_gamma = by_autograd(*inputs, gate, candidate, 0.5)
    assert torch.equal(h, expected)
    assert 0.1 < h.mean() < 0.6
    grads, wanted, others = (
        torch.autograd.grad((x * upstream).sum(), inputs) for x in (h, expected, other_gamma)
    )
    for grad, want, other in zip(grads, wanted, others, strict=True):
        torch.testing.assert_close(grad, want, rtol=1e-10, atol=1e-12)
        assert (want - other).abs().max() > 1e-3


def test_the_surrogates_are_the_papers():
    """`exp(-x^2 / alpha) / sqrt(pi alpha)` about a threshold of 0.1; gamma acts where c clips."""
    layer = spiking_lstm(*dense((2,), SIZE))
    x = torch.linspace(-2, 2, 9).double()
    for fire, alpha in ((layer.cell.gate, 4.0), (layer.cell.candidate, 0.3)):
        expected = torch.exp(-(x**2) / alpha) / math.sqrt(math.pi * alpha)
        torch.testing.assert_close(fire.slope(x, x), expected, rtol=1e-12, atol=0)
    assert layer.theta == 0.1
    one = spiking_lstm(*dense((2,), SIZE), arctan)
    assert one.cell.gate.surrogate is one.cell.candidate.surrogate is arctan
    given = spiking_lstm(*dense((2,), SIZE), alpha_1=2.0, alpha_2=0.5).cell
    assert given.gate.surrogate.keywords == {"std": 1.0}
    assert given.candidate.surrogate.keywords == {"std": 0.5}


def test_a_cell_writes_keeps_reads_and_forgets():
    """One cell told what to do, by currents that open its gates: f, i, o, g."""
    do_nothing, write, keep, read, both = (
        [-1, -1, -1, -1], [-1, 1, -1, 1], [1, -1, -1, -1], [1, -1, 1, -1], [1, 1, 1, 1]
    )  # fmt: skip
    told = [read, write, keep, read, both, read, do_nothing, read, [-1, 1, 1, -1], [-1, 1, 1, 1]]
    currents = torch.tensor(told).double().view(1, -1, 4, 1)
    layer = spiking_lstm(*dense((2,), 1))
    h = lstm(currents, torch.zeros(4, 1).double(), torch.zeros(1, 4).double(), layer.cell)
    assert h.flatten().tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 1]


@dataclass(frozen=True)
class Smooth:
    """A threshold's smooth twin, scaled so that a memory is or is not filled to the brim."""

    stochastic: ClassVar = False
    most: float

    def __call__(self, v, noise=None):
        return self.most * torch.sigmoid(2 * v)

    def slope(self, v, spikes):
        return 2 * spikes * (1 - spikes / self.most)


@pytest.mark.parametrize(("most", "clips"), [(0.6, False), (1.3, True)])
def test_the_gradient_of_a_smooth_twin_is_that_of_differences(most, clips):
    """Of what is clipped the true derivative is 0, which is gamma = 0."""
    inputs = problem(0.7, batch=1, steps=4, size=2)
    upstream = suites.uniform(1, 4, 2) - 0.5
    cell = SpikingCell(Smooth(most), Smooth(most / 1.1), gamma=0.0)
    grads = torch.autograd.grad((lstm(*inputs, cell).sin() * upstream).sum(), inputs)
    v, (c, h) = torch.empty(1, 4, 4, 2).double(), torch.empty(2, 1, 4, 2).double()
    with torch.no_grad():  # as `lstm` goes through time
        advance = cell.forward(inputs[0], inputs[1], v, c, h)
        for t in range(4):
            advance(t, (h[:, t - 1] if t else torch.zeros(1, 2).double()) @ inputs[2])
    assert bool((c == 1).any()) == clips
    for value, grad in zip(inputs, grads, strict=True):
        expected = suites.numerically(lambda: (lstm(*inputs, cell).sin() * upstream).sum(), value)
        assert expected.abs().max() > 1e-4
        torch.testing.assert_close(grad, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("place", [dense((5,), 4), pooled_conv((2, 5, 4), 3, kernel_size=3)])
def test_a_layer_is_its_equation(place):
    """From the spikes below to h, every parameter: recurrent weights hear h of the last step."""
    torch.manual_seed(3)
    layer = suites.disturbed(spiking_lstm(*place).double(), 0.3)
    x = suites.spike_train(BATCH, STEPS, *layer.input_shape)
    layer.calibrate(x, 4.0)
    currents = torch.stack([layer.synapses(x[:, t]) for t in range(STEPS)], 1)
    currents = currents.view(BATCH, STEPS, 4, -1)
    gate, candidate = layer.cell.gate.surrogate, layer.cell.candidate.surrogate
    weights = layer.bias - 0.1, layer.recurrent.by_input
    expected = by_autograd(currents, *weights, gate, candidate, layer.cell.gamma)
    h, v = layer(x)
    assert v is None
    assert torch.equal(h, expected.view_as(h))
    assert 0.02 < h.mean() < 0.9
    upstream = suites.uniform(*h.shape)
    parameters = list(layer.parameters())
    losses = (h * upstream).sum(), (expected.view_as(h) * upstream).sum()
    for grad, other in zip(*(torch.autograd.grad(x, parameters) for x in losses), strict=True):
        assert other.abs().max() > 1e-3
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-11)


def test_mixed_precision_multiplies_in_bfloat16_only():
    """The products are rounded; what adds up over time stays in float32."""
    torch.manual_seed(0)
    layer = spiking_lstm(*dense((30,), 20))
    x = suites.spike_train(4, 12, 30, dtype=torch.float32)
    layer.calibrate(x, 2.0)
    h, _ = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = layer(x)
    assert h.dtype == mixed.dtype == torch.float32
    assert ((mixed == 0) | (mixed == 1)).all()
    assert (h != mixed).float().mean() < 0.1
    upstream, parameters = suites.uniform(*h.shape).float(), list(layer.parameters())
    grads = [torch.autograd.grad((out * upstream).sum(), parameters) for out in (h, mixed)]
    for grad, other in zip(*grads, strict=True):
        assert grad.dtype == other.dtype == torch.float32
        assert torch.cosine_similarity(grad.flatten(), other.flatten(), dim=0) > 0.9


def test_what_does_not_fit_is_refused():
    layer = spiking_lstm(*dense((5,), 4))
    x = suites.spike_train(2, 3, 5, dtype=torch.float32)
    for fire in (Bernoulli(), Threshold(arctan)):
        with pytest.raises(ValueError, match="LSTM cells fire in no other way than their own"):
            layer(x, fire)
        with pytest.raises(ValueError, match="LSTM cells fire in no other way than their own"):
            layer.step(x[:, 0], None, fire)
    with pytest.raises(ValueError, match=r"gamma: got 1\.5, expected 0 to 1"):
        spiking_lstm(*dense((5,), 4), gamma=1.5)
    with pytest.raises(ValueError, match=r"alpha_1 and alpha_2: got 4\.0 and 0\.0, expected above"):
        spiking_lstm(*dense((5,), 4), alpha_2=0.0)
    for rule in (EProp(), DirectFeedback([], 4)):
        with pytest.raises(ValueError, match=r"needs layers .* LSTM is none"):
            SpikingEncoder([], layer, rule)


def test_the_ordinary_one_is_pytorchs():
    """Values and gradients of `torch.nn.LSTM`, whose gates stand in another order."""
    torch.manual_seed(0)
    layer = suites.disturbed(ordinary(*dense((6,), SIZE)).double(), 0.3)
    theirs = torch.nn.LSTM(6, SIZE, batch_first=True, dtype=torch.float64)
    order = [1, 0, 3, 2]  # i, f, g, o of ours
    with torch.no_grad():
        weights = layer.synapses.weight.view(4, SIZE, 6), layer.recurrent.weight.view(4, SIZE, SIZE)
        theirs.weight_ih_l0.copy_(weights[0][order].flatten(0, 1))
        theirs.weight_hh_l0.copy_(weights[1][order].flatten(0, 1))
        theirs.bias_ih_l0.copy_(layer.bias[order].flatten())
        theirs.bias_hh_l0.zero_()
    x = suites.spike_train(BATCH, STEPS, 6)
    h, expected = layer(x)[0], theirs(x)[0]
    torch.testing.assert_close(h, expected, rtol=1e-12, atol=1e-12)
    upstream = suites.uniform(BATCH, STEPS, SIZE) - 0.5
    for out in (h, expected):
        (out.sin() * upstream).sum().backward()
    for grad, other in (
        (layer.synapses.by_input.grad.T, theirs.weight_ih_l0.grad),
        (layer.recurrent.by_input.grad.T, theirs.weight_hh_l0.grad),
        (layer.bias.grad.flatten()[:, None], theirs.bias_hh_l0.grad[:, None]),
    ):
        back = other.view(4, SIZE, -1)[order].flatten(0, 1)
        assert other.abs().max() > 1e-3
        torch.testing.assert_close(grad, back, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("gamma", [1.0, 0.3])
def test_the_kernels_are_the_plain_cell(bf16, gamma):
    """Spikes to the last one, of a size that vector instructions do not divide."""
    torch.manual_seed(0)
    surrogate = None if gamma == 1.0 else arctan
    layer = spiking_lstm(*dense((30,), 37), surrogate, gamma=gamma)
    x = suites.spike_train(5, 12, 30, dtype=torch.float32)
    layer.calibrate(x, 2.0)
    upstream, parameters = suites.uniform(5, 12, 37).float(), list(layer.parameters())

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            h, _ = layer(x)
        return h, *torch.autograd.grad((h * upstream).sum(), parameters)

    fused = run()
    with dispatch.plain():
        plain = run()
    assert torch.equal(fused[0], plain[0])
    assert 0.1 < fused[0].mean() < 0.6
    for grad, other in zip(fused[1:], plain[1:], strict=True):
        most = (1e-2 if bf16 else 1e-5) * float(other.abs().max())
        torch.testing.assert_close(grad, other, rtol=0, atol=most)


def test_kernels_take_only_what_they_know():
    """A cell with other spikes, double precision, an extended cell: the plain code, or none."""

    class Other(SpikingCell):
        pass

    inputs = [x.detach().float() for x in problem()]
    cell = spiking_lstm(*dense((2,), SIZE)).cell
    fused_lstm.lstm(*inputs, cell)
    for given, part in (
        ([x.double() for x in inputs], cell),
        (inputs, RealCell()),
        (inputs, SpikingCell(Smooth(0.5), cell.candidate, 1.0)),
        (inputs, Other(cell.gate, cell.candidate, 1.0)),
    ):
        with pytest.raises(NoKernel):
            fused_lstm.lstm(*given, part)
        assert dispatch.lstm(*given, part).shape == (BATCH, STEPS, SIZE)


@pytest.mark.parametrize(
    ("neuron", "more", "refused"),
    [
        (ordinary, {}, False),
        (ordinary, {"beta": 0.1}, True),
        (ordinary, {"penalties": {"hidden_spikes": (hidden_spikes, 0.1)}}, True),
        (spiking_lstm, {"beta": 0.1, "penalties": {"hidden_spikes": (hidden_spikes, 0.1)}}, False),
    ],
)
def test_real_numbers_have_no_price(neuron, more, refused):
    """Neither a code length nor a number of spikes."""
    encoder = build_encoder((5,), 4, (3,), neuron=neuron, readout=threshold)
    decoder = LogisticDecoder(FullWindow(STEPS), 4, Label(2))
    given = encoder, decoder, BernoulliPrior(0.1), StraightThrough()
    settings = {"beta": 0.0, **more}
    if refused:
        with pytest.raises(ValueError, match="set beta 0, no penalties, a learned decoder"):
            VDIB(*given, **settings)
    else:
        x, noise = (
            suites.spike_train(2, STEPS, 5, dtype=torch.float32),
            Noise(0, 0, torch.arange(2)),
        )
        loss, _ = VDIB(*given, **settings).training_loss(x, torch.tensor([0, 1]), noise)
        loss.backward()
        grads = [p.grad for p in encoder.parameters() if p.grad is not None]
        assert sum(float(grad.abs().sum()) for grad in grads) > 0


def test_real_numbers_are_not_counted_by_hand():
    encoder = build_encoder((5,), 2, (), neuron=ordinary, readout=threshold)
    decoder = CountDecoder(FullWindow(STEPS), 2, Label(2))
    with pytest.raises(ValueError, match="set beta 0, no penalties, a learned decoder"):
        VDIB(encoder, decoder, BernoulliPrior(0.1), StraightThrough(), 0.0)


def test_cells_have_no_distance_from_threshold_to_look_at():
    """Refused before anything is trained, under a technique as well."""
    techniques = Techniques(delays=2)
    encoder = build_encoder(
        (5,), 2, (3,), neuron=spiking_lstm, readout=threshold, techniques=techniques
    )
    window, rest = FullWindow(STEPS), (BernoulliPrior(0.1), StraightThrough(), 0.0)
    with pytest.raises(ValueError, match=r"^MembraneDecoder needs a readout with a distance"):
        VDIB(encoder, MembraneDecoder(window, 2, Label(2)), *rest)
    decoder, penalties = LogisticDecoder(window, 2, Label(2)), {"mine": (im_loss, 1.0)}
    with pytest.raises(ValueError, match=r"^mine needs hidden neurons with a distance"):
        VDIB(encoder, decoder, *rest, penalties=penalties, hidden_v=True)


@pytest.mark.parametrize("word", ESTIMATORS)
def test_cells_encode_under_a_sampled_readout(word):
    """With every estimator, at every step, and on a live input as over a whole sequence."""
    torch.manual_seed(0)
    estimator = ESTIMATORS[word].part(STEPS, 3)
    readout = partial(sampled, feedback=not estimator.antithetic)
    kind = {"neuron": spiking_lstm, "readout": readout}
    encoder = build_encoder((5,), 3, (6, 4), num_filters=2, **kind)
    x, noise = suites.spike_train(2, STEPS, 5), Noise(0, EVALUATION, torch.tensor([0, 1]))
    encoder.double().calibrate(x, 0.3)
    decoder = LogisticDecoder(FullWindow(4), 3, Label(2))
    model = VDIB(encoder, decoder, BernoulliPrior(0.3), estimator, 0.1, every_step=True).double()
    r = torch.tensor([[0], [1]]).expand(2, STEPS)
    for _ in range(2):  # the baseline of some is of earlier batches
        loss, _ = model.training_loss(x, r, noise)
    loss.backward()
    for layer in encoder.layers:
        assert all(p.grad.abs().max() > 0 for p in layer.parameters())
    with torch.no_grad():
        code = model.encode(x, noise)
        decoded = model.decode(code)
    stream = model.stream(0)
    for t in range(STEPS):
        prediction = stream.push(x[0, t])
        assert torch.equal(stream.spikes, code.spikes[0, t])
        torch.testing.assert_close(prediction.distribution.probs, decoded.probs[0, t])


def test_the_config_is_the_papers_and_one_flag_compares(monkeypatch):
    """28 steps of 28 inputs, 200 cells; no figure calls the real numbers of an LSTM spikes."""
    content = yaml.safe_load((files("vdib.configs") / "sequential_mnist.yaml").read_text("utf-8"))
    data = ImageData(**content["data"]["init_args"] | {"dataset": "digits"})
    taken = {name: getattr(data, name) for name in NaturalisationModule.TAKES}
    given = content["model"]["init_args"]
    assert given["neuron"] == "spiking_lstm"
    assert (content["data"]["init_args"]["batch_size"], content["trainer"]["max_epochs"]) == (
        100,
        15,
    )
    logged = {}
    monkeypatch.setattr(NaturalisationModule, "trainer", SimpleNamespace(world_size=1))
    for neuron in ("spiking_lstm", "lstm"):
        module = NaturalisationModule(**taken, **given | {"neuron": neuron})
        found = logged[neuron] = {}
        module.log_dict = lambda figures, found=found, **how: found.update(figures)
        before = [weight.detach().clone() for weight in module.vdib.encoder.parameters()]
        module.start(data)
        assert all(map(torch.equal, before, module.vdib.encoder.parameters()))
        encoder, decoder = module.vdib.encoder, module.vdib.decoder
        assert isinstance(encoder.readout.cell, RealCell) == (neuron == "lstm")
        assert encoder.readout.synapses.by_input.shape == (28, 800)
        assert encoder.readout.recurrent.by_input.shape == (200, 800)
        assert not encoder.layers
        assert type(decoder) is LogisticDecoder
        assert (module.optimizer, module.lr, module.schedule) == (adam, 0.004, cosine)
        assert decoder.window.length == 28
        batch = data.examples("validation", 10)
        assert batch.spikes.shape == (10, 28, 28)
        assert module.evaluate("val", batch) is None
    counts = {"spikes_per_sample", "readout_rate", "code_length_bits"}
    counts = {f"val/{name}" for name in counts}
    assert counts <= logged["spiking_lstm"].keys()
    assert not counts & logged["lstm"].keys()
    assert {"val/class_accuracy", "val/distortion_nats", "val/synops"} <= logged["lstm"].keys()
