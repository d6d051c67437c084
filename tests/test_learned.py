"""SRM neurons whose decays are learned: as those whose are not, gradients by `torch.autograd`."""

import itertools
from functools import partial

import pytest
import suites
import torch

from vdib.credit import DirectFeedback, EProp
from vdib.dynamics.feedback import ExponentialFeedback
from vdib.dynamics.filters import ExponentialPair
from vdib.dynamics.surrogate import arctan
from vdib.encoder import SpikingEncoder
from vdib.energy.updates import update
from vdib.neurons.constants import Decay
from vdib.neurons.learned import LearnedFeedback, LearnedPair
from vdib.neurons.lif import lif
from vdib.neurons.recurrent import recurrent_lif, recurrent_srm
from vdib.neurons.srm import srm
from vdib.neurons.synapses import dense, pooled_conv

PLACES = [dense((5,), 4), pooled_conv((2, 5, 4), 3, kernel_size=3)]
DECAYS = [0.1, 0.5, 0.85, 0.85 + 1e-9, 0.850_003, 0.9, 0.99]
EVERY = ["membrane", "synapse", "refractory"]


def pair(membrane, synapse, shape=(), learned=True):
    decays = Decay("membrane", membrane, learned, shape), Decay("synapse", synapse, learned, shape)
    return LearnedPair(*decays).double()


@pytest.mark.parametrize(("membrane", "synapse"), [*itertools.product(DECAYS, DECAYS)])
def test_responses_are_those_of_fixed_decays(membrane, synapse):
    """Also of decays that are equal, or all but equal."""
    expected = ExponentialPair(membrane, synapse)
    found = pair(membrane, synapse)
    torch.testing.assert_close(
        found.impulse_response(40), expected.impulse_response(40), rtol=1e-5, atol=0
    )
    peak = found.constants(torch.zeros((), dtype=torch.float64))[2].detach()
    torch.testing.assert_close(float(peak), expected.peak, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("membrane", "synapse"), [*itertools.product([0.2, 0.45, 0.85], DECAYS)])
def test_the_peak_moves_with_the_decays(membrane, synapse):
    """By finite differences, so that every response keeps a peak of one."""
    filter = pair(membrane, synapse)
    for decay in (filter.membrane, filter.synapse):

        def peak():
            return filter.constants(torch.zeros((), dtype=torch.float64))[2]

        (grad,) = torch.autograd.grad(peak(), decay.w)
        wanted = suites.numerically(peak, decay.w, 3e-5)
        torch.testing.assert_close(grad, wanted, rtol=1e-3, atol=1e-4)


def of_one_integrator(beta):
    return LearnedPair(Decay("beta", beta, True, ()), Decay("synapse", 0.0, False, ())).double()


def test_one_integrator_alone():
    filter = of_one_integrator(0.7)
    expected = ExponentialPair(0.7, 0.0).impulse_response(9)
    torch.testing.assert_close(filter.impulse_response(9), expected)
    feedback = LearnedFeedback(Decay("decay", 0.6, True, ())).double()
    wanted = ExponentialFeedback(0.6).impulse_response(9)
    torch.testing.assert_close(feedback.impulse_response(9), wanted)


def test_updates_are_those_of_fixed_decays():
    assert update(pair(0.9, 0.8)) == update(ExponentialPair(0.9, 0.8))
    assert update(of_one_integrator(0.7)) == update(ExponentialPair(0.7, 0.0))
    feedback = LearnedFeedback(Decay("decay", 0.6, True, ()))
    assert update(feedback) == update(ExponentialFeedback(0.6))
    assert update(srm(*PLACES[0], learn=EVERY)) == update(srm(*PLACES[0]))


def test_neurons_of_their_own_decays_have_no_one_response():
    with pytest.raises(ValueError, match="decays per neuron has no one response"):
        pair(0.9, 0.8, (4,)).impulse_response(3)
    with pytest.raises(ValueError, match="decays per neuron has no one response"):
        LearnedFeedback(Decay("decay", 0.6, True, (4,))).impulse_response(3)


MAKERS = {
    "srm": (partial(srm, learn=EVERY), srm),
    "srm, own": (partial(srm, learn=EVERY, shared=False), srm),
    "one decay": (partial(srm, learn=["synapse"]), srm),
    "recurrent": (partial(recurrent_srm, learn=EVERY, shared=False), recurrent_srm),
    "recurrent LIF": (partial(recurrent_lif, learn=["beta"], shared=False), recurrent_lif),
}


@pytest.mark.parametrize("place", PLACES, ids=["dense", "conv"])
@pytest.mark.parametrize("name", MAKERS)
def test_they_begin_as_neurons_that_learn_none(name, place):
    learning, fixed = MAKERS[name]
    layers = []
    for make in (learning, fixed):
        torch.manual_seed(0)
        layers.append(make(*place).double())
    x = suites.spike_train(3, 25, *layers[0].input_shape)
    for layer in layers:
        layer.calibrate(x, 3.0)
    (spikes, v), (expected, expected_v) = (layer(x) for layer in layers)
    assert torch.equal(spikes, expected)
    assert 0.04 < spikes.mean() < 0.9
    torch.testing.assert_close(v, expected_v, rtol=1e-6, atol=1e-6)  # decays are of float32


