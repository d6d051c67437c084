"""Addressed noise against SplitMix64 in plain integers, and its statistics.

The seeds are fixed, so a statistical test either always passes or always fails; its alpha says how
likely a good generator was to fail it before the seeds were chosen.
"""

import math
from statistics import NormalDist

import pytest
import torch

from vdib.noise import EVALUATION, INPUT, Noise

WORD = 2**64
GAMMA = 0x9E3779B97F4A7C15


def mix(z):
    z %= WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def reference(seed, step, example, sample, layer, count):
    """Number `count` (= time * neurons + neuron) of an address."""
    key = 0
    for field in (seed, step, layer, example, sample):
        key = mix((key ^ field % WORD) + GAMMA)
    return ((mix(key + (count + 1) * GAMMA) >> 41) + 0.5) / 2**23


def draw(seed=0, step=0, ids=(7,), samples=1, layer=0, num_steps=4, shape=(3,), start=0):
    noise = Noise(seed, step, torch.tensor(ids), samples)
    return noise.uniform(layer, num_steps, shape, start)


def test_the_reference_is_splitmix64():
    # First outputs for seed 1234567, as published with the generator's test vectors.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [mix(1234567 + n * GAMMA) for n in (1, 2, 3)] == published


@pytest.mark.parametrize(
    ("seed", "step", "layer"),
    [(0, 0, 0), (5, 1_000, 2), (2**62, 2**62 + 1, 1), (3, EVALUATION, INPUT), (-4, 2**63 - 1, 0)],
)
def test_noise_is_splitmix64_of_its_address(seed, step, layer):
    ids = [0, 1, 2**62, 2**63 - 1, -1]
    value = draw(seed, step, ids, 2, layer, num_steps=3, shape=(2, 2), start=5)
    for m in range(2):
        for b, example in enumerate(ids):
            for t in range(3):
                for n in range(4):
                    expected = reference(seed, step, example, m, layer, (5 + t) * 4 + n)
                    assert float(value[m * len(ids) + b, t].flatten()[n]) == expected


def test_noise_never_changes():
    value = draw(seed=1, step=2, ids=(3, 4), samples=2, layer=1)
    assert value.shape == (4, 4, 3)
    golden = [
        0.4160321354866028,
        0.9562181830406189,
        0.10682421922683716,
        0.2249879240989685,
        0.6997008919715881,
        0.4288037419319153,
        0.03025716543197632,
        0.216219961643219,
        0.3133774399757385,
        0.6017948985099792,
        0.09172064065933228,
        0.33818334341049194,
    ]
    assert value[3].flatten().tolist() == golden


def test_noise_does_not_depend_on_its_surroundings():
    alone = draw(ids=(7,))[0]
    assert torch.equal(draw(ids=(1, 7, 2))[1], alone)
    assert torch.equal(draw(ids=(7, 1))[0], alone)
    assert torch.equal(draw(ids=(7, 7))[1], alone)
    several = draw(ids=(7, 8), samples=3)
    assert torch.equal(several[0], alone)  # sample m of example b at row m B + b
    assert torch.equal(several[5], draw(ids=(8,), samples=5)[2])
    assert torch.equal(several[3], draw(ids=(8, 9), samples=2)[2])
    noise = Noise(0, 0, torch.tensor([7, 8]))
    assert torch.equal(noise.with_samples(3).uniform(0, 4, (3,)), several)
    assert noise.samples == 1


def test_time_starts_anywhere():
    whole = draw(num_steps=9)
    assert torch.equal(draw(num_steps=5), whole[:, :5])
    assert torch.equal(draw(num_steps=4, start=5), whole[:, 5:])
    for t in range(9):
        assert torch.equal(draw(num_steps=1, start=t)[:, 0], whole[:, t])


FIELDS = {
    "seed": [{"seed": seed} for seed in (0, 1, 2, -1, 2**62)],
    "step": [{"step": step} for step in (0, 1, 2, EVALUATION, 2**62)],
    "example": [{"ids": (example,)} for example in (0, 1, 2, 60_000, 2**62)],
    "layer": [{"layer": layer} for layer in (0, 1, 2, INPUT)],
    "seed and step": [{"seed": 0, "step": 1}, {"seed": 1, "step": 0}],
    "step and layer": [{"step": 0, "layer": 1}, {"step": 1, "layer": 0}],
    "layer and example": [{"layer": 0, "ids": (1,)}, {"layer": 1, "ids": (0,)}],
}


