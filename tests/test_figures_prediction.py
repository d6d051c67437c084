"""Figures of predictive coding hold what they were given."""

import numpy as np
import pytest

from vdib.figures import prediction as plot_prediction
from vdib.figures import style


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("lag", "words"), [(0, "are active now"), (2, "2 steps ahead"), (-1, "1 step ago")]
)
def test_prediction(rng, lag, words):
    inputs, truth = rng.random((2, 12, 5)) < 0.3
    code, activity = rng.random((12, 3)) < 0.5, rng.random((12, 5))
    scored = np.arange(12) >= 4
    figure = plot_prediction.prediction(inputs, code, activity, truth, scored, lag)
    top, middle, bottom = figure.axes[:3]
    for axes, spikes in ((top, inputs), (middle, code), (bottom, truth & scored[:, None])):
        (points,) = axes.collections
        assert {tuple(p) for p in points.get_offsets().tolist()} == set(
            zip(*np.nonzero(spikes), strict=True)
        )
    np.testing.assert_array_equal(bottom.images[0].get_array(), activity.T)
    assert words in bottom.get_title(loc="left")


def test_meaning_has_time_run_towards_now(rng, tmp_path):
    filters, meanings = rng.normal(size=(4, 6, 10)), rng.normal(size=(4, 6, 5))
    figure = plot_prediction.meaning(filters, meanings)
    panels = figure.axes[:8]
    for axes, values in zip(panels, [*filters, *meanings], strict=True):
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_array(), values[:, ::-1])
        left, right = image.get_extent()[:2]
        assert (left, right) == (values.shape[1] - 0.5, -0.5)
    assert panels[0].images[0].get_clim() == (-np.abs(filters).max(), np.abs(filters).max())
    style.save(figure, tmp_path / "meaning.png")


def test_error_against_lag(rng):
    curves = {name: {lag: rng.random(3) for lag in (-1, 0, 1)} for name in ("window", "rate")}
    figure = plot_prediction.error_against_lag(curves, {-1: [0.1], 0: [0.0], 1: [0.2]}, ("c", 5.0))
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    for name, points in curves.items():
        np.testing.assert_allclose(
            lines[name].get_ydata(), [points[lag].mean() for lag in (-1, 0, 1)]
        )
    assert lines["no bottleneck"].get_ydata().tolist() == [0.1, 0.0, 0.2]


def test_information_plane(rng):
    points = {beta: (rng.random(3), rng.random(3)) for beta in (1.0, 0.1)}
    axes = plot_prediction.information_plane({"window": points}, ("all", 3.0)).axes[0]
    (container,) = axes.containers
    means = [[points[beta][k].mean() for beta in (0.1, 1.0)] for k in (0, 1)]
    np.testing.assert_allclose(container[0].get_data(), means)
    assert [text.get_text() for text in axes.texts] == ["0.1", "beta 1", "all"]
