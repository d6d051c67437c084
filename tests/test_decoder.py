"""Decoders: their equations, their likelihoods, and their common start as rate decoding."""

import math

import pytest
import torch

from vdib.decoder import CNNDecoder, LogisticDecoder, MLPDecoder
from vdib.encoder import SpikeCode
from vdib.signal import Image, Label, bernoulli, categorical, normal
from vdib.window import BasisWindow, FullWindow, RateWindow, recent

NEURONS, OUTPUTS = 4, 3
LENGTHS = [1, 2, 7, 8, 9]


def spike_train(length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(2, 5, length, NEURONS, generator=generator) < 0.4).double()


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def built(make, window, seed=0, signal=Image((OUTPUTS,)), **arguments):  # noqa: B008  # frozen
    torch.manual_seed(seed)
    return make(window, NEURONS, signal, **arguments).double()


def windows(length):
    counts = sorted({1, min(3, length), length})
    return [FullWindow(length), *(BasisWindow(length, count) for count in counts)]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("make", [LogisticDecoder, MLPDecoder])
def test_every_window_starts_as_rate_decoding(make, length):
    spikes = spike_train(length)
    rate = built(make, RateWindow(length)).outputs(spikes)
    assert rate.std() > 0.01
    for window in windows(length):
        decoder = built(make, window)
        torch.testing.assert_close(decoder.outputs(spikes), rate, rtol=0, atol=1e-5)
        # ... and in float32, as it is trained.
        outputs = decoder.float().outputs(spikes.float())
        torch.testing.assert_close(outputs, rate.float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("num_steps", [1, 6, 20])
@pytest.mark.parametrize("make", [LogisticDecoder, MLPDecoder])
def test_every_step_is_the_recent_spikes_of_each(make, num_steps, length):
    class Recent(FullWindow):  # a user's window, which only knows recent spikes
        def forward(self, spikes):
            return spikes.flip(2)

    class Last(Recent):
        def forward(self, spikes):
            return spikes.tril()

    spikes = spike_train(num_steps)[:, 0].requires_grad_()
    for window in (*windows(length), Recent(length), Last(length)):
        decoder = built(make, window)
        with torch.no_grad():
            for parameter in decoder.parameters():  # away from rate decoding
                parameter += 0.3 * draw(*parameter.shape, seed=1)
        parameters = [spikes, *decoder.parameters()]
        found = decoder.every_output(spikes)
        expected = decoder.outputs(recent(spikes, length, every_step=True))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        upstream = draw(*found.shape, seed=2)
        grads = torch.autograd.grad(found, parameters, upstream)
        for grad, other in zip(
            grads, torch.autograd.grad(expected, parameters, upstream), strict=True
        ):
            torch.testing.assert_close(grad, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [LogisticDecoder, MLPDecoder])
def test_time_decoding_may_leave_rate_decoding(make):
    decoder = built(make, FullWindow(6))
    first = decoder.head if make is LogisticDecoder else decoder.hidden
    with torch.no_grad():
        first.weight += draw(*first.weight.shape)  # the lifted weights own their memory
    spikes = spike_train(6)
    assert not torch.allclose(decoder.outputs(spikes), decoder.outputs(spikes.flip(2)))


def test_logistic_decoder_is_its_equation():
    decoder = built(LogisticDecoder, BasisWindow(6, 2))
    with torch.no_grad():
        decoder.head.weight.copy_(draw(OUTPUTS, 2 * NEURONS))
    spikes = spike_train(6)
    features = decoder.window(spikes)
    weight = decoder.head.weight.view(OUTPUTS, 2, NEURONS)
    expected = decoder.head.bias.expand(2, 5, OUTPUTS).clone()
    for f in range(2):
        for n in range(NEURONS):
            expected = expected + features[:, :, f, n, None] * weight[:, f, n]
    torch.testing.assert_close(decoder.outputs(spikes), expected)


def test_mlp_decoder_is_its_equation():
    decoder = built(MLPDecoder, FullWindow(6), num_hidden=9)
    spikes = spike_train(6)
    before = spikes.flatten(2) @ decoder.hidden.weight.T + decoder.hidden.bias
    hidden = torch.where(before > 0, before, torch.zeros_like(before))
    assert hidden.shape == (2, 5, 9)
    assert 0.2 < (hidden > 0).double().mean() < 0.8
    expected = hidden @ decoder.head.weight.T + decoder.head.bias
    torch.testing.assert_close(decoder.outputs(spikes), expected)


def strided_convolution(x, weight, bias):
    """Stride 2 from the first step on, zeros outside; `x` (R, C, L)."""
    length, size = x.shape[2], weight.shape[2]
    out = []
    for centre in range(0, length, 2):
        total = bias.expand(x.shape[0], -1).clone()
        for i in range(size):
            position = centre + i - size // 2
            if 0 <= position < length:
                total = total + x[:, :, position] @ weight[:, :, i].T
        out.append(total.clamp_min(0))
    return torch.stack(out, dim=2)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_cnn_decoder_is_its_equation(length, kernel_size):
    for window in [*windows(length), RateWindow(length)]:
        decoder = built(CNNDecoder, window, num_channels=6, kernel_size=kernel_size)
        spikes = spike_train(length)
        first, second = decoder.first, decoder.second
        x = window.smooth(spikes).view(10, length, NEURONS).transpose(1, 2)
        x = strided_convolution(x, first.weight, first.bias)
        x = strided_convolution(x, second.weight, second.bias)
        expected = x.reshape(2, 5, -1) @ decoder.head.weight.T + decoder.head.bias
        torch.testing.assert_close(decoder.outputs(spikes), expected)


@pytest.mark.parametrize("length", LENGTHS)
def test_cnn_decoders_start_from_equal_weights_and_differ_in_what_they_see(length):
    spikes = spike_train(length)
    full = built(CNNDecoder, FullWindow(length), num_channels=6)
    for window in [*windows(length), RateWindow(length)]:
        decoder = built(CNNDecoder, window, num_channels=6)
        own = dict(decoder.named_parameters())
        assert own.keys() == dict(full.named_parameters()).keys()
        for name, parameter in full.named_parameters():
            assert torch.equal(own[name], parameter)
        seen = window.smooth(spikes)
        torch.testing.assert_close(decoder.outputs(spikes), full.outputs(seen))
    mean = spikes.mean(2, keepdim=True).expand_as(spikes)
    rate = built(CNNDecoder, RateWindow(length), num_channels=6)
    torch.testing.assert_close(rate.outputs(spikes), full.outputs(mean))


def test_the_seed_decides_the_weights():
    spikes = spike_train(6)
    for make in (LogisticDecoder, MLPDecoder, CNNDecoder):
        one, same, other = (built(make, FullWindow(6), seed).outputs(spikes) for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.allclose(one, other)


def test_bernoulli_is_the_cross_entropy_with_grey_pixels():
    logits, grey = 3 * draw(2, 5, OUTPUTS), torch.sigmoid(draw(2, 5, OUTPUTS, seed=1))
    grey[0, 0] = torch.tensor([0.0, 1.0, 0.5])
    p = 1 / (1 + torch.exp(-logits))
    expected = (grey * torch.log(p) + (1 - grey) * torch.log(1 - p)).sum(-1)
    distribution = bernoulli(logits)
    assert distribution.batch_shape == (2, 5)
    torch.testing.assert_close(distribution.log_prob(grey), expected)
    torch.testing.assert_close(distribution.mean, p)
    far = bernoulli(torch.tensor([[400.0, -400.0]])).log_prob(torch.tensor([[1.0, 0.0]]))
    assert far.tolist() == [0.0]


def test_categorical_is_the_log_of_a_normalised_exponential():
    logits, label = 3 * draw(2, 5, OUTPUTS), torch.arange(10).view(2, 5) % OUTPUTS
    distribution = categorical(logits)
    assert distribution.batch_shape == (2, 5)
    value = distribution.log_prob(label)
    for b in range(2):
        for s in range(5):
            exponentials = [math.exp(logit) for logit in logits[b, s].tolist()]
            expected = math.log(exponentials[int(label[b, s])] / sum(exponentials))
            assert float(value[b, s]) == pytest.approx(expected, rel=1e-10)


def test_normal_has_means_first_and_log_deviations_second():
    outputs, target = draw(2, 5, 6), draw(2, 5, 3, seed=1)
    mean, log_std = outputs[..., :3], outputs[..., 3:]
    distribution = normal(outputs)
    assert distribution.batch_shape == (2, 5)
    z = (target - mean) / torch.exp(log_std)
    expected = (-(z**2) / 2 - log_std - math.log(2 * math.pi) / 2).sum(-1)
    torch.testing.assert_close(distribution.log_prob(target), expected)
    torch.testing.assert_close(distribution.mean, mean)


@pytest.mark.parametrize("make", [LogisticDecoder, MLPDecoder, CNNDecoder])
@pytest.mark.parametrize("signal", [Image((OUTPUTS,)), Label(OUTPUTS)], ids=str)
def test_decoders_return_the_distribution_of_their_outputs(make, signal):
    decoder = built(make, FullWindow(6), signal=signal)
    code = SpikeCode(spike_train(9)[:, 0], None)
    target = torch.ones(2, 9) if signal == Label(OUTPUTS) else draw(2, 9, OUTPUTS).sigmoid()
    for every_step, steps in ((True, slice(None)), (False, slice(8, None))):
        distribution = decoder(code, every_step)
        assert distribution.batch_shape == target[:, steps].shape[:2]
        outputs = decoder.outputs(recent(code.spikes, 6, every_step=True))[:, steps]
        expected = signal.likelihood(outputs).log_prob(target[:, steps])
        torch.testing.assert_close(distribution.log_prob(target[:, steps]), expected)
        assert expected.std() > 0


@pytest.mark.parametrize("make", [LogisticDecoder, MLPDecoder, CNNDecoder])
def test_starting_from_given_outputs_shifts_them_whatever_the_spikes(make):
    decoder, spikes = built(make, FullWindow(6)), spike_train(6)
    before, bias = decoder.outputs(spikes), decoder.head.bias.detach().clone()
    wanted = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    decoder.start_from(wanted)
    torch.testing.assert_close(decoder.outputs(spikes), before - bias + wanted)
    assert decoder.head.bias.requires_grad
    if make is LogisticDecoder:  # silence is answered with the given outputs
        silent = decoder.outputs(torch.zeros_like(spikes))
        torch.testing.assert_close(silent, wanted.expand_as(silent))


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size must be odd, got 4"):
        CNNDecoder(FullWindow(6), NEURONS, Image((OUTPUTS,)), kernel_size=4)
