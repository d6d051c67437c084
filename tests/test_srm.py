"""SRM layers against the equation of the neuron, written filter first and loop by loop."""

import math

import pytest
import tiny
import torch
from tiny import spike_train

from vdib.dynamics.feedback import CosineFeedback, ExponentialFeedback
from vdib.dynamics.filters import ExponentialPair, RaisedCosines
from vdib.dynamics.firing import Bernoulli, Threshold
from vdib.neurons import synapses
from vdib.neurons.spike_response import SRM
from vdib.neurons.srm import srm, stochastic_srm
from vdib.neurons.synapses import PooledConv2d, pooled_conv
from vdib.noise import Noise

BATCH, STEPS = 2, 14
THRESHOLD, WIDTH = 0.7, 1.6


def scrambled(layer, dtype=torch.float64):
    """No parameter or setting left where its default could hide an error."""
    generator = torch.Generator().manual_seed(1)
    parts = layer.synapses, layer.shape, layer.filter, layer.feedback, layer.fire
    layer = SRM(*parts, THRESHOLD, WIDTH)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return layer


def dense(dtype=torch.float64):
    return scrambled(srm(*synapses.dense((5,), 4)), dtype)


def dense_bank(dtype=torch.float64):
    return scrambled(stochastic_srm(*synapses.dense((5,), 4), RaisedCosines(3, 8)), dtype)


def conv(dtype=torch.float64):
    return scrambled(srm(*pooled_conv((2, 7, 6), 3, kernel_size=3)), dtype)


def conv_bank(dtype=torch.float64):
    connection = pooled_conv((2, 7, 6), 3, kernel_size=3)
    return scrambled(tiny.filtered(*connection, RaisedCosines(2, 8)), dtype)


LAYERS = {"dense": dense, "dense bank": dense_bank, "conv": conv, "conv bank": conv_bank}
layers = pytest.mark.parametrize("make", LAYERS.values(), ids=list(LAYERS))


def inputs(layer, dtype=torch.float64):
    return spike_train(BATCH, STEPS, *layer.input_shape, dtype=dtype)


