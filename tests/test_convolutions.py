"""Convolutional layers by words: against PyTorch's own convolutions and sums."""

import pytest
import torch
from suites import spike_train
from torch.nn.functional import avg_pool2d, conv2d

from vdib.encoder import build_encoder
from vdib.neurons.leaky import leaky
from vdib.neurons.slayer import slayer
from vdib.neurons.srm import srm
from vdib.neurons.synapses import SumPool2d, by_word
from vdib.sparse import SparseSpikes


@pytest.mark.parametrize(
    ("word", "kernel", "padding", "pool"),
    [(4, 5, 2, 2), ("4", 5, 2, 2), ("4c3", 3, 1, 1), ("4c5p1", 5, 1, 1), ("4c2p0", 2, 0, 1)],
)
def test_a_word_is_a_convolution(word, kernel, padding, pool):
    connect, shape = by_word((2, 9, 7), word)
    synapses = connect(3)
    x = spike_train(2, 4, 2, 9, 7, dtype=torch.float32)
    rows, weight = x.flatten(0, 1), synapses.conv.weight
    assert weight.shape == (12, 2, kernel, kernel)
    expected = avg_pool2d(conv2d(rows, weight, padding=padding), pool)
    assert expected.shape[1:] == (3 * shape[0], *shape[1:])
    for given in (rows, SparseSpikes.of(x)):
        torch.testing.assert_close(synapses(given), expected)


def test_fixed_sums():
    connect, shape = by_word((3, 7, 4), "2a")
    synapses = connect(2)
    assert isinstance(synapses, SumPool2d)
    assert shape == (3, 3, 2)
    assert not list(synapses.parameters())
    x = spike_train(2, 4, 3, 7, 4, dtype=torch.float32)
    sums = torch.zeros(2, 4, 3, 3, 2)
    for y in range(6):  # the seventh row is left over
        for column in range(4):
            sums[..., y // 2, column // 2] += x[..., y, column]
    sums = sums.flatten(0, 1)
    expected = 1.1 * torch.cat([sums, sums], 1)  # of both currents of a neuron
    for given in (x.flatten(0, 1), SparseSpikes.of(x)):
        torch.testing.assert_close(synapses(given), expected)
    every = torch.eye(84).view(84, 3, 7, 4)  # the inputs one by one
    assert torch.equal(synapses.fan_out(), (synapses(every) != 0).sum((1, 2, 3)).float())


@pytest.mark.parametrize("neuron", [srm, leaky, slayer])
def test_every_neuron_may_sum(neuron):
    """Its layer learns no weights, and one spike of a square suffices to make it fire."""
    torch.manual_seed(0)
    encoder = build_encoder((2, 8, 8), 4, (20,), ["3c3", "2a"], neuron=neuron)
    assert [layer.shape for layer in encoder.layers] == [(3, 8, 8), (3, 4, 4), (20,)]
    encoder.calibrate(spike_train(4, 20, 2, 8, 8, rate=0.6, dtype=torch.float32), 0.1)
    one = torch.zeros(1, 20, 3, 8, 8)
    one[0, 0, 1, 2, 5] = 1
    spikes, _ = encoder.layers[1](one)
    assert spikes[0].sum((0, 2, 3)).argmax() == 1
    assert spikes[0, :, 1, 1, 2].sum() == spikes.sum() >= 1


@pytest.mark.parametrize(
    "word", ["c5", "0", "16c", "16x5", "2b", "-3", "16c5p", "2.5", "0a", "3c0"]
)
def test_other_words_are_refused(word):
    with pytest.raises(ValueError, match=rf"conv: got '{word}', expected for instance 16, 16c5"):
        by_word((2, 9, 9), word)


@pytest.mark.parametrize(
    ("shape", "word", "message"),
    [
        ((2, 9), "16c5", r"convolutions need inputs of shape \(C, H, W\), got \(2, 9\)"),
        ((2, 1, 9), "2a", "cannot pool a 1x9 input by 2"),
        ((2, 2, 9), "16c5p0", "a 2x9 input is too small for this convolution"),
        ((2, 9, 9), "16c4", "kernel_size must be odd, got 4"),
    ],
)
def test_inputs_must_fit(shape, word, message):
    with pytest.raises(ValueError, match=message):
        by_word(shape, word)[0](1)
