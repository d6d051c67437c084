"""Recordings as the data sets have them, from a synthetic digit."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from vdib.datasets.camera.presets import mnist_dvs_recording, nmnist_path, nmnist_recording
from vdib.datasets.recording import Recording

ONE = torch.zeros(28, 28, dtype=torch.uint8)
ONE[5:23, 12:16] = 255
PRESETS = [(nmnist_recording, 34, 299_000, 316_000), (mnist_dvs_recording, 128, 1.9e6, 2.6e6)]
Preset = Callable[..., Recording]


@pytest.mark.parametrize(("preset", "side", "least", "most"), PRESETS)
def test_size_length_and_events(preset: Preset, side: int, least: float, most: float) -> None:
    recordings = [preset(ONE, (0, i)) for i in range(8)]
    for recording in recordings:
        assert recording.sensor_size == (side, side)
        assert recording.origin.format == "simulated"
        assert least - 20_000 < recording.t[-1] < most
        assert 0.45 < recording.p.mean() < 0.55
        assert len(recording) > 1_000
    # As real ones do, recordings of one image differ by more than their pixels' noise.
    counts = np.array([len(recording) for recording in recordings])
    assert 0.01 < counts.std() / counts.mean() < 0.2


@pytest.mark.parametrize("preset", [nmnist_recording, mnist_dvs_recording])
def test_seed_and_image_decide_everything(preset: Preset) -> None:
    one, two = preset(ONE, (4, 2)), preset(ONE.numpy(), [4, 2])
    for name in "xytp":
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert preset(ONE, (4, 3)).t.tolist() != one.t.tolist()
    assert preset(ONE, 4).t.tolist() != one.t.tolist()
    assert preset(ONE.T, (4, 2)).t.tolist() != one.t.tolist()


def test_the_digit_is_where_the_real_ones_are() -> None:
    # N-MNIST keeps images upright and unmirrored, three pixels from the corner: the bar's events
    # lie within its columns 12..15 + 3 and rows 5..22 + 3, widened by the path's 3 pixels.
    recording = nmnist_recording(ONE, 0)
    x, y = np.bincount(recording.x, minlength=34), np.bincount(recording.y, minlength=34)
    assert x[12:22].sum() / x.sum() > 0.95
    assert y[5:31].sum() / y.sum() > 0.95
    recording = mnist_dvs_recording(ONE, 0)
    middle = np.median(recording.x), np.median(recording.y)
    np.testing.assert_allclose(middle, [65, 62], atol=3)


def test_saccades_set_out_late_and_elsewhere() -> None:
    t = np.arange(0, 307_000, 500.0)
    base, late = nmnist_path((0, 0, 0)), nmnist_path((0, 5_000, -3_000), (0.5, -1))
    away = np.array([0.5, -1.0])
    first, third = t[:180], t[450:580]  # the third saccade: 225 to 290 ms
    np.testing.assert_allclose(late.position(first), base.position(first) + away, atol=0.05)
    np.testing.assert_allclose(late.position(third), base.position(third + 3_000) + away, atol=0.01)
