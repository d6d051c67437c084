"""The simulated DVS camera against closed forms, on synthetic images only.

E: events; P: pixels of the sensor. Times in us, rates in Hz, changes in log units of e.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vdib.datasets.camera.display import Display
from vdib.datasets.camera.dvs_camera import DVSCamera
from vdib.datasets.camera.motion import FreePath
from vdib.datasets.recording import Recording

EXACT = DVSCamera(width=12, height=9, refractory_us=0)
BLACK = Display(black=0.1)
STILL = FreePath((0,), ((5.5, 4.0),))
NOISY = replace(
    EXACT,
    mismatch=0.2,
    jitter=0.1,
    refractory_us=700,
    cutoff_hz=200,
    dark_cutoff_hz=30,
    noise_on_hz=3,
    noise_off_hz=5,
    leak_hz=2,
)


def sweep(start: float, stop: float, us: float = 100_000) -> FreePath:
    """Along x at constant speed, at the height of the sensor's centre."""
    return FreePath((0, us), ((start, 4.0), (stop, 4.0)))


def fields(recording: Recording) -> list[list[Any]]:
    return [getattr(recording, name).tolist() for name in "xytp"]


def intervals(recording: Recording) -> NDArray[np.int64]:
    """Between successive events of the same pixel, of all pixels."""
    pixel = recording.y.astype(np.int64) * recording.sensor_size[0] + recording.x
    order = np.lexsort((recording.t, pixel))
    return np.diff(recording.t[order])[np.diff(pixel[order]) == 0]


def some_image(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (6, 5)).astype(np.uint8)


@pytest.mark.parametrize("on", [0.11, 0.3, 0.5, 2.39, 2.41])
@pytest.mark.parametrize("off", [0.2, 0.7])
def test_a_sweep_makes_contrast_over_threshold_events(on: float, off: float) -> None:
    camera = replace(EXACT, threshold_on=on, threshold_off=off)
    contrast = math.log(1.1 / 0.1)  # 2.398
    screen = np.ones((40, 40))  # its edge crosses the sensor, which lies deep in white afterwards
    rising = camera.record(screen, sweep(-30, 5), 101_000, 0, BLACK)
    assert rising.p.all()
    assert (
        np.bincount(rising.y * 12 + rising.x, minlength=108).tolist()
        == [math.floor(contrast / on)] * 108
    )
    falling = camera.record(screen, sweep(5, -30), 101_000, 0, BLACK)
    assert not falling.p.any()
    assert (
        np.bincount(falling.y * 12 + falling.x, minlength=108).tolist()
        == [math.floor(contrast / off)] * 108
    )


def test_a_ramp_of_log_intensity_makes_equal_intervals() -> None:
    # Light that grows exponentially along x, blurred, still grows exponentially: with speed v,
    # log intensity rises by slope v per us, so events are theta / (slope v) apart.
    slope, speed, black = 0.15, 4e-5, 1e-4
    grey = np.exp(slope * (np.arange(40) - 39))[None].repeat(40, 0) - black
    screen = Display(smoothing=0.5, blur=0.5, black=black, gamma=1.0)
    camera = replace(EXACT, threshold_on=0.04, step_us=500)
    path = FreePath((0, 200_000), ((4.0, 4.0), (4.0 - 200_000 * speed, 4.0)))
    recording = camera.record(grey, path, 200_000, 0, screen)
    assert recording.p.all()
    expected = 0.04 / (slope * speed)  # 6,667 us
    assert set(np.bincount(recording.y * 12 + recording.x, minlength=108)) <= {29, 30}
    np.testing.assert_allclose(intervals(recording), expected, rtol=0.02)


@pytest.mark.parametrize("inverted", [False, True])
def test_on_and_off_are_symmetric(inverted: bool) -> None:
    screen = replace(BLACK, inverted=inverted)
    there = EXACT.record(some_image(), sweep(2, 9), 101_000, 0, screen)
    turned = replace(EXACT, flip_polarity=True).record(
        some_image(), sweep(2, 9), 101_000, 0, screen
    )
    assert len(there) > 100
    assert fields(replace(turned, p=~turned.p)) == fields(there)
    # A round trip ends with the light it began with: each pixel's ups and downs differ by less
    # than what a threshold hides at either end.
    around = FreePath((0, 50_000, 100_000), ((2, 4), (9, 4), (2, 4)))
    both = EXACT.record(some_image(), around, 101_000, 0, screen)
    balance = np.bincount(both.y * 12 + both.x, np.where(both.p, 1, -1), minlength=108)
    assert np.abs(balance).max() <= 1


@pytest.mark.parametrize("cutoff", [5.0, 40.0])
def test_the_photoreceptor_is_a_first_order_low_pass(cutoff: float) -> None:
    # A jump D of log intensity at 10 ms is seen as D (1 - exp(-2 pi f t)).
    camera = replace(EXACT, threshold_on=0.5, cutoff_hz=cutoff, dark_cutoff_hz=cutoff, step_us=100)
    jump = FreePath((9_999, 10_000), ((-90.0, 4.0), (5.5, 4.0)))
    recording = camera.record(np.ones((40, 40)), jump, 400_000, 0, BLACK)
    contrast = math.log(1.1 / 0.1)
    expected = [-math.log(1 - 0.5 * k / contrast) / (2e-6 * math.pi * cutoff) for k in range(1, 5)]
    times = recording.t.reshape(4, 108) - 10_000
    assert (times == times[:, :1]).all()
    np.testing.assert_allclose(times[:, 0], expected, atol=200)


