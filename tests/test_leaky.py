"""Neurons of snnTorch: against the library, and against autograd of their equation."""

import math
from functools import partial
from importlib.resources import files

import pytest
import suites
import torch
import yaml
from torch import nn

from vdib.credit import EProp
from vdib.dynamics import surrogate
from vdib.dynamics.firing import Threshold
from vdib.dynamics.integrate_and_fire import Reset
from vdib.dynamics.surrogate import arctan
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.optimizers import adam
from vdib.membrane import MembraneDecoder
from vdib.neurons.leaky import Leaky, leaky
from vdib.neurons.lif import lif
from vdib.neurons.plif import plif
from vdib.neurons.readout import threshold
from vdib.neurons.spike_response import SRM
from vdib.neurons.synapses import dense, pooled_conv
from vdib.signal import Label
from vdib.window import FullWindow

STEPS, SIZES = 25, (12, 30, 5)


def network(neuron, dtype=torch.float64):
    """The tutorial's network, smaller, with weights large enough to fire often."""
    torch.manual_seed(0)
    encoder = build_encoder(SIZES[:1], SIZES[2], SIZES[1:2], neuron=neuron, readout=threshold)
    for layer in (*encoder.layers, encoder.readout):
        layer.synapses.by_input.data.mul_(3)
    return encoder.to(dtype)


def decoded(code, labels):
    """The tutorial's loss."""
    decoder = MembraneDecoder(FullWindow(STEPS), SIZES[2], Label(SIZES[2]))
    return -decoder(code).log_prob(labels[:, None]).mean()


