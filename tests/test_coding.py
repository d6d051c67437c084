"""Codings of images against their definitions."""

import pytest
import torch

from vdib.coding import rate_code, row_code, time_code
from vdib.noise import EVALUATION, INPUT, Noise


def noise(ids, step=0, seed=0):
    return Noise(seed, step, torch.as_tensor(ids))


def grey(batch=6, pixels=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, pixels), generator=generator) / 255


def test_rate_code_fires_with_the_pixels_probability():
    levels = torch.tensor([0.01, 0.1, 0.3, 0.5, 0.9, 0.99])
    spikes = rate_code(levels.repeat(500, 1), 40, noise(range(500)))
    trials = 500 * 40
    # Squared binomial z-scores sum to a chi-square variable, one degree of freedom each.
    p = levels.double()
    z = (spikes.double().sum((0, 1)) - trials * p) / (trials * p * (1 - p)).sqrt()
    assert float((z**2).sum()) < 22.46  # 6 degrees of freedom, alpha 1e-3
    half = spikes[:, :, 3].double()
    assert float(((half.sum(0) - 250) ** 2 / 125).sum()) < 73.4  # by step: 40, alpha 1e-3
    assert float(((half.sum(1) - 20) ** 2 / 10).sum()) < 603.4  # by image: 500, alpha 1e-3


def test_rate_code_compares_pixels_with_the_input_noise():
    pixels, address = grey(), noise(range(6), step=EVALUATION)
    spikes = rate_code(pixels, 9, address)
    uniform = address.uniform(INPUT, 9, (20,))
    for b in range(6):
        for t in range(9):
            assert torch.equal(spikes[b, t], (uniform[b, t] < pixels[b]).float())


def test_black_never_fires_and_white_always():
    pixels = torch.tensor([[0.0, 1.0]]).repeat(50, 1)
    spikes = rate_code(pixels, 200, noise(range(50)))
    assert (spikes[..., 0] == 0).all()
    assert (spikes[..., 1] == 1).all()


@pytest.mark.parametrize("code", [rate_code, time_code])
def test_an_image_is_coded_alike_in_any_batch(code):
    pixels, ids = grey(), torch.tensor([3, 1, 4, 15, 9, 2])
    spikes = code(pixels, 12, noise(ids))
    assert spikes.shape == (6, 12, 20)
    order = [4, 0, 5]
    assert torch.equal(code(pixels[order], 12, noise(ids[order])), spikes[order])
    assert torch.equal(code(pixels[2:3], 12, noise(ids[2:3])), spikes[2:3])


def test_rate_code_changes_with_step_and_seed():
    pixels = grey()
    spikes = rate_code(pixels, 12, noise(range(6)))
    assert not torch.equal(rate_code(pixels, 12, noise(range(6), step=1)), spikes)
    assert not torch.equal(rate_code(pixels, 12, noise(range(6), seed=1)), spikes)


@pytest.mark.parametrize("num_steps", [2, 3, 30, 200, 256, 257])
def test_time_code_is_its_formula_on_every_grey_level(num_steps):
    spikes = time_code(torch.arange(256)[None] / 255, num_steps)
    expected = torch.zeros(1, num_steps, 256)
    for grey_level in range(256):
        # round(p (T - 1)) in integers: 255 is odd, so that it never lies half way.
        rounded = (2 * grey_level * (num_steps - 1) + 255) // 510
        if rounded > 0:
            expected[0, num_steps - 1 - rounded, grey_level] = 1
    assert torch.equal(spikes, expected)


def test_time_code_keeps_one_spike_of_all_but_the_darkest_pixels():
    pixels = torch.tensor([[0.0, 0.49 / 29, 0.51 / 29, 1.4 / 29, 28.6 / 29, 1.0]])
    spikes = time_code(pixels, 30)
    assert spikes.sum(1).tolist() == [[0, 0, 1, 1, 1, 1]]
    assert spikes.argmax(1).tolist() == [[0, 0, 28, 28, 0, 0]]
    assert spikes.dtype == pixels.dtype
    assert time_code(pixels.double(), 30).dtype == torch.float64


@pytest.mark.parametrize("repeats", [1, 3])
def test_row_code_shows_one_row_after_the_other(repeats):
    """Each for as many steps, compared with the input noise of its step and column."""
    images, ids = grey(6, 20).view(6, 4, 5), torch.tensor([3, 1, 4, 15, 9, 2])
    spikes = row_code(images, 4 * repeats, noise(ids))
    uniform = noise(ids).uniform(INPUT, 4 * repeats, (5,))
    for b in range(6):
        for t in range(4 * repeats):
            assert torch.equal(spikes[b, t], (uniform[b, t] < images[b, t // repeats]).float())
    assert torch.equal(row_code(images[2:4], 4 * repeats, noise(ids[2:4])), spikes[2:4])
    assert 0.3 < spikes.mean() < 0.7
    with pytest.raises(ValueError, match="num_steps: got 7, expected a multiple of the 4 rows"):
        row_code(images, 7, noise(ids))
    with pytest.raises(ValueError, match="pixels must lie in"):
        row_code(2 * images, 4, noise(ids))