@pytest.mark.parametrize("place", PLACES, ids=["dense", "conv"])
@pytest.mark.parametrize("shared", [True, False])
def test_gradients_are_autograds_of_the_equation(place, shared):
    """Two integrators, a response of unit peak, refractoriness: every decay is another number."""
    torch.manual_seed(0)
    made = srm(*place, arctan, membrane=0.8, synapse=0.6, learn=EVERY, shared=shared).double()
    layer = suites.disturbed(made, 0.2)
    x = suites.spike_train(3, 15, *layer.input_shape)
    layer.calibrate(x, 3.0)
    inner = layer.inner
    a, c, decay = (
        torch.sigmoid(part.w)
        for part in (inner.filter.membrane, inner.filter.synapse, inner.feedback.decay)
    )
    assert a.shape == (() if shared else inner.bias.shape)
    response = torch.stack([sum(a**j * c ** (t - j) for j in range(t + 1)) for t in range(30)])
    peak = response.amax(0)
    current = u = felt = torch.zeros(3, *layer.shape).double()
    out = [], []
    for t in range(15):
        current = c * current + inner.synapses(x[:, t]).view(3, *layer.shape)
        u = a * u + current
        v = u / peak + inner.bias - 1 + inner.gain * felt
        soft = v * arctan(v.detach())
        spike = (v > 0).double() + soft - soft.detach()
        felt = decay * felt - spike
        out[0].append(spike)
        out[1].append(v)
    wanted = [torch.stack(part, 1) for part in out]
    spikes, v = layer(x)
    assert torch.equal(spikes, wanted[0].round())
    torch.testing.assert_close(v, wanted[1], rtol=1e-9, atol=1e-9)
    upstream = suites.uniform(2, *spikes.shape) - 0.5
    parameters = dict(layer.named_parameters())
    assert len(parameters) == 6
    grads, others = (
        torch.autograd.grad(suites.looked_at(tuple(found), upstream), list(parameters.values()))
        for found in ((spikes, v), wanted)
    )
    for name, grad, other in zip(parameters, grads, others, strict=True):
        assert other.abs().max() > 1e-3, name
        torch.testing.assert_close(grad, other, rtol=1e-7, atol=1e-8, msg=name)


def test_the_reset_of_recurrent_lif_neurons_learns_with_their_leak():
    """Both are beta: the layer is that of a fixed beta wherever training has taken it."""
    torch.manual_seed(0)
    layer = recurrent_lif(*dense((5,), 4), beta=0.9, learn=["beta"]).double()
    layer.inner.filter.membrane.w.data.fill_(torch.logit(torch.tensor(0.6)))
    layer.recurrent.by_input.data.zero_()
    torch.manual_seed(0)
    expected = lif(*dense((5,), 4), beta=0.6).double()
    x = suites.spike_train(3, 25, 5)
    for part in (layer, expected):
        part.calibrate(x, 3.0)
    spikes, v = layer(x)
    assert torch.equal(spikes, expected(x)[0])
    torch.testing.assert_close(v, expected(x)[1])
    assert 0.05 < spikes.mean() < 0.9
    assert [name for name, _ in layer.named_parameters() if name.endswith(".w")] == [
        "inner.filter.membrane.w"
    ]


def test_rules_local_in_time_refuse_them():
    layer = srm(*dense((5,), 4), learn=["membrane"])
    for rule in (EProp(), DirectFeedback([], 4)):
        with pytest.raises(
            ValueError, match=r"needs layers .* do without learned decays \(leave out `learn`\)"
        ):
            SpikingEncoder([], layer, rule)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"learn": ["beta"]}, "learn: got 'beta', expected some of membrane, synapse and refract"),
        (
            {"learn": ["synapse"], "synapse": 0.0},
            "synapse: got 0.0, expected a decay per step above 0",
        ),
        ({"membrane": 0.9999999, "learn": ["membrane"]}, "at most 0.999999 where it is learned"),
        ({"membrane": 1.0}, "membrane decay per step must lie in"),
    ],
)
def test_wrong_settings_are_told(settings, told):
    with pytest.raises(ValueError, match=told):
        srm(*dense((5,), 4), **settings)


def test_recurrent_lif_neurons_learn_no_threshold():
    with pytest.raises(ValueError, match="learn: got 'theta', expected beta"):
        recurrent_lif(*dense((5,), 4), learn=["theta"])


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_short_sequences_leave_unused_decays_without_gradient(name, steps):
    layer = MAKERS[name][0](*dense((5,), 4))
    x = suites.spike_train(3, 20, 5, dtype=torch.float32)
    layer.calibrate(x)
    spikes, v = layer(x[:, :steps])
    (spikes.sum() + v.sum()).backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


def test_decays_can_be_frozen_again():
    layer = srm(*dense((5,), 4), learn=EVERY)
    x = suites.spike_train(3, 20, 5, dtype=torch.float32)
    layer.calibrate(x)
    decays = layer.inner.feedback.decay.w, layer.inner.filter.membrane.w
    for decay in decays:
        decay.requires_grad_(False)
    spikes, v = layer(x)
    (spikes.sum() + v.sum()).backward()
    assert decays[0].grad is None
    assert layer.inner.filter.synapse.w.grad.abs() > 0


@pytest.mark.parametrize("make", [srm, recurrent_srm])
def test_one_integrator_may_be_none(make):
    """A membrane without memory, that only the synapse gives one; its response is at once at 1."""
    layer = make(*dense((5,), 4), membrane=0.0, learn=["synapse"])
    x = suites.spike_train(3, 20, 5, dtype=torch.float32)
    layer.calibrate(x)
    spikes, v = layer(x)
    (spikes.sum() + v.sum()).backward()
    grad = layer.inner.filter.synapse.w.grad
    assert grad.isfinite().all()
    assert grad.abs() > 0


def test_decays_stay_below_one_wherever_training_takes_them():
    layer = srm(*dense((5,), 4), learn=EVERY)
    for part in (layer.inner.filter.membrane, layer.inner.filter.synapse):
        part.w.data.fill_(40.0)
    x = suites.spike_train(3, 20, 5, dtype=torch.float32)
    spikes, v = layer(x)
    assert v.isfinite().all()
    (spikes.sum() + v.sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())
