"""`vdib.generate` end to end, from tiny runs on digits and on recordings."""

import re
from pathlib import Path

import numpy as np
import pytest
import recordings as make
import tiny_runs
import torch
from PIL import Image

import vdib
from vdib import evaluate, fit
from vdib.generate import __main__ as generate
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.noise import EVALUATION, Noise
from vdib.prior import draw_spikes
from vdib.runs.exported import SHIPPED, left_by, run_at

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REFUSED = {
    "labels": ("target: image", "target: label"),
    "threshold": ("readout: sampled", "readout: threshold"),
}
FILES = {"sheet.png", "spikes.png", "forming.gif", "spikes.npz"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of runs: `digits`, `independent`, `labels`, `threshold`, `events`."""
    root = tmp_path_factory.mktemp("runs")
    place = ["--runs", str(root), "--experiment", "x"]
    words = [*tiny_runs.TINY, "--trainer.max_epochs", "1", *place]
    # Readouts of a drive of 4: codes differ from example to example.
    words = [*words, "--model.encoder_gain", "4", "--model.prior"]
    assert fit.main([*words, "past", "--name", "digits"]) == 0
    assert fit.main([*words, "bernoulli", "--name", "independent"]) == 0
    # What is refused is refused before weights are read.
    own = (root / "x" / "digits" / "config.yaml").read_text()
    for name, change in REFUSED.items():
        (root / "x" / name / "checkpoints").mkdir(parents=True)
        assert change[0] in own
        (root / "x" / name / "config.yaml").write_text(own.replace(*change))
        (root / "x" / name / "checkpoints" / "best.ckpt").touch()
    for split in ("train", "validation", "test"):
        for name, seed in (("a", 0), ("b", 1)):
            made = make.scattered(400, (24, 20), seed=seed)
            make.write_npz(root / "data" / split / f"{name}.npz", made)
            make.write_image(
                root / "data" / split / f"{name}.png", np.tile(np.arange(14) * 18, (12, 1))
            )
    mine = ["--config", "recordings", "--data.root", str(root / "data"), *place]
    sizes = ["--data.num_steps", "8", "--data.step_ms", "10", "--data.sensor_size", "[24,20]"]
    small = ["--model.hidden", "[16]", "--model.num_readout", "8", "--trainer.max_epochs", "1"]
    quiet = ["--trainer.enable_progress_bar", "false", "--figures_every", "-1"]
    cache = ["--data.cache", "false", "--name", "events"]
    assert fit.main([*mine, *sizes, *small, *quiet, *cache]) == 0
    return root / "x"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def drawn(out):
    """The files of a folder, and what was drawn."""
    with np.load(out / "spikes.npz") as held:
        return {path.name for path in out.iterdir()}, held["spikes"], held["images"]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_images_of_spikes_from_the_prior(runs, capsys):
    assert generate.main([str(runs / "digits"), "--out", "out", "--num", "5", "--seed", "3"]) == 0
    assert capsys.readouterr().out == "5 images drawn in out\n"
    names, spikes, images = drawn(Path("out"))
    assert names == FILES | {f"image_{i:03}.png" for i in range(5)}
    model = vdib.load(runs / "digits")
    noise = Noise(3, EVALUATION, torch.arange(5))
    expected = draw_spikes(model.prior, 5, 6, 8, noise)
    np.testing.assert_array_equal(spikes, expected)
    means = model.decode(vdib.SpikeCode(expected, None)).mean.view(5, 28, 28)
    np.testing.assert_allclose(images, means.detach(), atol=1e-6)
    for i in range(5):
        np.testing.assert_array_equal(pixels(f"out/image_{i:03}.png"), np.rint(images[i] * 255))
    sheet = pixels("out/sheet.png")  # two rows of three, two pixels apart
    assert sheet.shape == (58, 88)
    np.testing.assert_array_equal(sheet[30:, 30:58], np.rint(images[4] * 255))
    with Image.open("out/forming.gif") as animation:
        assert animation.n_frames == 7  # silence, and six steps
    # Fewer images are the first of these, and nothing is left of the others but what is not ours.
    Path("out/image_of_mine.png").write_text("mine")
    assert generate.main([str(runs / "digits"), "--out", "out", "--num", "2", "--seed", "3"]) == 0
    names, some, _ = drawn(Path("out"))
    assert names == FILES | {"image_000.png", "image_001.png", "image_of_mine.png"}
    np.testing.assert_array_equal(some, spikes[:2])


def test_images_of_a_class(runs, capsys):
    run = str(runs / "digits")
    assert generate.main([run, "--out", "out", "--num", "400", "--label", "1"]) == 0
    said = capsys.readouterr().out
    found = re.fullmatch(
        r"prior fitted to (\d+) codes of class 1: ([\d.]+) bits a code of other examples, "
        r"([\d.]+) under the model's\n400 images drawn in out\n",
        said,
    )
    data, model = ImageData(num_steps=6), vdib.load(run)
    batch = data.examples("train", 4_000)
    ones = batch.label == 1
    assert int(found[1]) == int(ones.sum())
    assert float(found[2]) < float(found[3])
    with torch.no_grad():
        codes = model.encode(batch.spikes, Noise(0, EVALUATION, batch.id)).spikes
    # Neurons fire as often as for ones, which is not as often as for all digits.
    rate = drawn(Path("out"))[1].mean((0, 1))
    own, all_of_them = codes[ones].mean((0, 1)).numpy(), codes.mean((0, 1)).numpy()
    assert np.abs(own - all_of_them).max() > 0.05
    assert np.abs(rate - own).max() < 0.04 < np.abs(rate - all_of_them).max()


def test_images_of_a_class_where_the_prior_learns_nothing(runs, capsys):
    """Another is fitted in its place, which knows how often each neuron fires for the class."""
    run = runs / "independent"
    assert generate.main([str(run), "--out", "out", "--num", "400", "--label", "1"]) == 0
    said = capsys.readouterr().out
    words = r"prior `past` fitted to \d+ codes of class 1: ([\d.]+) bits .*, ([\d.]+) under"
    found = re.match(words, said)
    assert found
    assert float(found[1]) < float(found[2])
    data, model = ImageData(num_steps=6), vdib.load(run)
    batch = data.examples("train", 4_000)
    with torch.no_grad():
        codes = model.encode(batch.spikes, Noise(0, EVALUATION, batch.id)).spikes
    own = codes[batch.label == 1].mean((0, 1)).numpy()
    assert np.abs(drawn(Path("out"))[1].mean((0, 1)) - own).max() < 0.04
    assert generate.main([str(runs / "events"), "--out", "x", "--label", "1"]) == 2
    assert "none of the train examples are of it" in tiny_runs.said(capsys)


def test_images_between_two_examples(runs, capsys):
    run = str(runs / "digits")
    words = [run, "--out", "out", "--num", "3", "--between", "4", "9"]
    assert generate.main([*words, "--seed", "1"]) == 0
    assert capsys.readouterr().out == "3 images from 4 to 9 in out\n"
    _, spikes, images = drawn(Path("out"))
    batch = ImageData(num_steps=6).examples("test", 10)
    noise = Noise(1, EVALUATION, torch.zeros(2, dtype=torch.int64))
    with torch.no_grad():
        code = vdib.load(run).encode(batch.spikes[[4, 9]], noise)
    np.testing.assert_array_equal(spikes[[0, 2]], code.spikes)
    assert len(images) == 3
    assert generate.main([run, "--out", "out", "--between", "4", "500"]) == 2
    assert tiny_runs.said(capsys) == "--between: no test example 500, there are 0 to 499"
    assert generate.main([run, "--out", "out", "--between", "-1", "3"]) == 2
    assert tiny_runs.said(capsys) == "--between: no test example -1, there are 0 to 499"
    assert generate.main([run, "--out", "out", "--between", "4", "b.aedat"]) == 2
    assert "was not trained on recordings" in tiny_runs.said(capsys)


def test_images_between_two_recordings(runs, capsys):
    run, data = str(runs / "events"), runs.parent / "data" / "test"
    ends = [str(data / "a.npz"), str(data / "b.npz")]
    assert generate.main([run, "--out", "files", "--num", "4", "--between", *ends]) == 0
    assert generate.main([run, "--out", "numbers", "--num", "4", "--between", "0", "1"]) == 0
    files, numbers = drawn(Path("files")), drawn(Path("numbers"))
    assert files[0] == FILES | {f"image_{i:03}.png" for i in range(4)}
    for by_file, by_number in zip(files[1:], numbers[1:], strict=True):  # they are the test set
        np.testing.assert_array_equal(by_file, by_number)
    assert files[2].shape == (4, 12, 14)
    capsys.readouterr()
    assert generate.main([run, "--out", "x", "--between", "none.npz", ends[0]]) == 2
    assert tiny_runs.said(capsys) == "--between none.npz: neither a number nor a recording"


@pytest.mark.parametrize(
    ("run", "words", "told"),
    [
        ("labels", [], "makes labels, and no images"),
        ("threshold", [], "its readout is deterministic: it has no distribution of codes"),
        ("nothing", [], "is not a finished run"),
        ("digits", ["--label", "12"], "--label 12: none of the train examples are of it, they are"),
    ],
)
def test_what_is_refused_in_a_line(runs, capsys, run, words, told):
    assert generate.main([str(runs / run), "--out", "out", *words]) == 2
    assert told in tiny_runs.said(capsys)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "words", [["--num", "0"], ["--seed", "-1"], ["--num", "1", "--between", "0", "1"]]
)
def test_numbers_out_of_range(runs, capsys, words):
    assert generate.main([str(runs / "digits"), "--out", "out", *words]) == 2
    assert "expected" in capsys.readouterr().err


def test_a_run_that_ships_draws_and_keeps_its_folder(capsys):
    before = sorted(SHIPPED.rglob("*"))
    assert generate.main(["nmnist", "--out", "out", "--num", "2"]) == 0
    assert drawn(Path("out"))[2].shape == (2, 28, 28)
    assert evaluate.main(["nmnist"]) == 2
    assert "nmnist: an exported run is not measured again" in capsys.readouterr().err
    assert left_by(run_at(Path("nmnist"))) == Path("nmnist_measured")
    assert left_by(run_at(Path("x") / "mine")) == Path("x") / "mine"
    assert sorted(SHIPPED.rglob("*")) == before


def test_a_file_is_no_folder(runs, capsys):
    Path("out").write_text("mine")
    assert generate.main([str(runs / "digits"), "--out", "out"]) == 2
    assert tiny_runs.said(capsys) == "--out out: it is no folder"
