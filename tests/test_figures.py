"""Figures hold what they were given (offsets, pixels, classes, units), and leak nothing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from vdib.figures import style
from vdib.figures.codes import tsne
from vdib.figures.curves import learning_curves, rate_distortion
from vdib.figures.images import reconstructions
from vdib.figures.spikes import raster


def offsets(axes):
    return np.concatenate([np.asarray(points.get_offsets()) for points in axes.collections])


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class TestReconstructions:
    def test_pixels_are_originals_over_naturalised(self, rng):
        originals, naturalised = rng.random((2, 3, 28, 28))
        (axes,) = reconstructions(originals, naturalised).axes
        (image,) = axes.images
        mosaic = np.ma.getdata(image.get_array())
        for i in range(3):
            columns = slice(30 * i, 30 * i + 28)
            np.testing.assert_array_equal(mosaic[:28, columns], originals[i])
            np.testing.assert_array_equal(mosaic[30:, columns], naturalised[i])
        assert image.get_clim() == (0, 1)
        assert texts(axes) == ["original", "naturalised"]

    @pytest.mark.parametrize(
        ("count", "maximum", "per_row"),
        [(1, 16, [1]), (10, 16, [10]), (11, 16, [6, 5]), (40, 16, [8, 8]), (23, 30, [8, 8, 7])],
    )
    def test_double_rows_of_at_most_ten(self, count, maximum, per_row):
        images = torch.rand(count, 28, 28, generator=torch.Generator().manual_seed(0))
        figure = reconstructions(images, images, torch.zeros(count), max_images=maximum)
        assert [texts(axes).count("0") for axes in figure.axes] == per_row

    def test_wrong_judgements_stand_out(self):
        images = torch.zeros(3, 28, 28)
        figure = reconstructions(images, images, [1, 2, 3], torch.tensor([1, 7, 3]))
        below = [text for text in figure.axes[0].texts if text.get_position()[1] > 58]
        drawn = {t.get_text(): (to_hex(t.get_color()), t.get_weight()) for t in below}
        right, wrong = (style.INK, "normal"), (style.RED, "bold")
        assert drawn == {"1": right, "7": wrong, "3": right, "judged as": right}

    def test_without_labels_no_judgement_is_wrong(self):
        figure = reconstructions(torch.zeros(1, 28, 28), torch.zeros(1, 28, 28), judged=[7])
        assert {to_hex(text.get_color()) for text in figure.axes[0].texts} == {style.INK}

    def test_all_text_is_inside_the_figure(self):
        images = torch.zeros(12, 28, 28)
        figure = reconstructions(images, images, range(12), range(12))
        figure.draw_without_rendering()
        for axes in figure.axes:
            for text in axes.texts:
                box = text.get_window_extent()
                assert figure.bbox.containsx(box.x0)
                assert figure.bbox.containsx(box.x1)
                assert figure.bbox.containsy(box.y0)
                assert figure.bbox.containsy(box.y1)

    @pytest.mark.parametrize(
        ("originals", "naturalised", "labels"),
        [
            ((2, 784), (2, 784), None),
            ((2, 28, 28), (2, 26, 26), None),
            ((0, 28, 28), (0, 28, 28), None),
            ((2, 28, 28), (2, 28, 28), [1]),
        ],
    )
    def test_wrong_shapes(self, originals, naturalised, labels):
        with pytest.raises(ValueError, match=r"expected .* got"):
            reconstructions(torch.zeros(originals), torch.zeros(naturalised), labels)


class TestRaster:
    @pytest.mark.parametrize(("step_ms", "unit"), [(None, "steps"), (2.5, "ms")])
    @pytest.mark.parametrize("hidden", [False, True])
    def test_offsets_are_the_spikes(self, rng, step_ms, unit, hidden):
        layers = {"input": rng.random((30, 784)) < 0.1, "readout": rng.random((30, 16)) < 0.2}
        if hidden:
            layers = {"input": layers["input"], "hidden": layers["input"][:, :600], **layers}
            layers["readout"] = layers.pop("readout")  # last
        figure = raster(
            layers["input"], torch.tensor(layers["readout"]), layers.get("hidden"), step_ms
        )
        assert len(figure.axes) == len(layers)
        for axes, (name, spikes) in zip(figure.axes, layers.items(), strict=True):
            expected = np.argwhere(spikes) * [step_ms or 1, 1]
            np.testing.assert_allclose(offsets(axes), expected, rtol=1e-12)
            title = f"{name}: {spikes.shape[1]} neurons, {spikes.sum():,} spikes"
            assert axes.get_title("left") == title
            assert axes.get_ylabel() == "neuron"
            assert axes.get_xlim() == figure.axes[0].get_xlim()
        assert figure.axes[-1].get_xlabel() == f"time ({unit})"

    def test_silence(self, tmp_path):
        figure = raster(torch.zeros(30, 784), torch.zeros(30, 256))
        style.save(figure, tmp_path / "raster.png")
        assert figure.axes[1].get_title("left") == "readout: 256 neurons, 0 spikes"

    @pytest.mark.parametrize("readout", [(29, 4), (30,), (1, 30, 4)])
    def test_wrong_shapes(self, readout):
        with pytest.raises(ValueError, match=r"expected .* got"):
            raster(torch.zeros(30, 8), torch.zeros(readout))


class TestRateDistortion:
    def test_path_epochs_and_units(self):
        rate, distortion = torch.tensor([300.0, 500, 450]), torch.tensor([180.0, 110, 90])
        figure = rate_distortion(rate, distortion, [2, 4, 6], constant=("best constant image", 206))
        axes, bar = figure.axes
        path = np.stack([rate, distortion], axis=1)
        np.testing.assert_array_equal(offsets(axes), path)
        np.testing.assert_array_equal(axes.lines[0].get_xydata(), path)
        np.testing.assert_array_equal(axes.collections[0].get_array(), [2, 4, 6])
        assert axes.get_xlabel() == "rate (bits/sample)"
        assert axes.get_ylabel() == "distortion (nats/sample)"
        assert bar.get_ylabel() == "epoch"
        first, last, constant = axes.texts
        assert (first.get_text(), first.xy) == ("epoch 2", (300, 180))
        assert (last.get_text(), last.xy) == ("epoch 6", (450, 90))
        assert constant.get_text() == "best constant image"
        np.testing.assert_array_equal(axes.lines[1].get_ydata(), [206, 206])

    def test_one_epoch_is_said_once(self, tmp_path):
        figure = rate_distortion([300], [180], [0])
        style.save(figure, tmp_path / "rate_distortion.png")
        assert texts(figure.axes[0]) == ["epoch 0"]

    @pytest.mark.parametrize("epochs", [[], [1, 2], [[1]]])
    def test_wrong_shapes(self, epochs):
        with pytest.raises(ValueError, match=r"expected .* got"):
            rate_distortion([300], [180], epochs)


class TestTSNE:
    def test_classes_keep_their_neighbours(self, rng):
        labels = np.repeat(np.arange(10), 12)
        code = 8.0 * np.eye(10)[labels] + rng.normal(size=(120, 10))
        (axes,) = (figure := tsne(code, labels)).axes
        plane = offsets(axes)  # in the order of the classes, as the labels are
        assert plane.shape == (120, 2)
        distance = np.linalg.norm(plane[:, None] - plane, axis=-1) + 1e9 * np.eye(120)
        assert (labels[distance.argmin(axis=1)] == labels).mean() > 0.95
        drawn = [to_hex(points.get_facecolor()[0]) for points in axes.collections]
        assert drawn == list(style.PALETTE)
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == [f"class {c}" for c in range(10)]

    def test_same_seed_same_plane(self, rng):
        code, labels, threads = rng.random((20, 6)), np.arange(20) % 3, torch.get_num_threads()
        first, second = (offsets(tsne(code, labels, seed=1).axes[0]) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert torch.get_num_threads() == threads

    @pytest.mark.parametrize(("samples", "features"), [(2, 3), (3, 1), (7, 300), (40, 2)])
    def test_few_samples_or_features(self, rng, samples, features):
        figure = tsne(rng.random((samples, features)), np.arange(samples) % 10)
        assert offsets(figure.axes[0]).shape == (samples, 2)
        assert np.isfinite(offsets(figure.axes[0])).all()

    def test_two_distinct_codes(self):
        code = torch.zeros(100, 16)
        code[50:] = 1
        assert np.isfinite(offsets(tsne(code, torch.arange(100) % 10).axes[0])).all()

    @pytest.mark.parametrize("samples", [1, 100])
    def test_constant_codes_are_said(self, samples):
        (axes,) = tsne(torch.ones(samples, 16), torch.zeros(samples)).axes
        assert texts(axes) == ["all codes are equal"]

    def test_wrong_shapes(self):
        with pytest.raises(ValueError, match=r"expected .* got"):
            tsne(torch.ones(3, 16), torch.zeros(4))


class TestLearningCurves:
    def test_mean_band_and_reference(self):
        x, y = [0, 10, 20], torch.tensor([[5.0, 3, 1], [7.0, 3, 2], [9.0, 3, 3]])
        figure = learning_curves(
            {"three seeds": (x, y), "one seed": (x[:2], y[:1, :2])},
            "examples",
            "loss (nats/sample)",
            {"constant": 4},
        )
        (axes,) = figure.axes
        np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 7], [10, 3], [20, 2]])
        np.testing.assert_allclose(axes.lines[1].get_xydata(), [[0, 5], [10, 3]])
        np.testing.assert_array_equal(axes.lines[2].get_ydata(), [4, 4])
        (band,) = axes.collections
        corners = {(a, b) for a, b in band.get_paths()[0].vertices.round(9).tolist()}
        assert corners == {(0, 5), (0, 9), (10, 3), (20, 1), (20, 3)}
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("examples", "loss (nats/sample)")
        assert [t.get_text() for t in figure.legends[0].get_texts()] == ["three seeds", "one seed"]
        assert texts(axes) == ["constant"]

    @pytest.mark.parametrize("y", [[1.0, 2], [[1.0, 2, 3]]])
    def test_wrong_shapes(self, y):
        with pytest.raises(ValueError, match=r"expected .* got"):
            learning_curves({"curve": ([0, 1], y)}, "examples", "loss (nats)")


class TestSave:
    def test_png_of_120_dots_per_inch_in_new_folders(self, tmp_path):
        path = tmp_path / "new" / "folder" / "figure.png"
        style.save(Figure((2, 1)), path)
        assert imread(path).shape[:2] == (120, 240)
        assert list(path.parent.iterdir()) == [path]

    def test_failure_leaves_the_old_file_alone(self, tmp_path, monkeypatch):
        path = tmp_path / "figure.png"
        path.write_bytes(b"old")

        def fail_half_way(self, file, **_):
            file.write(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(Figure, "savefig", fail_half_way)
        with pytest.raises(OSError, match="disk full"):
            style.save(Figure(), path)
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


def test_neither_pyplot_nor_scikit_learn_is_imported(tmp_path):
    program = f"""
import sys, torch
from vdib.figures import style
from vdib.figures.spikes import raster
style.save(raster(torch.ones(3, 4), torch.ones(3, 2)), {str(tmp_path / "raster.png")!r})
print({{"matplotlib.pyplot", "sklearn"}} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


def test_gradients_and_half_precision_are_taken():
    rate = torch.tensor([300.0, 500], dtype=torch.bfloat16, requires_grad=True)
    figure = rate_distortion(rate, rate, [1, 2])
    np.testing.assert_array_equal(offsets(figure.axes[0])[:, 0], rate.detach().float())
