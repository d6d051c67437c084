"""Windows: features, their lift from rate decoding, and what they let through."""

import math

import pytest
import torch
from tiny import spike_train

from vdib.window import BasisWindow, FullWindow, RateWindow, recent

LENGTHS = [1, 2, 5, 8]


def windows(length):
    counts = sorted({1, min(3, length), length})
    return [
        FullWindow(length),
        RateWindow(length),
        *(BasisWindow(length, count).double() for count in counts),
    ]


@pytest.mark.parametrize("length", [1, 2, 4, 6, 9])
def test_recent_steps_with_silence_before_the_beginning(length):
    spikes = spike_train(2, 6, 3)
    every, last = recent(spikes, length, every_step=True), recent(spikes, length)
    assert every.shape == (2, 6, length, 3)
    assert last.shape == (2, 1, length, 3)
    for t in range(6):
        for back in range(length):
            expected = spikes[:, t - back] if t >= back else torch.zeros(2, 3).double()
            assert torch.equal(every[:, t, length - 1 - back], expected)
    assert torch.equal(last[:, 0], every[:, 5])


@pytest.mark.parametrize("length", LENGTHS)
def test_features(length):
    spikes = spike_train(2, 3, length, 4)
    assert torch.equal(FullWindow(length)(spikes), spikes)
    assert torch.equal(RateWindow(length)(spikes), spikes.sum(2, keepdim=True))
    features = BasisWindow(length, length)(spikes)
    for k in range(length):
        wave = [
            math.sqrt(2 / length) * math.cos(math.pi * k * (i + 0.5) / length)
            for i in range(length)
        ]
        if k == 0:
            wave = [1.0] * length
        expected = sum(wave[i] * spikes[:, :, i] for i in range(length))
        # Exact: the basis is kept in float64.
        torch.testing.assert_close(features[:, :, k], expected, rtol=1e-6, atol=1e-6)
    for count in range(1, length + 1):
        fewer = BasisWindow(length, count)
        assert fewer.num_features == count
        assert torch.equal(fewer(spikes), features[:, :, :count])


@pytest.mark.parametrize("length", LENGTHS)
def test_lifted_weights_compute_what_rate_weights_do(length):
    spikes = spike_train(2, 3, length, 4)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    expected = spikes.sum(2) @ weight.T
    for window in windows(length):
        lifted = window.lift(weight)
        assert lifted.shape == (5, window.num_features, 4)
        value = torch.einsum("ofn,bsfn->bso", lifted, window(spikes))
        torch.testing.assert_close(value, expected, rtol=1e-7, atol=1e-7)
    # Equal weights on every step; nothing but the sum in a basis.
    assert torch.equal(FullWindow(length).lift(weight)[:, length - 1], weight)
    assert (BasisWindow(length, length).lift(weight)[:, 1:] == 0).all()


@pytest.mark.parametrize("length", LENGTHS)
def test_smoothing_is_the_projection_on_what_the_features_determine(length):
    spikes = spike_train(2, 3, length, 4)
    for window in windows(length):
        smooth = window.smooth(spikes)
        assert smooth.shape == spikes.shape
        torch.testing.assert_close(window.smooth(smooth), smooth, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(window(smooth), window(spikes), rtol=1e-6, atol=1e-6)
        left = (smooth * (spikes - smooth)).sum(2)
        torch.testing.assert_close(left, torch.zeros_like(left), rtol=0, atol=1e-6)
        # As many dimensions pass as there are features.
        matrix = window.smooth(torch.eye(length, dtype=torch.float64)[None, None])
        assert float(matrix.diagonal(dim1=2, dim2=3).sum()) == pytest.approx(
            window.num_features, abs=1e-5
        )
    mean = spikes.mean(2, keepdim=True).expand_as(spikes)
    torch.testing.assert_close(RateWindow(length).smooth(spikes), mean)
    assert torch.equal(FullWindow(length).smooth(spikes), spikes)


def test_rate_decoding_ignores_the_order_of_steps_and_time_decoding_does_not():
    spikes = spike_train(2, 1, 6, 4)
    backwards = spikes.flip(2)
    assert torch.equal(RateWindow(6)(spikes), RateWindow(6)(backwards))
    assert not torch.equal(FullWindow(6)(spikes), FullWindow(6)(backwards))
    flipped = BasisWindow(6, 4)(spikes) * torch.tensor([1.0, -1, 1, -1])[:, None]
    torch.testing.assert_close(BasisWindow(6, 4)(backwards), flipped.double())


def test_windows_refuse():
    with pytest.raises(ValueError, match="at least one step, got 0"):
        FullWindow(0)
    with pytest.raises(ValueError, match="at least one step, got 0"):
        RateWindow(0)
    for count in (0, 6):
        with pytest.raises(ValueError, match=f"over 5 steps has 1 to 5 elements, got {count}"):
            BasisWindow(5, count)
