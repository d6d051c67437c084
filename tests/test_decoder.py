"""Decoders: their equations, their likelihoods, and their common start as rate decoding."""

import math

import pytest
import tiny
import torch

from vdib.decoder import CNNDecoder, LogisticDecoder, MLPDecoder
from vdib.signal import Image, bernoulli, categorical, normal
from vdib.window import BasisWindow, FullWindow, RateWindow, recent

NEURONS, OUTPUTS = 4, 3
LENGTHS = [1, 2, 7, 8, 9]


def spike_train(length, seed=0):
    """Recent spikes `(B, S, L, N)`."""
    return tiny.spike_train(2, 5, length, NEURONS, rate=0.4, seed=seed)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def built(make, window, seed=0, signal=Image((OUTPUTS,)), **arguments):  # noqa: B008  # frozen
    torch.manual_seed(seed)
    return make(window, NEURONS, signal, **arguments).double()


def windows(length):
    counts = sorted({1, min(3, length), length})
    return [FullWindow(length), *(BasisWindow(length, count) for count in counts)]


class Reversed(FullWindow):
    """A user's window, which only knows recent spikes."""

    def forward(self, spikes):
        return spikes.flip(2)


class Wavering(BasisWindow):
    """Another, of the features of a basis."""

    def forward(self, spikes):
        return super().forward(spikes).cumsum(2)


@pytest.mark.parametrize("num_steps", [1, 6, 20])
@pytest.mark.parametrize("window", [Reversed(7), Wavering(7, 3)], ids=["full", "basis"])
@pytest.mark.parametrize("make", [LogisticDecoder, MLPDecoder])
def test_a_window_of_ones_own_is_asked_at_every_step(make, window, num_steps):
    spikes = tiny.spike_train(2, num_steps, NEURONS, rate=0.4)
    decoder = built(make, window)
    with torch.no_grad():
        for parameter in decoder.parameters():  # away from rate decoding
            parameter += 0.3 * draw(*parameter.shape, seed=1)
    expected = decoder.outputs(recent(spikes, 7, every_step=True))
    torch.testing.assert_close(decoder.every_output(spikes), expected, rtol=1e-10, atol=1e-10)


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


def test_silence_is_answered_with_what_the_logistic_decoder_starts_from():
    decoder = built(LogisticDecoder, FullWindow(6))
    wanted = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    decoder.start_from(wanted)
    silent = decoder.outputs(torch.zeros(2, 5, 6, NEURONS, dtype=torch.float64))
    torch.testing.assert_close(silent, wanted.expand_as(silent))


def test_mlp_decoder_is_its_equation():
    decoder = built(MLPDecoder, FullWindow(6), num_hidden=9)
    spikes = spike_train(6)
    before = spikes.flatten(2) @ decoder.hidden.weight.T + decoder.hidden.bias
    hidden = torch.where(before > 0, before, torch.zeros_like(before))
    assert hidden.shape == (2, 5, 9)
    assert 0.2 < (hidden > 0).double().mean() < 0.8
    expected = hidden @ decoder.head.weight.T + decoder.head.bias
    torch.testing.assert_close(decoder.outputs(spikes), expected)


def test_a_deeper_mlp_decoder_is_its_equation():
    decoder = built(MLPDecoder, FullWindow(6), num_hidden=9, num_layers=3)
    spikes = spike_train(6)
    hidden = spikes.flatten(2)
    layers = [decoder.hidden, decoder.deeper[0], decoder.deeper[2]]
    for layer in layers:
        before = hidden @ layer.weight.T + layer.bias
        hidden = torch.where(before > 0, before, torch.zeros_like(before))
        assert 0.1 < (hidden > 0).double().mean() < 0.9
    assert len(list(decoder.parameters())) == 2 * (len(layers) + 1)
    expected = hidden @ decoder.head.weight.T + decoder.head.bias
    torch.testing.assert_close(decoder.outputs(spikes), expected)
    # rate decoding still: one step's spikes are worth as much as another's
    torch.testing.assert_close(decoder.outputs(spikes.flip(2)), expected)


@pytest.mark.parametrize("sizes", [{"num_hidden": 0}, {"num_layers": 0}])
def test_a_decoder_without_units_is_refused(sizes):
    with pytest.raises(ValueError, match=r"num_hidden and num_layers: got .* expected at least 1"):
        MLPDecoder(FullWindow(6), NEURONS, Image((OUTPUTS,)), **sizes)


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


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size must be odd, got 4"):
        CNNDecoder(FullWindow(6), NEURONS, Image((OUTPUTS,)), kernel_size=4)
