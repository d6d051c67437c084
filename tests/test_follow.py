"""A window that moves along: on a cluster whose path is known, and on MNIST-DVS."""

from pathlib import Path

import numpy as np
import pytest
import recordings as make

from vdib.datasets.recording import Recording, read_recording
from vdib.datasets.transforms.follow import Follow

LENGTH = 1_000_000


def wandering(
    centre: tuple[float, float] = (60, 50), swing: float = 8, count: int = 8_000, seed: int = 0
) -> tuple[Recording, np.ndarray, np.ndarray]:
    """A ring of radius 5 on its way to and fro, 1 s, and the ring's centre at each event."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, LENGTH, count))
    x0 = centre[0] + swing * np.sin(2 * np.pi * t / LENGTH)
    y0 = centre[1] + swing / 2 * np.cos(2 * np.pi * t / LENGTH)
    angle = rng.random(count) * 2 * np.pi
    x, y = x0 + 5 * np.cos(angle), y0 + 5 * np.sin(angle)
    return make.of(x, y, t, rng.random(count) < 0.5, (128, 128)), x0, y0


def with_events(recording: Recording, x: int, y: int, t: np.ndarray) -> Recording:
    """More events at one pixel."""
    every = np.concatenate([recording.t, t])
    order = np.argsort(every, kind="stable")
    xs = np.concatenate([recording.x, np.full(len(t), x)])[order]
    ys = np.concatenate([recording.y, np.full(len(t), y)])[order]
    p = np.concatenate([recording.p, np.ones(len(t), bool)])[order]
    return make.of(xs, ys, every[order], p, recording.sensor_size)


def test_the_window_keeps_up_with_the_cluster() -> None:
    made, x0, y0 = wandering()
    x, y = Follow((16, 16)).centre(made)
    inner = slice(800, -800)  # at the ends the mean is over one side only
    for found, true in ((x, x0), (y, y0)):
        # Pixels are cut to whole numbers, half a pixel on average.
        assert np.abs(found - (true - 0.5))[inner].max() < 0.8
    followed = Follow((16, 16))(made)
    assert followed.sensor_size == (16, 16)
    assert len(followed) == len(made)
    assert abs(followed.x.mean() - 7.5) < 0.3
    assert abs(followed.y.mean() - 7.5) < 0.3
    assert np.hypot(followed.x - 7.5, followed.y - 7.5).max() < 8  # a ring of radius 5, all along
    assert np.ptp(made.x) > 24


def test_a_far_pixel_that_fires_on_its_own_has_no_say() -> None:
    made, _, _ = wandering()
    rng = np.random.default_rng(1)
    hot = with_events(made, 120, 5, np.sort(rng.integers(0, LENGTH, 2_500)))
    clean, disturbed = Follow((16, 16))(made), Follow((16, 16))(hot)
    assert abs(len(disturbed) - len(clean)) <= 2
    same = min(len(clean), len(disturbed))
    assert np.abs(clean.x[:same].astype(int) - disturbed.x[:same]).max() <= 1


def test_place_on_the_sensor_does_not_matter() -> None:
    (here, _, _), (there, _, _) = wandering((60, 50)), wandering((75, 41))
    assert make.fields(Follow((20, 20))(here)) == make.fields(Follow((20, 20))(there))


def test_time_of_day_does_not_matter() -> None:
    made, _, _ = wandering(count=500)
    late = make.of(made.x, made.y, made.t + 1_600_000_000_000_000, made.p, made.sensor_size)
    assert make.fields(Follow((20, 20))(late))[:2] == make.fields(Follow((20, 20))(made))[:2]


def test_silence_in_the_middle() -> None:
    made, _, _ = wandering(count=4_000)
    awake = (made.t < 300_000) | (made.t > 700_000)
    parted = make.of(made.x[awake], made.y[awake], made.t[awake], made.p[awake], (128, 128))
    followed = Follow((16, 16))(parted)
    assert len(followed) == len(parted)


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_events(count: int) -> None:
    followed = Follow((6, 4))(make.of([9] * count, [3] * count, [7] * count, [1] * count))
    assert followed.sensor_size == (6, 4)
    assert make.fields(followed)[:3] == [[3] * count, [2] * count, [7] * count]


@pytest.mark.parametrize(
    "settings", [{"size": (0, 4)}, {"span": 7}, {"reach": 0}, {"reach": float("nan")}]
)
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected at least 1 pixel a side"):
        Follow(**{"size": (4, 4), **settings})  # type: ignore[arg-type]


def sharpness(recording: Recording) -> float:
    """Of the sum of all events: sum of squares of shares, the larger the fewer pixels hold them."""
    width, height = recording.sensor_size
    place = recording.y.astype(int) * width + recording.x
    share = np.bincount(place, minlength=width * height) / max(1, len(recording))
    return float((share**2).sum())


@make.real("mnist_dvs/grabbed_data0/scale4")
def test_real_digits_are_held_and_become_sharper() -> None:
    """26 x 26 pixels keep 85 % of the events, and in each of 30 recordings the sum is sharper."""
    files = sorted(Path(make.DATA or "", "mnist_dvs/grabbed_data0/scale4").glob("*.aedat"))[:30]
    kept = []
    for path in files:
        made = read_recording(path)
        assert sharpness(Follow((128, 128))(made)) > 1.1 * sharpness(made)
        kept.append(len(Follow((26, 26))(made)) / len(made))
    assert np.mean(kept) > 0.85
    assert min(kept) > 0.7
