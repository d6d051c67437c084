"""Crop and zoom: exact places."""

import numpy as np
import pytest
import recordings as make
from hypothesis import given, settings
from hypothesis import strategies as st

from vdib.datasets.transforms.place import Crop, Zoom


def test_crop_keeps_the_rectangle_and_counts_from_its_corner() -> None:
    made = make.of([2, 3, 5, 6, 3], [1, 1, 4, 4, 0], range(5), [1, 0, 1, 0, 1], (8, 6))
    cropped = Crop(3, 1, 3, 4)(made)
    assert make.fields(cropped) == [[0, 2], [0, 3], [1, 2], [False, True]]
    assert cropped.sensor_size == Crop(3, 1, 3, 4).size == (3, 4)
    assert make.fields(Crop(0, 0, 8, 6)(made)) == make.fields(made)


@pytest.mark.parametrize(
    "area", [(-1, 0, 3, 3), (0, 0, 9, 6), (6, 0, 3, 6), (0, 4, 8, 3), (0,) * 4]
)
def test_a_crop_that_is_not_on_the_sensor_is_refused(area: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="is not on the 8 x 6 sensor") as caught:
        Crop(*area)(make.scattered(size=(8, 6)))
    make.one_line(caught.value, ",".join(map(str, area)))


def test_zoom_by_one_moves_centre_to_centre() -> None:
    made = make.of([0, 5, 9], [0, 5, 9], range(3), [1] * 3, (10, 10))
    assert make.fields(Zoom((20, 20), 1.0)(made))[:2] == [[5, 10, 14], [5, 10, 14]]
    assert make.fields(Zoom((4, 4), 1.0)(made))[0] == [2]


def test_zoom_out_merges_and_zoom_in_spreads() -> None:
    line = make.of(range(8), [0] * 8, range(8), [1] * 8, (8, 2))
    assert Zoom((4, 1), 0.5)(line).x.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert Zoom((16, 4), 2.0)(line).x.tolist() == [1, 3, 5, 7, 9, 11, 13, 15]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(old=st.tuples(*[st.integers(1, 60)] * 2), new=st.tuples(*[st.integers(1, 60)] * 2))
def test_fit_loses_nothing_and_is_as_large_as_can_be(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    corners = make.of([0, old[0] - 1], [0, old[1] - 1], [0, 1], [1, 1], old)
    fitted = Zoom(new)(corners)
    assert len(fitted) == 2
    factor = min(n / o for n, o in zip(new, old, strict=True))
    same = Zoom(new, factor)(corners)
    assert make.fields(same) == make.fields(fitted)
    spans = np.array([np.ptp(fitted.x) + 1, np.ptp(fitted.y) + 1]) / new
    assert spans.max() > 1 - 1 / min(1, factor) / max(new) - 1e-9 or factor > 1


@pytest.mark.parametrize("factor", [0, -1, float("inf"), float("nan")])
def test_zoom_is_above_zero(factor: float) -> None:
    with pytest.raises(ValueError, match="expected a number above 0"):
        Zoom((4, 4), factor)
