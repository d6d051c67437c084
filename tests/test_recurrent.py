"""Recurrent SRM layers: their equation by `torch.autograd`, and who refuses them."""

import pytest
import suites
import torch

from vdib.credit import DirectFeedback, EProp
from vdib.dynamics.firing import Threshold
from vdib.dynamics.surrogate import arctan
from vdib.encoder import SpikingEncoder
from vdib.neurons.recurrent import recurrent_lif, recurrent_srm
from vdib.neurons.synapses import dense, pooled_conv

STEPS = 12
PLACES = [dense((5,), 4), pooled_conv((2, 5, 4), 3, kernel_size=3)]


@pytest.mark.parametrize("place", PLACES)
def test_lif_neurons_hear_each_other(place):
    """`U[t] = beta U[t-1] + W x[t] + R S[t-1] - theta S[t-1]`, of every neuron and its gradient."""
    torch.manual_seed(1)
    layer = suites.disturbed(recurrent_lif(*place, arctan, beta=0.8, theta=1.5).double(), 0.3)
    x = suites.spike_train(3, STEPS, *layer.input_shape)
    layer.calibrate(x, 1.5)
    size = layer.recurrent.by_input.shape[0]
    gain = layer.inner.gain.expand(layer.shape).flatten()  # disturbed, or it were theta
    u = spike = torch.zeros(3, size).double()
    out = [], []
    for t in range(STEPS):
        below = layer.synapses(x[:, t]).flatten(1)
        u = 0.8 * u + below + layer.recurrent(spike.view(3, *layer.shape)) - gain * spike
        bias = layer.inner.bias.expand(layer.shape).flatten()
        v = u + bias - 1.5
        soft = v * arctan(v.detach())
        spike = (v > 0).double() + soft - soft.detach()
        out[0].append(spike.view(3, *layer.shape))
        out[1].append(v.view(3, *layer.shape))
    wanted = [torch.stack(part, 1) for part in out]
    spikes, v = layer(x)
    assert torch.equal(spikes, wanted[0].round())
    assert 0.05 < spikes.mean() < 0.9
    torch.testing.assert_close(v, wanted[1], rtol=1e-12, atol=1e-12)
    upstream = suites.uniform(2, *spikes.shape) - 0.5
    parameters = list(suites.learnt(layer).values())
    grads, others = (
        torch.autograd.grad(suites.looked_at(tuple(found), upstream), parameters)
        for found in ((spikes, v), wanted)
    )
    for grad, other in zip(grads, others, strict=True):
        assert other.abs().max() > 1e-3
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-9)


def test_without_weights_between_them_they_are_the_inner_layer():
    torch.manual_seed(0)
    layer = recurrent_srm(*dense((5,), 4)).double()
    x = suites.spike_train(3, STEPS, 5)
    layer.calibrate(x, 2.0)
    with_weights, _ = layer(x)
    layer.recurrent.by_input.data.zero_()
    spikes, v = layer(x)
    expected, expected_v = layer.inner(x)
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(v, expected_v, rtol=1e-12, atol=1e-12)
    assert not torch.equal(spikes, with_weights)
    assert torch.equal(layer(x, Threshold(arctan))[0], spikes)


def test_rules_by_the_drive_refuse_them():
    layer = recurrent_srm(*dense((5,), 4))
    for rule in (EProp(), DirectFeedback([], 4)):
        with pytest.raises(ValueError, match=r"needs layers .* Recurrent is none"):
            SpikingEncoder([], layer, rule)