def test_darkness_is_slower_than_light() -> None:
    camera = replace(EXACT, cutoff_hz=300, dark_cutoff_hz=10)
    jump = FreePath((9_999, 10_000), ((5.5, 4.0), (-90.0, 4.0)))
    down = camera.record(np.ones((40, 40)), jump, 400_000, 0, BLACK)
    up = camera.record(np.ones((40, 40)), jump, 400_000, 0, replace(BLACK, inverted=True))
    assert (down.p.any(), up.p.all()) == (False, True)
    assert np.median(down.t) - 10_000 > 10 * (np.median(up.t) - 10_000)


def test_noise_has_its_rates() -> None:
    camera = replace(EXACT, width=50, height=40, noise_on_hz=2.0, noise_off_hz=5.0)
    recording = camera.record(np.zeros((5, 5)), STILL, 10_000_000, 3)
    on, off = int(recording.p.sum()), int((~recording.p).sum())
    # Poisson counts of mean 2 x 2000 x 10 and 5 x 2000 x 10, at the level of 1e-6 each.
    assert abs(on - 40_000) < 4.9 * math.sqrt(40_000)
    assert abs(off - 100_000) < 4.9 * math.sqrt(100_000)
    # Exponential intervals: Kolmogorov-Smirnov, level 1e-6 (2.69 / sqrt n); those cut at the end
    # of the recording are few.
    gap = np.sort(intervals(recording))
    expected = 1 - np.exp(-7e-6 * gap)
    assert (
        np.abs(np.arange(len(gap)) / len(gap) - expected).max() < 2.69 / math.sqrt(len(gap)) + 0.015
    )


def test_leak_has_its_rate_and_is_on() -> None:
    recording = replace(EXACT, leak_hz=3.3).record(np.zeros((5, 5)), STILL, 10_000_000, 3)
    assert recording.p.all()
    assert set(np.bincount(recording.y * 12 + recording.x, minlength=108).tolist()) == {33}
    first = np.array([recording.t[(recording.y * 12 + recording.x) == i].min() for i in range(108)])
    # Phases are uniform over 303 ms: mean within 4.9 standard errors, level 1e-6.
    assert abs(first.mean() - 1e6 / 6.6) < 4.9 * 1e6 / 3.3 / math.sqrt(12 * 108)


def test_thresholds_differ_by_the_mismatch() -> None:
    camera = replace(EXACT, width=60, height=50, leak_hz=10.0, mismatch=0.15)
    recording = camera.record(np.zeros((5, 5)), STILL, 2_000_000, 3)
    gap = intervals(recording)
    # A pixel's interval is 100 ms times its threshold over the mean; long ones are fewer, so
    # weigh them by their length: E over pixels. Level 1e-6: 4.9 standard errors, 3,000 pixels.
    weight = gap / gap.sum()
    mean = (weight * gap).sum()
    spread = math.sqrt((weight * (gap - mean) ** 2).sum()) / mean
    assert spread == pytest.approx(0.15, abs=4.9 * 0.15 / math.sqrt(2 * 3000))
    assert mean == pytest.approx(100_000, rel=4.9 * 0.15 / math.sqrt(3000))


def test_flicker_has_its_frequency() -> None:
    screen = replace(BLACK, flicker_hz=60.0, flicker_depth=0.4)
    recording = EXACT.record(np.ones((40, 40)), STILL, 1_000_000, 0, screen)
    rate = np.histogram(recording.t[recording.p], 500, (0, 1_000_000))[0]
    spectrum = np.abs(np.fft.rfft(rate - rate.mean()))
    assert int(spectrum[:100].argmax()) == 60  # bins of 1 Hz
    # Relative to the start, log intensity swings from log 0.6 = -0.51 to log 1.4 = 0.34: levels of
    # 0.2 from -0.4 to 0.2 lie within, so 1 event, then 59 rises of 3, then one up from -0.4.
    assert int(recording.p.sum()) == 108 * (1 + 59 * 3 + 1)


@given(refractory=st.integers(0, 20_000), seed=st.integers(0, 2**63), step=st.integers(100, 3000))
@settings(max_examples=25, deadline=None)
def test_no_pixel_fires_while_it_is_held(refractory: int, seed: int, step: int) -> None:
    camera = replace(NOISY, refractory_us=refractory, step_us=step, threshold_on=0.05)
    recording = camera.record(some_image(), sweep(-3, 12), 120_000, seed)
    assert len(recording) > 0
    assert intervals(recording).min(initial=refractory) >= refractory


