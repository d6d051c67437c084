"""SLAYER: kernels, neurons, credit and network against its equations, computed another way."""

import math
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest
import suites
import torch
import yaml
from test_fused import close

from vdib.backends import dispatch
from vdib.backends.describe import describe
from vdib.dynamics.alpha import Alpha, AlphaFeedback
from vdib.dynamics.firing import Threshold
from vdib.dynamics.surrogate import exponential
from vdib.encoder import SpikeCode, build_encoder
from vdib.handmade import CountDecoder
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.optimizers import amsgrad, nadam
from vdib.lightning_modules.schedule import constant
from vdib.neurons.readout import threshold
from vdib.neurons.slayer import slayer
from vdib.neurons.spike_response import SRM
from vdib.neurons.synapses import Dense, dense
from vdib.signal import Label
from vdib.slayer_counts import SlayerCountDecoder
from vdib.window import FullWindow


def alpha(tau, scale=1.0, smallest=0.01):
    """As SLAYER makes it: step by step, until it has passed its peak and is small."""
    values = []
    while True:
        t = len(values)
        value = scale * t / tau * math.exp(1 - t / tau)
        if t > tau and abs(value) < smallest:
            return np.array(values)
        values.append(value)


# --- kernels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "steps"), [(10.0, 77), (1.0, 8), (2.5, 20), (0.3, 3)])
def test_a_synapse_is_the_cut_alpha_function(tau, steps):
    kernel = torch.from_numpy(alpha(tau))
    assert len(kernel) == steps
    filter = Alpha(tau)
    torch.testing.assert_close(filter.impulse_response(500)[0], kernel)
    x = suites.uniform(2, 100, 1, 3).requires_grad_()
    found = filter(x)
    expected = torch.stack(
        [
            sum(kernel[k] * x[:, t - k, 0] for k in range(min(t + 1, steps)))
            for t in range(x.shape[1])
        ],
        1,
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    upstream = suites.uniform(*found.shape, seed=1)
    grads = [torch.autograd.grad((y * upstream).sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)


def test_refractoriness_is_the_cut_alpha_function():
    kernel = alpha(1.0, scale=-2 * 10)
    assert len(kernel) == 11
    layer = slayer(*dense((1,), 1))
    nu = layer.gain.item() * layer.feedback.impulse_response(500)
    torch.testing.assert_close(nu, torch.from_numpy(kernel[1:]))


@pytest.mark.parametrize(("tau", "cut"), [(0.0, 0.1), (math.inf, 0.1), (1.0, 1.0), (0.1, 0.1)])
def test_kernels_need_something_to_be_left(tau, cut):
    with pytest.raises(ValueError, match="tau"):
        Alpha(tau, cut)


@pytest.mark.parametrize("attached", [True, False])
def test_fused_is_plain(attached, monkeypatch):
    monkeypatch.setattr(SRM, "ATTACHED", attached)
    torch.manual_seed(0)
    filter, feedback = Alpha(2.5), AlphaFeedback(1.5)
    fire = Threshold(exponential)
    layer = SRM(Dense((6,), 37), (37,), filter, feedback, fire, 0.3, 1.6)
    torch.nn.init.normal_(layer.synapses.by_input)
    layer.gain.requires_grad_(attached)
    for part in (filter, feedback, layer.fire):
        describe(part)
    x = suites.spike_train(3, 60, 6, dtype=torch.float32).requires_grad_()
    upstream = suites.uniform(2, 3, 60, 37).float() - 0.5
    parameters = [x, *suites.learnt(layer).values()]

    def run():
        out = layer(x)
        return *out, *torch.autograd.grad(suites.looked_at(out, upstream), parameters)

    found = run()
    with dispatch.plain():
        expected = run()
    assert torch.equal(found[0], expected[0])
    assert 0.05 < found[0].mean() < 0.95
    for value, other in zip(found[1:], expected[1:], strict=True):
        close(value, other)


# --- neurons ----------------------------------------------------------------------------------


def simulated(weights, spikes, tau_sr=10.0, tau_ref=1.0, theta=10.0):
    """Spikes `(T, N)` of a layer: SLAYER's equations, spike by spike, in NumPy's float64."""
    eps, nu = alpha(tau_sr), alpha(tau_ref, -2 * theta)
    currents = spikes @ weights.T  # T N
    each = [np.convolve(current, eps)[: len(spikes)] for current in currents.T]
    u, out = np.stack(each, 1), np.zeros_like(currents)
    for t in range(len(u)):
        out[t] = u[t] >= theta
        coming = u[t : t + len(nu)]
        coming += nu[: len(coming), None] * out[t]
    return out


def test_spikes_are_those_of_a_direct_convolution():
    """On the sizes of SLAYER's demonstration "Oxford": 250-25-1 neurons, 2,000 steps of 1 ms."""
    torch.manual_seed(0)
    encoder = build_encoder((250,), 1, (25,), neuron=slayer, readout=threshold).double()
    encoder.readout.synapses.by_input.data.abs_()  # or the one neuron might be silent
    x = suites.spike_train(1, 2000, 250, rate=0.08)
    with torch.no_grad():
        code = encoder(x)
    below = x[0].numpy()
    for layer, spikes in zip(
        (*encoder.layers, encoder.readout), (*code.hidden, code.spikes), strict=True
    ):
        expected = simulated(layer.synapses.weight.detach().numpy(), below)
        assert np.array_equal(spikes[0].numpy(), expected)
        assert 100 < expected.sum() < 0.5 * expected.size
        below = expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_neuron_fires_at_theta(dtype):
    """Not only above: one spike of weight theta is enough, one of slightly less is not."""
    layer = slayer(*dense((1,), 2)).to(dtype)
    layer.synapses.by_input.data[:] = torch.tensor([10.0, 10.0 - 1e-5])
    x = torch.zeros(1, 15, 1, dtype=dtype)
    x[0, 0] = 1
    for run in (layer(x)[0], torch.stack(suites_steps(layer, x), 1)):
        assert run[0, :, 0].nonzero().flatten().tolist() == [10]
        assert run[0, :, 1].sum() == 0


def suites_steps(layer, x):
    out, state = [], None
    for now in x.unbind(1):
        spikes, _, state = layer.step(now, state)
        out.append(spikes)
    return out


def test_no_gradient_passes_through_refractoriness():
    """Autograd of the equations, the spikes that a neuron feels being detached."""
    torch.manual_seed(0)
    settings = {"tau_sr": 2.0, "tau_ref": 1.5, "theta": 4.0, "tau_rho": 0.5, "scale_rho": 0.3}
    layer = slayer(*dense((5,), 4), **settings).double()
    layer.synapses.by_input.data.abs_()
    x = suites.spike_train(3, 20, 5)
    upstream = suites.uniform(2, 3, 20, 4) - 0.5
    spikes, v = layer(x)
    (found,) = torch.autograd.grad(
        suites.looked_at((spikes, v), upstream), suites.learnt(layer).values()
    )
    weights = layer.synapses.by_input.detach().requires_grad_()
    eps, nu = alpha(2.0), alpha(1.5, -2 * 4.0)
    fired, out = [], [[], []]
    for t in range(20):
        u = sum(eps[k] * (x[:, t - k] @ weights) for k in range(min(t + 1, len(eps))))
        u = u + sum(nu[k] * fired[t - k] for k in range(1, min(t + 1, len(nu))))
        rho = 0.3 / (0.5 * 4) * torch.exp(-(u - 4).abs() / (0.5 * 4)).detach()
        fired.append((u >= 4).double())
        out[0].append(fired[-1] + rho * (u - u.detach()))
        out[1].append((u - 4) / 4)
    again = tuple(torch.stack(part, 1) for part in out)
    assert torch.equal(spikes, again[0].round())
    assert 0.05 < spikes.mean() < 0.9
    torch.testing.assert_close(v, again[1], rtol=1e-6, atol=1e-6)  # theta is one of float32
    (wanted,) = torch.autograd.grad(suites.looked_at(again, upstream), weights)
    assert wanted.norm() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_only_weights_are_learnt_and_start_as_in_the_example():
    torch.manual_seed(0)
    layer = slayer(*dense((100,), 400))
    assert set(suites.learnt(layer)) == {"synapses.by_input"}
    assert layer.bias.abs().max() == 0
    drawn = layer.synapses.weight
    assert 0.99 < drawn.abs().max() <= 1  # 10 / sqrt(100)
    assert 0.57 < drawn.std() < 0.59
    assert slayer(*dense((100,), 4), weight_scale=1.0).synapses.weight.abs().max() <= 0.1
    for name in ("scale_ref", "theta", "tau_rho", "scale_rho"):
        with pytest.raises(ValueError, match=f"{name}: got 0"):
            slayer(*dense((3,), 4), **{name: 0})


# --- credit -----------------------------------------------------------------------------------


def count_code(steps, seed=0):
    return suites.spike_train(3, steps, 4, rate=0.3, seed=seed).requires_grad_()


def cost_of(decoder, spikes, labels):
    return -decoder(SpikeCode(spikes, None)).log_prob(labels[:, None]).sum()


def published(spikes, labels, length, true, false, tau):
    """The value, and what the spike at t is credited with, by sums over steps."""
    steps, eps = spikes.shape[1], alpha(tau)
    value, grad = 0.0, np.zeros(spikes.shape)
    for b, label in enumerate(labels.tolist()):
        for i in range(spikes.shape[2]):
            train = spikes[b, :, i]
            target = (true if i == label else false) * length
            error = np.zeros(steps)
            for t in range(steps):
                for k in range(min(t + 1, len(eps))):
                    if t - k < steps - length:  # before the window
                        error[t] += eps[k] * train[t - k]
                if t >= steps - length:
                    error[t] += (train[steps - length :].sum() - target) / length
            value += 0.5 * (error**2).sum()
            for t in range(steps):
                for k in range(min(steps - t, len(eps))):
                    grad[b, t, i] += eps[k] * error[t + k]
    return value, grad


@pytest.mark.parametrize("length", [40, 25])
def test_the_published_credit_by_name(length):
    labels, spikes = torch.tensor([0, 2, 3]), count_code(40)
    decoder = SlayerCountDecoder(FullWindow(length), 4, Label(4), 0.5, 0.1, tau_sr=3.0)
    value, grad = published(spikes.detach().numpy(), labels, length, 0.5, 0.1, 3.0)
    cost = cost_of(decoder, spikes, labels)
    assert cost.item() == pytest.approx(value, rel=1e-12)
    (found,) = torch.autograd.grad(cost, spikes)
    torch.testing.assert_close(found, torch.from_numpy(grad), rtol=1e-12, atol=1e-12)


def test_the_true_gradient_is_another_of_the_same_loss():
    labels, spikes = torch.tensor([0, 2, 3]), count_code(300)
    window = FullWindow(300)
    true = CountDecoder(window, 4, Label(4), 0.2, 1 / 30)
    other = SlayerCountDecoder(window, 4, Label(4), 0.2, 1 / 30)
    costs = [cost_of(decoder, spikes, labels) for decoder in (true, other)]
    constant = 3 * 4 * math.log(math.sqrt(300) * math.sqrt(2 * math.pi))
    torch.testing.assert_close(costs[0] - constant, costs[1])
    counts = spikes.detach().sum(1)
    targets = torch.full_like(counts, 10)
    targets[torch.arange(3), labels] = 60
    error = ((counts - targets) / 300)[:, None].expand(-1, 300, -1)
    grads = [torch.autograd.grad(cost, spikes)[0] for cost in costs]
    torch.testing.assert_close(grads[0], error)
    times = (grads[1] / error)[0, :, 0]
    assert times[0] == pytest.approx(sum(alpha(10.0)))
    assert 26.5 < times[0] < 27.5
    for before_the_end, part in ((20, 0.58), (5, 0.075), (1, 0.0)):
        assert times[300 - before_the_end] / times[0] == pytest.approx(part, abs=0.02)


# --- the example ------------------------------------------------------------------------------


def module_of(config, **settings):
    content = yaml.safe_load((files("vdib.configs") / f"{config}.yaml").read_text("utf-8"))
    given = content["model"]["init_args"] | settings
    torch.manual_seed(0)
    taken = {"num_steps": 300, "input_shape": (2, 34, 34), "signal": Label(10)}
    return NaturalisationModule(**taken, **given), content


def trained_as(module, content, optimizer):
    """By the published gradient at one rate of 0.01, 100 epochs, spikes of no price."""
    assert type(module.vdib.decoder) is SlayerCountDecoder
    assert (module.optimizer, module.lr, module.encoder_lr) == (optimizer, 0.01, 0.01)
    assert module.schedule is constant
    assert (module.vdib.beta, module.vdib.penalties, module.signal) == (0, {}, Label(10))
    assert content["trainer"]["max_epochs"] == 100


def test_the_config_is_the_example():
    module, content = module_of("slayer_nmnist")
    layers = [*module.vdib.encoder.layers, module.vdib.encoder.readout]
    assert [tuple(layer.synapses.weight.shape) for layer in layers] == [(512, 2312), (10, 512)]
    for layer in layers:
        assert layer.filter == Alpha(10.0)
        assert layer.feedback == AlphaFeedback(1.0, 0.01 / 20)
        assert (layer.width, layer.gain.unique().item()) == (10.0, 20.0)
        assert 10 - 1e-6 < layer.threshold < 10
    decoder = module.vdib.decoder
    assert (decoder.target_true, round(decoder.target_false, 3)) == (60, 10)
    data = content["data"]["init_args"]
    assert (data["num_steps"], data["step_ms"], data["batch_size"]) == (300, 1, 8)
    assert (data["recordings"], data["num_folds"], "shift" in data) == ("real", 10, False)
    trained_as(module, content, amsgrad)
    before = [weight.detach().clone() for weight in module.parameters()]
    batch = SimpleNamespace(spikes=suites.spike_train(2, 30, 2, 34, 34).float())
    split = SimpleNamespace(
        examples=lambda name, count: batch, constant=lambda: torch.ones(10) / 10
    )
    module.start(split)
    assert all(map(torch.equal, before, module.parameters()))


def test_the_later_recipe():
    module, content = module_of("slayer_nmnist_2019")
    (layer,) = module.vdib.encoder.layers
    assert layer.filter == module.vdib.decoder.filter == Alpha(1.0)
    v = torch.linspace(-1, 1, 9)
    # In units of u = theta v + theta: rho = 0.25 / (0.1 theta) exp(-|u - theta| / (0.1 theta)).
    rho = 0.25 / (0.1 * 10) * torch.exp(-(10 * v).abs() / (0.1 * 10))
    torch.testing.assert_close(layer.fire.slope(v, v), 10 * rho)  # ds/dv = theta ds/du
    assert content["data"]["init_args"]["shift"] == [-8, 7]
    assert content["data"]["init_args"]["batch_size"] == 12
    trained_as(module, content, nadam)


def test_the_convolutional_network():
    module, content = module_of("slayer_nmnist_cnn")
    assert content["data"]["init_args"]["batch_size"] == 12
    trained_as(module, content, amsgrad)
    encoder = module.vdib.encoder
    shapes = [(16, 32, 32), (16, 16, 16), (32, 16, 16), (32, 8, 8), (64, 8, 8)]
    assert [layer.shape for layer in encoder.layers] == shapes
    assert encoder.readout.input_shape == (64, 8, 8)
    first, pool = encoder.layers[:2]
    assert 100 / math.sqrt(50) * 0.99 < first.synapses.conv.weight.abs().max() < 100 / 50**0.5
    assert not suites.learnt(pool)
    one = torch.zeros(1, 15, 16, 32, 32)
    one[0, 0, 3, 4, 7] = 1
    spikes, v = pool(one)
    enough = (1.1 * alpha(10.0) >= 1).nonzero()[0][0]
    assert spikes.nonzero()[0].tolist() == [0, enough, 3, 2, 3]
    assert v[0, 5, 3, 2, 3].item() == pytest.approx(1.1 * alpha(10.0)[5] - 1, rel=1e-5)


def test_batch_norm_leaves_what_is_drawn_to_the_connections():
    """Gamma starts at 1 behind the scaled weights; sums stay sums of a fixed weight."""
    module, _ = module_of("slayer_nmnist_cnn", techniques={"norm": True})
    first, pool = (layer.inner for layer in module.vdib.encoder.layers[:2])
    for layer in (first, pool):
        assert layer.synapses.norm.weight.unique().tolist() == [1.0]
    drawn = first.synapses.synapses.conv.weight.abs().max()
    assert 100 / math.sqrt(50) * 0.99 < drawn < 100 / 50**0.5
    assert pool.synapses.synapses.weight.unique().tolist() == pytest.approx([11.0])