def uniform(layer, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(BATCH, STEPS, *layer.shape, generator=generator, dtype=torch.float64)


def filtered(x, kernel):
    """`(eps * x)[t]`, one kernel."""
    out = torch.zeros_like(x)
    for t in range(x.shape[1]):
        for lag in range(min(t + 1, len(kernel))):
            out[:, t] += kernel[lag] * x[:, t - lag]
    return out


def dense_weights(weight, s):
    """`sum_j w_ij s_j`, weight (N, N_in)."""
    return (weight * s[..., None, :]).sum(-1)


def conv_weights(weight, s):
    """Zero-padded 3x3 correlation `(B, T, C_in, H, W)`, then the mean of 2x2 blocks."""
    height, width = s.shape[-2:]
    padded = torch.nn.functional.pad(s, (1, 1, 1, 1))
    out = torch.zeros(*s.shape[:2], weight.shape[0], height, width, dtype=s.dtype)
    for c in range(weight.shape[0]):
        for i in range(3):
            for j in range(3):
                patch = padded[:, :, :, i : i + height, j : j + width]
                out[:, :, c] += (weight[c, :, i, j][:, None, None] * patch).sum(2)
    rows, columns = height // 2, width // 2
    blocks = out[..., : 2 * rows, : 2 * columns].unflatten(-1, (columns, 2))
    return blocks.unflatten(-3, (rows, 2)).mean((-1, -3))


def feed_forward(layer, x):
    """`sum_j sum_k w_ij^k (eps_k * x_j)[t]`, filter first."""
    is_conv = len(layer.shape) == 3
    weight = layer.synapses.conv.weight if is_conv else layer.synapses.weight
    apply = conv_weights if is_conv else dense_weights
    per_kernel = weight.unflatten(0, (layer.filter.num_filters, layer.shape[0]))
    kernels = layer.filter.impulse_response(STEPS)
    return sum(apply(w, filtered(x, eps)) for w, eps in zip(per_kernel, kernels, strict=True))


@layers
def test_drive_is_the_equation_filter_first(make):
    layer = make()
    x = inputs(layer)
    expected = (feed_forward(layer, x) + layer.bias - THRESHOLD) / WIDTH
    torch.testing.assert_close(layer.drive(x), expected, rtol=1e-10, atol=1e-10)


@layers
@pytest.mark.parametrize("stochastic", [False, True])
def test_forward_obeys_the_equation(make, stochastic):
    layer = make()
    x, noise = inputs(layer), uniform(layer)
    spikes, v = layer(x, Bernoulli() if stochastic else Threshold(), noise)
    own = layer.feedback.impulse_response(STEPS)
    fed_back = torch.zeros_like(spikes)
    for t in range(1, STEPS):
        fed_back[:, t] = sum(own[k] * spikes[:, t - 1 - k] for k in range(min(t, len(own))))
    potential = feed_forward(layer, x) + layer.gain * fed_back + layer.bias
    torch.testing.assert_close(v, (potential - THRESHOLD) / WIDTH, rtol=1e-10, atol=1e-10)
    probability = 1 / (1 + torch.exp(-(potential - THRESHOLD) / WIDTH))
    fired = noise < probability if stochastic else potential > THRESHOLD
    assert torch.equal(spikes, fired.double())
    assert 0.1 < spikes.mean() < 0.9
    # What p(y_t | y^{t-1}, x^t) is made of, all steps at once.
    torch.testing.assert_close(layer.given(layer.drive(x), spikes), v, rtol=1e-10, atol=1e-10)


@layers
@pytest.mark.parametrize(("spread", "rate"), [(1.0, None), (2.5, 0.1)])
def test_calibration_sets_the_spread_and_the_rate(make, spread, rate):
    layer = make()
    x, bias = inputs(layer), layer.bias.detach().clone()
    layer.calibrate(x, spread, rate)
    rms = feed_forward(layer, x).detach().square().mean().sqrt()
    assert float(rms) == pytest.approx(spread * WIDTH, rel=1e-10)
    if rate is None:
        assert torch.equal(layer.bias, bias)
    else:
        silent = layer.drive(torch.zeros_like(x)).detach()  # v = logit(rate)
        assert silent.min() == pytest.approx(math.log(rate / (1 - rate)))
        assert silent.max() == pytest.approx(math.log(rate / (1 - rate)))


@layers
def test_mixed_precision_is_close(make):
    layer = make(torch.float32)
    x = inputs(layer, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spikes, v = layer(x, Threshold())
        (grad,) = torch.autograd.grad(v.square().sum() + spikes.sum(), layer.bias)
    assert grad.dtype == torch.float32
    expected = layer(x, Threshold())[1]
    # bfloat16 has 8 bits: currents are off by up to 2^-9 each; no spike is compared, one that
    # flips changes later potentials by more.
    torch.testing.assert_close(v[:, 0].float(), expected[:, 0], rtol=2e-2, atol=5e-2)


def test_the_reference_layers():
    hidden, readout = srm(*synapses.dense((5,), 4)), stochastic_srm(*synapses.dense((5,), 4))
    pooled = srm(*pooled_conv((1, 9, 7), 3))
    assert hidden.filter == pooled.filter == ExponentialPair(membrane=0.9, synapse=0.85)
    assert hidden.feedback == pooled.feedback == ExponentialFeedback(decay=0.65)
    assert readout.filter == RaisedCosines(count=8, duration=10, compression=0.5)
    assert readout.feedback == CosineFeedback(duration=10)
    assert (hidden.fire, pooled.fire, readout.fire) == (Threshold(), Threshold(), Bernoulli())
    assert (hidden.stochastic, pooled.stochastic, readout.stochastic) == (False, False, True)
    assert (hidden.shape, pooled.shape, readout.shape) == ((4,), (3, 4, 3), (4,))
    assert (hidden.input_shape, pooled.input_shape) == ((5,), (1, 9, 7))
    assert sum(p.numel() for p in pooled.parameters()) == 3 * 5 * 5 + 3 + 3


@pytest.mark.parametrize(
    "noise",
    [
        torch.full((1, STEPS, 4), 0.5),
        torch.full((BATCH, STEPS), 0.5),
        Noise(0, 0, torch.arange(BATCH + 1)).of_layer(0),
    ],
)
def test_noise_of_another_shape_is_refused(noise):
    layer = stochastic_srm(*synapses.dense((5,), 4))
    x = torch.zeros(BATCH, STEPS, 5)
    for run in (lambda: layer(x, None, noise), lambda: layer.respond(layer.drive(x), None, noise)):
        with pytest.raises(ValueError, match=rf"noise of shape \({BATCH}, {STEPS}, 4\), got"):
            run()
    with pytest.raises(ValueError, match=rf"noise of shape \({BATCH}, 4\), got \(4,\)"):
        layer.step(x[:, 0], None, None, torch.full((4,), 0.5))


def test_layers_refuse():
    parts = ExponentialPair(), ExponentialFeedback(), Threshold()
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        SRM(synapses.Dense((5,), 2), (2,), *parts, width=0.0)
    with pytest.raises(ValueError, match="cannot pool a 3x1 input by 2"):
        srm(*pooled_conv((1, 3, 1), 2))
    with pytest.raises(ValueError, match="spikes that move no potential"):
        dense().calibrate(torch.zeros(BATCH, STEPS, 5, dtype=torch.float64))


@pytest.mark.parametrize(("kernel_size", "pool"), [(5, 2), (3, 3), (1, 2), (5, 1)])
def test_pooled_kernels_are_pooled_currents(kernel_size, pool):
    torch.manual_seed(0)
    synapses = PooledConv2d((2, 11, 8), 3, kernel_size, pool).double()
    x = torch.randn(4, 2, 11, 8, dtype=torch.float64)
    currents = torch.nn.functional.conv2d(x, synapses.conv.weight, padding=kernel_size // 2)
    expected = torch.nn.functional.avg_pool2d(currents, pool)
    torch.testing.assert_close(synapses(x), expected, rtol=1e-12, atol=1e-12)
