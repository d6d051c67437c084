"""The encoder: sequences against steps, its noise, its likelihood, its start."""

import math

import pytest
import tiny
import torch

from vdib.dynamics.firing import Bernoulli, Concrete, PassThrough
from vdib.encoder import SpikeCode, SpikingEncoder, build_encoder
from vdib.neurons import synapses
from vdib.neurons.srm import srm, stochastic_srm
from vdib.noise import Noise

BATCH, STEPS, READOUT = 3, 12, 4
IDS = torch.tensor([11, 5, 2**40])


def dense():
    torch.manual_seed(0)
    return build_encoder((6,), READOUT, hidden=(8, 7)), (6,)


def conv():
    torch.manual_seed(0)
    return build_encoder((2, 6, 6), READOUT, hidden=(7,), conv=(3,)), (2, 6, 6)


def shallow():
    torch.manual_seed(0)
    return build_encoder((6,), READOUT, hidden=()), (6,)


encoders = pytest.mark.parametrize("make", [dense, conv, shallow])


def spike_train(shape, dtype=torch.float32):
    return tiny.spike_train(BATCH, STEPS, *shape, dtype=dtype)


def ready(make, dtype=torch.float32):
    """A calibrated encoder, neither silent nor saturated, and spikes for it."""
    encoder, shape = make()
    encoder, x = encoder.to(dtype), spike_train(shape, dtype=dtype)
    encoder.calibrate(x, rate=0.3)
    return encoder, x


