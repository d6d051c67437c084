"""Drifting blobs: the equations, addresses, statistics of the published process, patterns."""

import itertools
import math
import time

import pytest
import torch

from vdib.datasets.drifting_blobs import PUBLISHED, UNIT, DriftingBlobs, Patterns, spikes
from vdib.noise import INPUT, Noise


def noise(count=4, seed=0):
    return Noise(seed, 0, torch.arange(count))


@pytest.mark.parametrize("amplitude", [PUBLISHED, UNIT])
def test_one_blob_follows_its_equations(amplitude):
    process = DriftingBlobs(num_neurons=20, num_blobs=1, amplitude=amplitude)
    steps = 60
    bins = process.bins(noise(1), steps)[0, :, 0]
    u = noise(1).uniform(INPUT, steps, (2, 1)).double()[0, :, :, 0]
    eta, n = torch.special.ndtri(u).T.tolist()
    theta, v, a = -math.pi + 2 * math.pi * float(u[0, 0]), 1.0, amplitude.start
    for t in range(steps):
        if t:
            theta, v = theta + v, 0.9 * v - 0.14 * eta[t]
            a = 0.99 * a + 0.01 * eta[t] if amplitude == PUBLISHED else 1.0
        position = a * (theta + 0.45 * n[t])
        centres = [-math.pi + 2 * math.pi * i / 20 for i in range(20)]
        apart = [abs(math.remainder(position - centre, 2 * math.pi)) for centre in centres]
        assert int(bins[t]) == apart.index(min(apart))


def test_a_sequence_depends_on_its_address_only():
    process = DriftingBlobs()
    whole = process.bins(noise(5), 50)
    some = process.bins(Noise(0, 0, torch.tensor([3, 1])), 50)
    assert torch.equal(some, whole[[3, 1]])
    assert torch.equal(process.bins(noise(5), 30), whole[:, :30])
    assert not torch.equal(process.bins(noise(5, seed=1), 50), whole)


def test_a_stream_goes_on_where_it_was():
    process = DriftingBlobs()
    first, state = process.advance(noise(), 7)
    second, _ = process.advance(noise(), 13, 7, state)
    assert torch.equal(torch.cat([first, second], 1), process.bins(noise(), 20))


def test_chunks_change_nothing(monkeypatch):
    process = DriftingBlobs(num_blobs=3)
    whole = process.bins(noise(9), 40)
    for chunk in (1, 100, 700):
        monkeypatch.setattr("vdib.datasets.drifting_blobs.CHUNK", chunk)
        assert torch.equal(process.bins(noise(9), 40), whole)


def test_statistics_of_the_process():
    """Velocity of an isolated step and entropy of the patterns, at 2,000 sequences."""
    bins = DriftingBlobs(num_blobs=1, amplitude=UNIT).bins(noise(2_000), 100)[..., 0].double()
    # At t = 0 positions are uniform: chi-squared with 19 degrees of freedom, alpha = 1e-4.
    counts = torch.bincount(bins[:, 0].long(), minlength=20).double()
    assert ((counts - 100) ** 2 / 100).sum() < 52.4
    # v[0] = 1 rad = 3.18 bins: the mean first move, its standard error 2 * 1.43 / sqrt(2000) bins.
    move = (bins[:, 1] - bins[:, 0] + 10) % 20 - 10
    assert abs(float(move.mean()) - 20 / (2 * math.pi)) < 5 * 2 * 0.45 * 20 / 6.28 / 2_000**0.5
    patterns = Patterns(20, 2)
    index = patterns.index(DriftingBlobs().bins(noise(2_000), 100)[:, 20:])
    share = torch.bincount(index.flatten(), minlength=210) / index.numel()
    # Close to uniform (log 210 = 5.35 nats), the amplitude notwithstanding.
    assert 5.2 < float(torch.special.entr(share).sum()) < 5.3


def test_it_is_fast_enough():
    before = time.process_time()
    DriftingBlobs().bins(noise(1_000), 100)
    assert 100_000 / (time.process_time() - before) > 100_000  # measured: millions a second


@pytest.mark.parametrize(("num_neurons", "num_blobs"), [(5, 1), (6, 2), (5, 3), (2, 3)])
def test_patterns_are_all_the_sets_there_are(num_neurons, num_blobs):
    patterns = Patterns(num_neurons, num_blobs)
    sizes = range(1, min(num_blobs, num_neurons) + 1)
    assert len(patterns) == sum(math.comb(num_neurons, k) for k in sizes)
    every = list(itertools.product(range(num_neurons), repeat=num_blobs))
    index = patterns.index(torch.tensor(every, dtype=torch.uint8))
    assert set(index.tolist()) == set(range(len(patterns)))
    for bins, row in zip(every, index, strict=True):
        assert set(patterns.active[row].nonzero()[:, 0].tolist()) == set(bins)
    assert torch.equal(patterns.active[index], spikes(torch.tensor(every), num_neurons))


def test_two_blobs_on_twenty_neurons_make_210_patterns():
    assert len(Patterns(20, 2)) == 210


def test_errors():
    with pytest.raises(ValueError, match="num_neurons from 2 to 256"):
        DriftingBlobs(num_neurons=1)
    with pytest.raises(ValueError, match="num_blobs >= 1"):
        DriftingBlobs(num_blobs=0)
    with pytest.raises(ValueError, match="at most 1,000,000: fewer"):
        Patterns(20, 5)