def streams(addresses, count):
    return torch.stack([draw(**a, num_steps=count // 8, shape=(8,))[0] for a in addresses])


def correlations(x, y):
    """Circular cross-correlations at every lag, each standard normal for independent noise."""
    x, y = ((z.flatten().double() - 0.5) * math.sqrt(12) for z in (x, y))
    product = torch.fft.rfft(x) * torch.fft.rfft(y).conj()
    return torch.fft.irfft(product, n=len(x)) / math.sqrt(len(x))


def assert_unrelated(rows, alpha=1e-3):
    """No pair of rows correlated or a shifted copy, at a level `alpha` over all pairs and lags."""
    pairs = [(x, y) for i, x in enumerate(rows) for y in rows[:i]]
    limit = NormalDist().inv_cdf(1 - alpha / (2 * len(pairs) * rows[0].numel()))
    for x, y in pairs:
        assert correlations(x, y).abs().max() < limit


@pytest.mark.parametrize("addresses", FIELDS.values(), ids=list(FIELDS))
def test_neighbouring_addresses_are_unrelated(addresses):
    assert_unrelated(streams(addresses, 4_096))  # alpha 1e-3


def test_samples_of_one_example_are_unrelated():
    assert_unrelated(draw(samples=5, num_steps=512, shape=(8,)))  # alpha 1e-3


def test_neurons_and_steps_are_unrelated():
    value = draw(num_steps=1_024, shape=(6,))[0]
    assert_unrelated(value.T)  # alpha 1e-3
    own = correlations(value, value)[1:]
    assert own.abs().max() < NormalDist().inv_cdf(1 - 1e-3 / (2 * len(own)))  # alpha 1e-3


def test_a_shifted_copy_would_be_found():
    row = draw(num_steps=513, shape=(8,))[0].flatten()
    with pytest.raises(AssertionError):
        assert_unrelated(torch.stack([row[:4_096], row[8:]]))


def test_noise_is_uniform():
    value = draw(seed=9, step=EVALUATION, ids=tuple(range(64)), num_steps=32, shape=(64,))
    ordered = value.flatten().double().sort().values
    count = len(ordered)
    # Kolmogorov-Smirnov, alpha 1e-3: sqrt(n) D exceeds 1.9495 with that probability.
    place = torch.arange(count, dtype=torch.float64)
    distance = torch.maximum((place + 1) / count - ordered, ordered - place / count).max()
    assert float(distance) * math.sqrt(count) < 1.9495
    # Chi-square over the top 8 bits, then over the low 8 of the 23, alpha 1e-3 each.
    bits = (ordered * 2**23).long()
    for cells in (bits >> 15, bits & 255):
        observed = torch.bincount(cells, minlength=256).double()
        statistic = ((observed - count / 256) ** 2 / (count / 256)).sum()
        p = torch.special.gammaincc(torch.tensor(255 / 2, dtype=torch.float64), statistic / 2)
        assert p > 1e-3


def test_neighbouring_examples_are_jointly_uniform():
    # First number of each of 65,536 examples against that of the next: 16 x 16 cells, alpha 1e-3.
    first = draw(ids=tuple(range(65_537)), num_steps=1, shape=(1,)).flatten()
    cells = (first[:-1] * 16).long() * 16 + (first[1:] * 16).long()
    # Pairs that do not overlap are independent.
    observed = torch.bincount(cells[::2], minlength=256).double()
    statistic = ((observed - 128) ** 2 / 128).sum()
    p = torch.special.gammaincc(torch.tensor(255 / 2, dtype=torch.float64), statistic / 2)
    assert p > 1e-3


def test_noise_lies_strictly_inside_the_unit_interval(monkeypatch):
    # The hash's extremes, all bits zero and all bits one.
    for bits, expected in ((0, 2.0**-24), (-1, 1 - 2.0**-24)):
        monkeypatch.setattr("vdib.noise._mix_", lambda z, bits=bits: torch.full_like(z, bits))
        value = draw()
        assert value.dtype == torch.float32
        assert (value == expected).all()


def test_drawing_leaves_the_ids_as_they_were():
    ids = torch.tensor([7, 8])
    Noise(0, 0, ids).uniform(0, 4, (3,))
    assert ids.tolist() == [7, 8]
