"""AEDAT 2.0 files are read back as they were written."""

from pathlib import Path

import numpy as np
import pytest

from vdib.datasets.camera.dvs_camera import DVSCamera
from vdib.datasets.camera.motion import FreePath
from vdib.datasets.formats.aedat2_writer import write_aedat2
from vdib.datasets.recording import DAVIS240, DVS128, AddressLayout, read_recording

CAMERA = DVSCamera(noise_on_hz=20, noise_off_hz=10)
STILL = FreePath((0,), ((16, 16),))


@pytest.mark.parametrize("layout", [DVS128, DAVIS240])
def test_pieces_are_read_back_as_a_whole(layout: AddressLayout, tmp_path: Path) -> None:
    whole = CAMERA.record(np.ones((9, 9)), STILL, 100_000, 0)
    pieces = CAMERA.pieces(np.ones((9, 9)), STILL, 100_000, 0, piece_us=9_000)
    path = tmp_path / "pieces.aedat"
    assert write_aedat2(path, pieces, layout) == len(whole) > 1000
    back = read_recording(path)
    assert back.sensor_size == layout.sensor_size
    for name in "xytp":
        np.testing.assert_array_equal(getattr(back, name), getattr(whole, name))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    whole = CAMERA.record(np.ones((9, 9)), STILL, 100_000, 0)
    with pytest.raises(ValueError, match="expected 99"):
        write_aedat2(tmp_path / "a", [whole, whole])
    wide = DVSCamera(width=200, noise_on_hz=20).record(np.ones((9, 9)), STILL, 100_000, 0)
    with pytest.raises(ValueError, match="x reaches 199"):
        write_aedat2(tmp_path / "b", wide)
