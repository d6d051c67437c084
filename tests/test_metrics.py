"""Intervals against published values, SSIM against its own formula."""

import math

import pytest
import torch

from vdib.metrics import judge_accuracy, ssim, wilson_interval


def test_wilson_matches_published_values():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    for successes, trials, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_ends_solve_the_score_equation():
    z = 1.6448536269514722  # the 0.95 quantile of the standard normal
    for end in wilson_interval(37, 50, confidence=0.9):
        score = abs(37 / 50 - end) / math.sqrt(end * (1 - end) / 50)
        assert score == pytest.approx(z, rel=1e-12)


def test_wilson_is_symmetric_and_stays_in_the_unit_interval():
    low, high = wilson_interval(3, 10)
    assert wilson_interval(7, 10) == pytest.approx((1 - high, 1 - low))
    assert wilson_interval(0, 3)[0] == 0
    assert wilson_interval(3, 3)[1] == 1


@pytest.mark.parametrize("arguments", [(1, 0), (-1, 5), (6, 5), (1, 5, 1.0), (1, 5, 0.0)])
def test_wilson_refuses(arguments):
    with pytest.raises(ValueError, match="expected"):
        wilson_interval(*arguments)


def test_ssim_of_constant_images_is_the_luminance_term():
    reference = torch.full((3, 28, 28), 0.5, dtype=torch.float64)
    levels = torch.tensor([0.0, 0.25, 0.5], dtype=torch.float64)
    value = ssim(levels[:, None, None].expand_as(reference), reference)
    expected = (levels + 1e-4) / (levels**2 + 0.25 + 1e-4)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)


def test_ssim_is_per_image_whatever_the_batch():
    generator = torch.Generator().manual_seed(0)
    image, reference = torch.rand(2, 4, 28, 28, generator=generator)
    value = ssim(image, reference)
    assert value.shape == (4,)
    assert (value < 0.5).all()
    for i in range(4):
        torch.testing.assert_close(ssim(image[i : i + 1], reference[i : i + 1])[0], value[i])
    with pytest.raises(ValueError, match="expected two equal shapes"):
        ssim(image, reference[:3])


def test_judge_accuracy_counts_over_several_chunks():
    labels = torch.arange(2_500) % 10
    images = torch.nn.functional.one_hot(labels, 10).float()[:, None]
    shown = torch.where(torch.arange(2_500) < 2_000, labels, (labels + 1) % 10)
    assert judge_accuracy(lambda image: image[:, 0], images, shown) == 0.8
    with pytest.raises(ValueError, match="2500 images and 3 labels"):
        judge_accuracy(lambda image: image[:, 0], images, shown[:3])
