"""Neurons of snnTorch: against the library, and against autograd of their equation."""

from importlib.resources import files

import pytest
import suites
import torch
import yaml
from torch import nn

from vdib.credit import EProp
from vdib.dynamics.firing import Threshold
from vdib.dynamics.surrogate import arctan
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.handmade import MembraneDecoder
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.neurons.leaky import leaky
from vdib.neurons.readout import threshold
from vdib.neurons.synapses import dense, pooled_conv
from vdib.signal import Label
from vdib.window import FullWindow

STEPS, SIZES = 25, (12, 30, 5)


def network(dtype=torch.float64):
    """The tutorial's network, smaller, with weights large enough to fire often."""
    torch.manual_seed(0)
    encoder = build_encoder(SIZES[:1], SIZES[2], SIZES[1:2], neuron=leaky, readout=threshold)
    for layer in (*encoder.layers, encoder.readout):
        layer.synapses.by_input.data.mul_(3)
    return encoder.to(dtype)


def decoded(code, labels):
    """The tutorial's loss."""
    decoder = MembraneDecoder(FullWindow(STEPS), SIZES[2], Label(SIZES[2]))
    return -decoder(code).log_prob(labels[:, None]).mean()


def test_spikes_potentials_and_gradients_are_snntorchs():
    """The whole loop of the tutorial. The library's spikes are float32 whatever its input."""
    snntorch = pytest.importorskip("snntorch", reason="the library to be equal to")
    encoder = network()
    pixels, labels = suites.uniform(8, SIZES[0]), torch.arange(8) % SIZES[2]
    linear, cells = [], []
    for layer in (*encoder.layers, encoder.readout):
        linear.append(nn.Linear(*layer.synapses.by_input.shape).double())
        linear[-1].weight.data.copy_(layer.synapses.weight.data)
        linear[-1].bias.data.copy_(layer.bias.data)
        cells.append(snntorch.Leaky(torch.tensor(0.95, dtype=torch.float64)))
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
    torch.testing.assert_close(code.v + 1, torch.stack(potentials[1], 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(mine, loss, rtol=1e-12, atol=1e-12)
    for layer, other in zip((*encoder.layers, encoder.readout), linear, strict=True):
        for grad, wanted in (
            (layer.synapses.by_input.grad.t(), other.weight.grad),
            (layer.bias.grad, other.bias.grad),
        ):
            assert wanted.norm() > 1e-3
            most = 2e-7 * float(wanted.abs().max())
            torch.testing.assert_close(grad, wanted, rtol=2e-7, atol=most)


@pytest.mark.parametrize("place", [dense((5,), 4), pooled_conv((2, 5, 4), 3, kernel_size=3)])
def test_the_reset_carries_no_gradient(place):
    """Autograd of the equation, the spike that resets being detached."""
    torch.manual_seed(0)
    layer = leaky(*place, arctan, beta=0.8, theta=1.5).double()
    x = suites.spike_train(3, 20, *layer.input_shape)
    layer.calibrate(x, 2.0)
    upstream = suites.uniform(2, 3, 20, *layer.shape) - 0.5
    parameters = list(layer.parameters())
    spikes, v = layer(x)
    found = torch.autograd.grad(suites.looked_at((spikes, v), upstream), parameters)
    potential, spike = torch.zeros(3, *layer.shape).double(), torch.zeros(3, *layer.shape).double()
    out = [[], []]
    for t in range(20):
        current = layer.synapses(x[:, t]).view(-1, *layer.shape) + layer.bias
        potential = 0.8 * potential + current - 1.5 * spike.detach()
        distance = potential - 1.5
        soft = distance * arctan(distance.detach())
        spike = (distance > 0).double() + soft - soft.detach()
        out[0].append(spike)
        out[1].append(distance)
    again = [torch.stack(part, 1) for part in out]
    assert torch.equal(spikes, again[0].round())
    assert 0.05 < spikes.mean() < 0.9
    torch.testing.assert_close(v, again[1], rtol=1e-12, atol=1e-12)
    wanted = torch.autograd.grad(suites.looked_at(tuple(again), upstream), parameters)
    for grad, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-9)


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
    for wrong in ({"theta": 0.0}, {"beta": 1.0}):
        with pytest.raises(ValueError, match="got"):
            leaky(*dense((100,), 400), **wrong)


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
    assert all((layer.feedback.decay, layer.theta) == (0.95, 1.0) for layer in layers)
    before = [weight.detach().clone() for weight in module.parameters()]
    module.start(data)
    assert all(map(torch.equal, before, module.parameters()))
    optimizer = torch.optim.SGD(module.parameters(), lr=5e-4)
    schedule = module.schedule(optimizer, 10)
    for _ in range(12):
        assert schedule.get_last_lr() == [5e-4]
        optimizer.step()
        schedule.step()
    batch = data.examples("validation", 3)
    assert torch.equal(batch.spikes[:, 7], batch.spikes[:, 0])
    assert batch.spikes.shape == (3, 25, 1, 28, 28)
    assert 0 < batch.spikes.max() <= 1
