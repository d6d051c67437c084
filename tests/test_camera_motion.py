"""Motions against closed forms."""

import math

import numpy as np
import pytest

from vdib.datasets.camera.motion import FreePath, Path, Refreshed, Saccades, TrianglePath

T = np.linspace(0, 400_000, 4_001)


def test_a_triangle_is_gone_round_at_constant_speed() -> None:
    path = TrianglePath(((0, 0), (6, 0), (6, 8)), period_us=120_000)  # 24 pixels round
    step = np.hypot(*np.diff(path.position(np.arange(0, 130_000, 50.0)), axis=0).T)
    assert step.max() == pytest.approx(24 * 50 / 120_000)
    assert (step > 0.99 * step.max()).mean() > 0.99  # all but those that cut a corner
    again = path.position(T + 120_000)
    np.testing.assert_allclose(path.position(T), again, atol=1e-9)
    shifted = TrianglePath(((0, 0), (6, 0), (6, 8)), period_us=120_000, phase=0.25)
    np.testing.assert_allclose(shifted.position(T), path.position(T + 30_000), atol=1e-9)


def test_there_and_back_along_two_sides() -> None:
    path = TrianglePath(((5, 2), (0, -2), (-5, 2), (0, -2)), period_us=1000)
    x, y = path.position(np.array([0.0, 250, 500, 625, 750, 1000])).T
    np.testing.assert_allclose(x, [5, 0, -5, -2.5, 0, 5], atol=1e-9)
    np.testing.assert_allclose(y, [2, -2, 2, 0, -2, 2], atol=1e-9)


def test_a_saccade_is_the_quintic_of_least_jerk_on_each_axis() -> None:
    path = Saccades(((1, 5), (4, -3)), ((50_000, 60_000),), ((100_000, 200_000),))
    x, y = path.position(T).T
    assert (x[0], x[-1], y[0], y[-1]) == (1, 4, 5, -3)
    # Greatest speed, at half the way: 15/8 of the mean.
    assert np.diff(x).max() / 100 == pytest.approx(15 / 8 * 3 / 100_000, rel=1e-3)
    assert np.diff(y).min() / 100 == pytest.approx(-15 / 8 * 8 / 200_000, rel=1e-3)
    np.testing.assert_allclose(
        path.position(np.array([100_000.0, 160_000.0]))[[0, 1], [0, 1]], [2.5, 1]
    )


def test_waypoints_are_met_and_rested_on() -> None:
    path = FreePath((10, 20, 40), ((0, 1), (2, 1), (2, 5)))
    places = [[0, 1], [0, 1], [1, 1], [2, 1], [2, 3], [2, 5], [2, 5]]
    assert path.position(np.array([0.0, 10, 15, 20, 30, 40, 99])).tolist() == places
    loop = FreePath((0, 20), ((0, 0), (2, 0)), repeat_us=20)
    assert loop.position(np.array([5.0, 25, 1005]))[:, 0].tolist() == [0.5, 0.5, 0.5]


def test_frames_hold_and_fade() -> None:
    path = FreePath((0, 1_000_000), ((0, 0), (100, 0)))  # a pixel in 10 ms
    held = Refreshed(path, frame_hz=50, phase=0.5).position(np.array([0.0, 9_999, 10_001, 29_999]))
    np.testing.assert_allclose(held[:, 0], [0, 0, 1, 1], atol=1e-9)  # frames at 10, 30 ms
    # Long after the start, frames 2 px apart fade with 5 ms: the sum is geometric.
    fading = Refreshed(path, frame_hz=50, response_us=5_000)
    t = np.array([400_000.0, 407_000, 419_999])
    gone = 2 / (1 - math.exp(-4)) * np.exp(-(t - 400_000) / 5_000)
    np.testing.assert_allclose(fading.position(t)[:, 0], 40 - gone, atol=1e-3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TrianglePath(((0, 0), (1, 1)), 100), "2 corners"),
        (lambda: TrianglePath(((0, 0), (1, 1), (2, 0)), 0), "period_us is 0"),
        (lambda: FreePath((), ()), "0 times"),
        (lambda: FreePath((0, 1), ((0, 0),)), "2 times for 1 points"),
        (lambda: FreePath((0, 0), ((0, 0), (1, 1))), "strictly"),
        (lambda: Saccades(((0, 0), (1, 1)), (), ()), "0 starts"),
        (lambda: Saccades(((0, 0), (1, 1)), ((0, 0),), ((1, 0),)), "lengths_us"),
        (lambda: Refreshed(FreePath((0,), ((0, 0),)), 0), "frame_hz is 0"),
    ],
)
def test_what_cannot_be_is_refused(build: "type[Path]", message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