@given(
    path=st.lists(st.tuples(st.floats(-40, 40), st.floats(-40, 40)), min_size=2, max_size=5),
    scale=st.floats(0.3, 3),
    seed=st.integers(0, 1000),
    inverted=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_path_gives_ordered_events_on_the_sensor(
    path: list[tuple[float, float]], scale: float, seed: int, inverted: bool
) -> None:
    motion = FreePath(tuple(range(0, 30_000 * len(path), 30_000)), tuple(path))
    screen = Display(scale=scale, inverted=inverted)
    recording = NOISY.record(some_image(seed), motion, 130_500, seed, screen)
    # Recording itself refuses events off the sensor and times that fall.
    assert recording.sensor_size == (12, 9)
    assert recording.t.min(initial=0) >= 0
    assert recording.t.max(initial=0) < 130_500
    # Pixels that the image never reaches are simulated in one step: the others miss nothing. A
    # flicker too faint to matter makes the camera go through all of them.
    quiet = replace(EXACT, noise_off_hz=3, leak_hz=2)
    one = quiet.record(some_image(seed), motion, 130_500, seed, screen)
    whole = replace(screen, flicker_hz=1.0, flicker_depth=1e-13)
    other = quiet.record(some_image(seed), motion, 130_500, seed, whole)
    assert sorted(zip(one.x, one.y, one.p, strict=True)) == sorted(
        zip(other.x, other.y, other.p, strict=True)
    )
    assert np.abs(one.t - other.t).max(initial=0) <= 1


def test_same_seed_same_events_whatever_else_is_drawn() -> None:
    np.random.seed(1)  # noqa: NPY002 (the global state must not matter)
    one = NOISY.record(some_image(), sweep(2, 9), 120_000, (7, 3))
    np.random.seed(2)  # noqa: NPY002
    NOISY.record(some_image(1), sweep(9, 2), 120_000, (7, 4))
    two = NOISY.record(some_image(), sweep(2, 9), 120_000, (7, 3))
    assert fields(one) == fields(two)
    others = [NOISY.record(some_image(), sweep(2, 9), 120_000, s) for s in (7, (7, 4), (3, 7), 8)]
    assert len({str(fields(recording)) for recording in [one, *others]}) == 5


@pytest.mark.parametrize("piece", [1_000, 17_000, 119_000, 500_000])
def test_pieces_make_the_whole(piece: int) -> None:
    path = FreePath((0, 60_000, 110_000), ((2, 4), (40, 4), (2, 4)))
    whole = NOISY.record(some_image(), path, 120_300, 5)
    pieces = list(NOISY.pieces(some_image(), path, 120_300, 5, piece_us=piece))
    assert len(pieces) == math.ceil(120_300 / piece)
    joined = [np.concatenate([getattr(r, name) for r in pieces]).tolist() for name in "xytp"]
    assert joined == fields(whole)


def test_many_events_find_room() -> None:
    camera = replace(EXACT, width=64, height=64, threshold_on=0.01, threshold_off=0.01)
    screen = np.ones((200, 200))
    recording = camera.record(screen, sweep(-130, 20), 101_000, 0, BLACK)
    assert len(recording) == 64 * 64 * math.floor(math.log(11) / 0.01)  # 978,944


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"width": 0}, {"threshold_off": -0.1}, {"leak_hz": -1.0}, {"step_us": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(EXACT, **wrong)
    for wrong in ({"black": 0.0}, {"scale": -1.0}, {"flicker_depth": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(BLACK, **wrong)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        EXACT.record(np.zeros(3), STILL, 1000, 0)
    with pytest.raises(ValueError, match="grey values"):
        EXACT.record(np.full((3, 3), 7.0), STILL, 1000, 0)
    with pytest.raises(ValueError, match="0 us"):
        EXACT.record(np.zeros((3, 3)), STILL, 0, 0)
    with pytest.raises(ValueError, match="multiple of step_us"):
        EXACT.pieces(np.zeros((3, 3)), STILL, 5000, 0, piece_us=1500)


def test_pixels_differ_in_bandwidth() -> None:
    # One event at half the jump: after log 2 / (2 pi f c), c lognormal over the pixels.
    camera = replace(
        EXACT,
        width=40,
        height=40,
        threshold_on=math.log(11) / 2,
        cutoff_hz=20.0,
        dark_cutoff_hz=20.0,
        speed_spread=0.4,
        step_us=100,
    )
    jump = FreePath((9_999, 10_000), ((-190.0, 20.0), (20.0, 20.0)))
    recording = camera.record(np.ones((90, 90)), jump, 400_000, 0, BLACK)
    first = np.full(1600, np.inf)
    np.minimum.at(first, recording.y * 40 + recording.x, recording.t - 10_000.0)
    factor = np.log(math.log(2) / (4e-5 * math.pi) / first)
    # Level 1e-6 each: 4.9 standard errors of 1,600 normals, and a step of 100 us in 5,500.
    assert factor.mean() == pytest.approx(0, abs=4.9 * 0.4 / 40 + 0.02)
    assert factor.std() == pytest.approx(0.4, abs=4.9 * 0.4 / math.sqrt(3200) + 0.01)
