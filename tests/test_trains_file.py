"""Spike trains of one's own, read from a .npz."""

import numpy as np
import pytest
import torch

from vdib.information import trains
from vdib.information.trains import read
from vdib.runs.command import UserError


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float64])
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_arrays_come_by_their_names_with_their_axes(kind, shape, tmp_path):
    """Of one recording of five steps, and of three sequences."""
    generator = np.random.default_rng(0)
    a, b = generator.random((*shape, 2)) < 0.5, generator.random((*shape, 4)) < 0.5
    np.savez(tmp_path / "own.npz", code=b.astype(kind), other=np.zeros(3), stimulus=a.astype(kind))
    x, y = read(tmp_path / "own.npz", "stimulus", "code")
    for found, expected in ((x, a), (y, b)):
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.zeros((4, 5, 3)), r"x of 60 numbers, expected 50 at most"),
        (np.zeros((2, 0)), r"x of shape \(2, 0\), expected \(sequences, steps, neurons\) or"),
        (np.zeros(6), r"x of shape \(6,\), expected"),
        (np.full((2, 3), 2), "x holds other numbers than 0 and 1"),
        (np.full((2, 3), np.nan), "x holds other numbers than 0 and 1"),
        (np.full((2, 3), "spike"), "x of <U5, expected spikes, 0 or 1"),
        (np.zeros((2, 3)), r"x \(2, 3\) and y \(3, 2\), expected the same sequences and steps"),
    ],
)
def test_what_is_no_spike_train_is_refused(x, told, tmp_path, monkeypatch):
    monkeypatch.setattr(trains, "MOST_NUMBERS", 50)
    np.savez(tmp_path / "own.npz", x=x, y=np.zeros((3, 2)))
    with pytest.raises(UserError, match=told):
        read(tmp_path / "own.npz", "x", "y")