@pytest.mark.parametrize("learn", [(), ("beta", "theta")])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_spikes_potentials_and_gradients_are_snntorchs(reset, learn):
    """The whole loop of the tutorial. The library's spikes are float32 whatever its input."""
    snntorch = pytest.importorskip("snntorch", reason="the library to be equal to")
    encoder = network(partial(leaky, reset=reset, learn=learn))
    pixels, labels = suites.uniform(8, SIZES[0]), torch.arange(8) % SIZES[2]
    linear, cells = [], []
    for layer in (*encoder.layers, encoder.readout):
        linear.append(nn.Linear(*layer.synapses.by_input.shape).double())
        linear[-1].weight.data.copy_(layer.synapses.weight.data)
        linear[-1].bias.data.copy_(layer.bias.data)
        beta, theta = (constant(layer.bias).detach() for constant in (layer.beta, layer.theta))
        learns = {"learn_beta": bool(learn), "learn_threshold": bool(learn)}
        cells.append(snntorch.Leaky(beta, theta, reset_mechanism=reset, **learns))
    mem = [cell.init_leaky() for cell in cells]
    spikes, potentials, loss = [[], []], [[], []], 0
    for _ in range(STEPS):
        below = pixels
        for i in (0, 1):
            below, mem[i] = cells[i](linear[i](below.double()), mem[i])
            spikes[i].append(below)
            potentials[i].append(mem[i])
        loss = loss + nn.functional.cross_entropy(mem[1], labels)
    loss.backward()
    code = encoder(pixels[:, None].expand(-1, STEPS, -1))
    mine = decoded(code, labels)
    mine.backward()
    assert torch.equal(code.hidden[0], torch.stack(spikes[0], 1).double())
    assert torch.equal(code.spikes, torch.stack(spikes[1], 1).double())
    assert 0.05 < code.hidden[0].mean() < 0.9
    assert 0.02 < code.spikes.mean() < 0.9
    potential = code.v + encoder.readout.theta(code.v)
    torch.testing.assert_close(potential, torch.stack(potentials[1], 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(mine, loss, rtol=1e-12, atol=1e-12)
    layers = (*encoder.layers, encoder.readout)
    for layer, other, cell in zip(layers, linear, cells, strict=True):
        pairs = [
            (layer.synapses.by_input.grad.t(), other.weight.grad),
            (layer.bias.grad, other.bias.grad),
        ]
        if learn:  # beta = sigmoid(w), theta = exp(w)
            decay = cell.beta.detach()
            pairs.append((layer.beta.w.grad, cell.beta.grad * decay * (1 - decay)))
        if learn and layer is not encoder.readout:  # one that all logits share is no news
            pairs.append((layer.theta.w.grad, cell.threshold.grad * cell.threshold.detach()))
        for grad, wanted in pairs:
            assert wanted.norm() > 1e-3
            most = 2e-7 * float(wanted.abs().max())
            torch.testing.assert_close(grad, wanted, rtol=2e-7, atol=most)


PLACES = [dense((5,), 4), pooled_conv((2, 5, 4), 3, kernel_size=3)]
LEARN = ("beta", "theta", "width")


def by_autograd(layer, x, slope):
    """Spikes and v of the equation, step by step; a spike's derivative is `slope(v)`."""
    beta, theta, width = (
        constant(layer.bias) for constant in (layer.beta, layer.theta, layer.width)
    )
    scale = 1 - beta if layer.decay_input else 1
    potential = spike = torch.zeros(len(x), *layer.shape).double()
    out = [[], []]
    for now in x.unbind(1):
        current = scale * (layer.synapses(now).view(-1, *layer.shape) + layer.bias)
        felt = spike.detach() if layer.reset.detached else spike
        if layer.reset.to_zero:
            potential = beta * (1 - felt) * potential + current
        else:
            potential = beta * potential + current - theta * felt
        v = (potential - theta) / width
        spike = (v > 0).double() + slope(v.detach()) * (v - v.detach())
        out[0].append(spike)
        out[1].append(v)
    return [torch.stack(part, 1) for part in out]


VARIANTS = {
    f"{reset}, {'detached' if detach else 'attached'}, {'shared' if shared else 'own'}": partial(
        neuron, reset=reset, detach=detach, learn=LEARN, shared=shared, theta=1.5, width=0.7
    )
    for reset in ("subtract", "zero")
    for detach in (False, True)
    for shared, neuron in ((True, leaky), (False, plif))
}


@pytest.mark.parametrize("place", PLACES, ids=["dense", "conv"])
@pytest.mark.parametrize("neuron", VARIANTS.values(), ids=list(VARIANTS))
def test_gradients_are_autograds_of_the_equation(neuron, place):
    """Of weights, bias, decay, threshold and width; a detached reset carries none."""
    torch.manual_seed(0)
    layer = suites.disturbed(neuron(*place, arctan).double(), 0.2)
    x = suites.spike_train(3, 20, *layer.input_shape)
    layer.calibrate(x, 4.0)
    upstream = suites.uniform(2, 3, 20, *layer.shape) - 0.5
    parameters = dict(layer.named_parameters())
    assert len(parameters) == 5
    spikes, v = layer(x)
    again = by_autograd(layer, x, arctan)
    assert torch.equal(spikes, again[0].round())
    assert 0.02 < spikes.detach().mean() < 0.9
    torch.testing.assert_close(v, again[1], rtol=1e-11, atol=1e-11)
    found, wanted = (
        torch.autograd.grad(suites.looked_at(out, upstream), list(parameters.values()))
        for out in ((spikes, v), tuple(again))
    )
    for name, grad, other in zip(parameters, found, wanted, strict=True):
        assert other.norm() > 1e-3, name
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("neuron", VARIANTS.values(), ids=list(VARIANTS))
def test_no_drawn_bias_alone_is_many_thresholds_once_calibrated(neuron):
    """Silent, membranes come to the drawn bias, in thresholds: no channel is shut by chance."""
    torch.manual_seed(0)
    layer = neuron(*PLACES[1], None)
    drawn = layer.bias.detach().clone()
    layer.calibrate(suites.spike_train(3, 20, *layer.input_shape).float(), 1.0)
    decay, theta, _ = layer.constants()
    torch.testing.assert_close(layer.bias / (1 - decay) / theta, drawn)
    layer.calibrate(suites.spike_train(3, 20, *layer.input_shape).float(), 1.0)
    torch.testing.assert_close(layer.bias / (1 - decay) / theta, drawn)  # once


class TestSettings(suites.LayerSuite):
    """Every setting under the suite of all neurons."""

    @pytest.fixture(params=VARIANTS.values(), ids=list(VARIANTS))
    def part(self, request):
        return partial(request.param, *PLACES[0], None)


def test_the_width_moves_as_a_soft_spike_wants():
    """By the derivative of `G((U - theta) / width)`, whose slope in v is the surrogate's."""
    torch.manual_seed(0)
    layer = leaky(*dense((5,), 4), surrogate.sigmoid, learn=("width",), width=0.8).double()
    x = suites.spike_train(6, 1, 5, rate=0.6)  # one step: no reset yet
    layer.calibrate(x, 1.0)
    upstream = suites.uniform(6, 1, 4) - 0.5
    spikes, v = layer(x)
    (grad,) = torch.autograd.grad((spikes * upstream).sum(), layer.width.w)
    distance = 0.8 * v.detach()

    def soft(log_width):
        return (torch.sigmoid(4 * distance / log_width.exp()) * upstream).sum()

    at = layer.width.w.detach().clone()
    torch.testing.assert_close(grad, suites.numerically(lambda: soft(at), at), rtol=1e-6, atol=1e-9)
    assert grad.abs() > 1e-3
    with torch.no_grad():
        layer.width.w.add_(1.0)
    wider, smaller = layer(x)
    assert torch.equal(spikes, wider)  # v > 0 is U > theta whatever the width
    torch.testing.assert_close(smaller, v / math.e)


def test_plif_is_its_equation():
    """H, S and V of the paper, with w such that tau = 1 / sigmoid(w)."""
    torch.manual_seed(0)
    layer = plif(*dense((5,), 4), tau=3.0).double()
    x = suites.spike_train(3, 20, 5)
    layer.calibrate(x, 2.0)
    spikes, v = layer(x)
    left, all_spikes, all_v = torch.zeros(3, 4).double(), [], []
    for now in x.unbind(1):
        potential = left + (layer.synapses(now) + layer.bias - left) / 3
        all_v.append(potential - 1)
        all_spikes.append((potential > 1).double())
        left = potential * (1 - all_spikes[-1])
    assert torch.equal(spikes, torch.stack(all_spikes, 1))
    torch.testing.assert_close(v, torch.stack(all_v, 1), rtol=1e-7, atol=1e-7)  # w is float32
    assert 0.05 < spikes.mean() < 0.9
    assert layer.beta.w.shape == ()
    assert plif(*dense((5,), 4)).beta.w == 0  # tau = 2
    assert plif(*dense((5,), 4), learn=LEARN, shared=False).theta.w.shape == (4,)
    assert plif(*pooled_conv((2, 5, 4), 3), shared=False).beta.w.shape == (3, 1, 1)


def test_what_is_learned_stays_in_its_range():
    layer = leaky(*dense((5,), 4), beta=0.9, learn=LEARN)
    optimizer = torch.optim.SGD([layer.beta.w, layer.theta.w, layer.width.w], lr=1.0)
    for sign in (1.0, -1.0):
        for _ in range(5):
            beta, theta, width = layer.constants()
            assert 0 < beta < 1
            assert theta > 0
            assert width > 0
            optimizer.zero_grad()
            (sign * 3 * sum(parameter.sum() for parameter in (beta, theta, width))).backward()
            optimizer.step()


def test_lif_is_an_srm_layer_where_that_is_exact():
    for given in ({}, {"beta": 0.8}, {"theta": 2.0, "width": 0.5}):
        torch.manual_seed(0)
        exact = lif(*dense((5,), 30), **given).double()
        assert type(exact) is SRM
        same = leaky(*dense((5,), 30), detach=False, **given).double()
        same.bias.data.zero_()
        x = suites.spike_train(3, 20, 5)
        exact.calibrate(x, 3 * exact.threshold / exact.width)
        same.synapses.load_state_dict(exact.synapses.state_dict())
        spikes, v = exact(x)
        assert 0.05 < spikes.mean() < 0.9
        assert torch.equal(spikes, same(x)[0])
        torch.testing.assert_close(v, same(x)[1], rtol=1e-10, atol=1e-10)
    for given in ({"reset": "zero"}, {"detach": True}, {"learn": ("beta",)}):
        assert type(lif(*dense((5,), 4), **given)) is Leaky


def test_the_bias_of_lif_is_a_current_that_has_always_flowed():
    """Of (1 - beta) b: the potential then stands at b before the first step."""
    torch.manual_seed(0)
    exact = lif(*dense((5,), 30), beta=0.8).double()
    x = suites.spike_train(3, 20, 5)
    exact.calibrate(x, 3.0)
    exact.bias.data.copy_(suites.uniform(30) - 0.3)
    same = leaky(*dense((5,), 30), beta=0.8, detach=False).double()
    same.synapses.load_state_dict(exact.synapses.state_dict())
    same.bias.data.copy_(0.2 * exact.bias.detach())
    state = exact.bias.detach().expand(3, 30), torch.zeros(3, 30).double()
    spikes, v = exact(x)
    for t in range(20):
        fired, at, state = same.step(x[:, t], state)
        assert torch.equal(fired, spikes[:, t])
        torch.testing.assert_close(at, v[:, t], rtol=1e-10, atol=1e-10)
    assert 0.05 < spikes.mean() < 0.9


def test_a_constant_current_is_its_repetition():
    layer = leaky(*dense((5,), 4)).double()
    once = suites.uniform(3, 5)[:, None].expand(-1, 9, -1)
    parameters = list(layer.parameters())
    results = []
    for x in (once, once.contiguous()):
        spikes, v = layer(x)
        grads = torch.autograd.grad(v.sin().sum(), parameters)
        results.append((spikes, v, *grads))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_weights_start_as_pytorch_draws_them():
    layer = leaky(*dense((100,), 400))
    for drawn in (layer.synapses.weight, layer.bias):
        assert drawn.abs().max() <= 0.1
        assert 0.055 < drawn.std() < 0.06  # 0.1 / sqrt(3)


@pytest.mark.parametrize(
    ("neuron", "wrong", "told"),
    [
        (leaky, {"theta": 0.0}, "theta: got 0.0, expected above 0"),
        (leaky, {"width": -1.0}, "width: got -1.0, expected above 0"),
        (leaky, {"beta": 1.0}, r"beta: got 1.0, expected a decay per step in \[0, 1\)"),
        (
            leaky,
            {"beta": 0.0, "learn": ("beta",)},
            "beta: got 0.0, .* above 0 and at most 0.999999",
        ),
        (leaky, {"learn": ("tau",)}, "learn: got 'tau', expected some of beta, theta and width"),
        (plif, {"tau": 1.0}, "tau: got 1.0, expected above 1 step"),
        (lif, {"reset": "zeor"}, "reset: got 'zeor', expected subtract or zero"),
    ],
)
def test_settings_out_of_range_are_refused(neuron, wrong, told):
    with pytest.raises(ValueError, match=told):
        neuron(*dense((5,), 4), **wrong)


def test_rules_by_the_drive_refuse_it():
    layer = leaky(*dense((5,), 4))
    with pytest.raises(ValueError, match=r"EProp needs layers .* Leaky is none"):
        SpikingEncoder([], layer, EProp())


def test_the_config_is_the_tutorial():
    """What is drawn stays, the rate as well; and the last incomplete batch is left out."""
    content = yaml.safe_load((files("vdib.configs") / "lif_mnist.yaml").read_text("utf-8"))
    given = content["data"]["init_args"] | {"dataset": "digits", "batch_size": 1500}
    data = ImageData(**given)
    assert len(data.train_dataloader()) == 2  # of 4,000
    torch.manual_seed(0)
    taken = {name: getattr(data, name) for name in NaturalisationModule.TAKES}
    module = NaturalisationModule(**taken, **content["model"]["init_args"])
    layers = [*module.vdib.encoder.layers, module.vdib.encoder.readout]
    shapes = [tuple(layer.synapses.weight.shape) for layer in layers]
    assert shapes == [(1000, 784), (10, 1000)]
    assert all(layer.fire == Threshold(arctan) for layer in layers)
    assert all((layer.beta.value, layer.theta.value) == (0.95, 1.0) for layer in layers)
    assert all(layer.reset == Reset(to_zero=False, detached=True) for layer in layers)
    before = [weight.detach().clone() for weight in module.parameters()]
    module.start(data)
    assert all(map(torch.equal, before, module.parameters()))
    assert type(module.vdib.decoder) is MembraneDecoder
    assert module.optimizer is adam
    assert (module.lr, module.encoder_lr, module.vdib.beta) == (5e-4, 5e-4, 0)
    assert content["data"]["init_args"]["batch_size"] == 128
    assert content["trainer"]["max_epochs"] == 1
    optimizer = torch.optim.SGD(module.parameters(), lr=module.lr)
    schedule = module.schedule(optimizer, 10)
    for _ in range(12):
        assert schedule.get_last_lr() == [5e-4]
        optimizer.step()
        schedule.step()
    batch = data.examples("validation", 3)
    assert torch.equal(batch.spikes[:, 7], batch.spikes[:, 0])
    assert batch.spikes.shape == (3, 25, 1, 28, 28)
    assert 0 < batch.spikes.max() <= 1