@encoders
@pytest.mark.parametrize("fire", [Bernoulli(), Concrete(0.5)], ids=["hard", "soft"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_steps_are_the_whole_sequence(make, fire, dtype, tolerance):
    encoder, x = ready(make, dtype)
    noise = Noise(0, 0, IDS).uniform(len(encoder.layers), STEPS, (READOUT,))
    code = encoder(x, noise, fire)
    assert 0.1 < code.spikes.detach().mean() < 0.6
    state = None
    for t in range(STEPS):
        now, state = encoder.step(x[:, t], state, noise[:, t], fire)
        torch.testing.assert_close(now.logits, code.logits[:, t], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(now.spikes, code.spikes[:, t], rtol=tolerance, atol=tolerance)
        for part, whole in zip(now.hidden, code.hidden, strict=True):
            assert torch.equal(part, whole[:, t])
            assert 0 < whole.detach().mean() < 1


@encoders
def test_the_code_is_what_its_layers_say(make):
    encoder, x = ready(make)
    code = encoder(x, Noise(3, 4, IDS), Bernoulli())
    below = x
    for layer, hidden in zip(encoder.layers, code.hidden, strict=True):
        below, v = layer(below)
        assert torch.equal(below, (v > 0).float())
        assert torch.equal(hidden, below)
    logits = encoder.readout.given(encoder.readout.drive(below), code.spikes)
    torch.testing.assert_close(code.logits, logits, rtol=1e-5, atol=1e-5)
    # The readout draws from the layer that follows the last hidden one.
    uniform = Noise(3, 4, IDS).uniform(len(encoder.layers), STEPS, (READOUT,))
    assert torch.equal(code.spikes, (uniform < torch.sigmoid(code.logits)).float())


@encoders
def test_explicit_noise_is_as_good_as_its_address(make):
    encoder, x = ready(make)
    address = Noise(3, 4, IDS, samples=2)
    addressed = encoder(x, address, Bernoulli())
    explicit = encoder(x, address.uniform(len(encoder.layers), STEPS, (READOUT,)), Bernoulli())
    assert torch.equal(addressed.spikes, explicit.spikes)
    assert torch.equal(addressed.logits, explicit.logits)


@encoders
def test_an_example_is_coded_alike_in_any_batch(make):
    encoder, x = ready(make)
    code = encoder(x, Noise(0, 7, IDS), Bernoulli())
    for rows in ([2, 0, 1], [1], [0, 0, 2, 2, 1]):
        other = encoder(x[rows], Noise(0, 7, IDS[rows]), Bernoulli())
        assert torch.equal(other.spikes, code.spikes[rows])
        torch.testing.assert_close(other.logits, code.logits[rows], rtol=1e-5, atol=1e-5)
    for noise in (Noise(1, 7, IDS), Noise(0, 8, IDS), Noise(0, 7, IDS + 1)):
        assert not torch.equal(encoder(x, noise, Bernoulli()).spikes, code.spikes)


@encoders
def test_samples_are_sample_major_and_share_one_hidden_pass(make):
    encoder, x = ready(make)
    rows = []
    for layer in encoder.layers:
        layer.synapses.register_forward_hook(lambda module, args, out: rows.append(len(out)))
    code = encoder(x, Noise(0, 0, IDS, samples=3), Bernoulli())
    assert rows == [BATCH * STEPS] * len(encoder.layers)
    assert code.spikes.shape == code.logits.shape == (3 * BATCH, STEPS, READOUT)
    assert all(hidden.shape[0] == BATCH for hidden in code.hidden)
    one = encoder(x, Noise(0, 0, IDS), Bernoulli())
    assert torch.equal(code.spikes[:BATCH], one.spikes)
    noise = Noise(0, 0, IDS, samples=3).uniform(len(encoder.layers), STEPS, (READOUT,))
    for m in range(3):
        mine = slice(m * BATCH, (m + 1) * BATCH)
        alone = encoder(x, noise[mine], Bernoulli())
        assert torch.equal(code.spikes[mine], alone.spikes)
        torch.testing.assert_close(code.logits[mine], alone.logits)


def test_the_gradient_of_several_samples_is_the_sum_of_theirs():
    encoder, x = ready(dense, torch.float64)
    noise = Noise(0, 0, IDS, samples=3).uniform(2, STEPS, (READOUT,))
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(noise.shape, generator=generator, dtype=torch.float64)
    parameters = list(encoder.parameters())
    together = (encoder(x, noise, PassThrough()).spikes * weight).sum()
    apart = [
        (encoder(x, n, PassThrough()).spikes * w).sum()
        for n, w in zip(noise.chunk(3), weight.chunk(3), strict=True)
    ]
    expected = torch.autograd.grad(sum(apart), parameters)
    for grad, other in zip(torch.autograd.grad(together, parameters), expected, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-10, atol=1e-12)
        assert (other != 0).any()


def test_log_prob_is_that_of_independent_spikes_given_the_past():
    encoder, x = ready(dense, torch.float64)
    code = encoder(x, Noise(0, 0, IDS), Bernoulli())
    log_prob = code.log_prob().detach()
    for b in range(BATCH):
        for t in range(STEPS):
            expected = 0.0
            for spike, logit in zip(code.spikes[b, t], code.logits[b, t].detach(), strict=True):
                p = 1 / (1 + math.exp(-logit))
                expected += math.log(p if spike == 1 else 1 - p)
            assert float(log_prob[b, t]) == pytest.approx(expected, rel=1e-10)


def test_log_prob_is_finite_far_from_threshold():
    logits = torch.tensor([[[500.0, -500.0]], [[500.0, -500.0]]])
    spikes = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert SpikeCode(spikes, logits, ()).log_prob().tolist() == [[0.0], [-1000.0]]


@encoders
def test_nothing_is_remembered_between_calls(make):
    encoder, x = ready(make)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    first = encoder(x, Noise(0, 0, IDS), Bernoulli())
    encoder(1 - x, Noise(5, 5, IDS), Bernoulli())
    encoder.step(x[:, 0], None, torch.full((BATCH, READOUT), 0.5), Bernoulli())
    again = encoder(x, Noise(0, 0, IDS), Bernoulli())
    assert torch.equal(first.spikes, again.spikes)
    assert torch.equal(first.logits, again.logits)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


@encoders
def test_a_step_leaves_its_state_as_it_was(make):
    encoder, x = ready(make)
    noise = torch.full((BATCH, READOUT), 0.5)
    _, state = encoder.step(x[:, 0], None, noise, Bernoulli())
    _, state = encoder.step(x[:, 1], state, noise, Bernoulli())
    first, _ = encoder.step(x[:, 2], state, noise, Bernoulli())
    again, _ = encoder.step(x[:, 2], state, noise, Bernoulli())
    assert torch.equal(first.logits, again.logits)
    assert all(torch.equal(*both) for both in zip(first.hidden, again.hidden, strict=True))


@encoders
def test_calibration_reaches_every_layer(make):
    encoder, shape = make()
    encoder, x = encoder.double(), spike_train(shape, dtype=torch.float64)
    encoder.calibrate(x, rate=0.2)
    below = x
    for layer in [*encoder.layers, encoder.readout]:
        potential = layer.drive(below) - layer.drive(torch.zeros_like(below))
        rms = potential.detach().square().mean().sqrt() * layer.width
        assert float(rms) == pytest.approx(layer.width, rel=1e-10)
        silent = layer.drive(torch.zeros_like(below)).detach()
        if layer is not encoder.readout:
            below, _ = layer(below)
    assert silent.unique().tolist() == pytest.approx([math.log(0.2 / 0.8)])


def test_building_what_was_asked_for():
    encoder = build_encoder((2, 9, 6), 5, hidden=(8, 7), conv=(3, 4))
    assert [layer.shape for layer in encoder.layers] == [(3, 4, 3), (4, 2, 1), (8,), (7,)]
    assert encoder.num_readout == 5
    weights = [tuple(p.shape) for p in encoder.parameters() if p.dim() > 1 and p.numel() > 4]
    assert weights == [(3, 2, 5, 5), (4, 3, 5, 5), (8, 8), (8, 7), (7, 8 * 5)]


def test_images_into_dense_layers_are_flattened():
    torch.manual_seed(0)
    encoder = build_encoder((2, 3, 3), READOUT, hidden=(8,))
    x = spike_train((2, 3, 3))
    code = encoder(x, Noise(0, 0, IDS), Bernoulli())
    flat = encoder(x.flatten(2), Noise(0, 0, IDS), Bernoulli())
    assert torch.equal(code.logits, flat.logits)


def test_encoders_refuse():
    with pytest.raises(ValueError, match=r"need inputs of shape \(C, H, W\), got \(784,\)"):
        build_encoder((784,), 3, conv=(2,))
    with pytest.raises(ValueError, match="cannot pool a 1x1 input by 2"):
        build_encoder((1, 4, 4), 3, conv=(2, 2, 2))
    encoder, shape = dense()
    with pytest.raises(ValueError, match="spikes that move no potential"):
        encoder.calibrate(torch.zeros(BATCH, STEPS, *shape), rate=0.1)


def test_only_the_readout_is_drawn():
    encoder, _ = dense()
    with pytest.raises(ValueError, match="hidden layers are deterministic: only the readout"):
        SpikingEncoder([stochastic_srm(*synapses.dense((6,), 7))], encoder.readout)
    image = srm(*synapses.pooled_conv((1, 4, 4), 2))
    with pytest.raises(ValueError, match=r"got a layer of shape \(2, 2, 2\), expected \(N_y,\)"):
        SpikingEncoder([], image)


def test_noise_has_to_be_given_and_to_fit():
    encoder, x = ready(dense)
    with pytest.raises(ValueError, match="a stochastic readout needs noise"):
        encoder(x)
    for wrong in (Noise(0, 0, IDS[:2]), torch.rand(BATCH, STEPS, 3), torch.rand(4, STEPS, READOUT)):
        with pytest.raises(ValueError, match=r"does not fit drives \(3, 12, 4\)"):
            encoder(x, wrong)


def test_several_codes_need_a_readout_with_a_drive():
    class Chance(tiny.Gates):
        stochastic = True

    encoder = SpikingEncoder([], Chance((6,), READOUT))
    with pytest.raises(ValueError, match=r"several codes per input needs .* Chance is none"):
        encoder(spike_train((6,)), Noise(0, 0, IDS, samples=2))


def deterministic(dtype=torch.float64):
    torch.manual_seed(0)
    hidden = srm(*synapses.dense((6,), 7))
    encoder = SpikingEncoder([hidden], srm(*synapses.dense((7,), READOUT))).to(dtype)
    x = spike_train((6,), dtype=dtype)
    for layer in (*encoder.layers, encoder.readout):
        torch.nn.init.constant_(layer.bias, 0.5)
    encoder.calibrate(x, rate=0.3)
    return encoder, x


def test_a_deterministic_readout_needs_no_noise_and_has_no_probabilities():
    encoder, x = deterministic()
    code = encoder(x)
    assert not code.stochastic
    spikes, v = encoder.readout(code.hidden[0])
    assert torch.equal(code.spikes, spikes)
    assert torch.equal(code.v, v)
    assert torch.equal(encoder(x, Noise(0, 0, IDS), Bernoulli()).spikes, spikes)
    assert 0.02 < spikes.mean() < 0.9
    for ask in (lambda: code.logits, code.log_prob, SpikeCode(spikes, None).log_prob):
        with pytest.raises(ValueError, match="a deterministic code has no probabilities"):
            ask()
    state = None
    for t in range(STEPS):
        now, state = encoder.step(x[:, t], state)
        assert torch.equal(now.spikes, spikes[:, t])
        assert not now.stochastic
