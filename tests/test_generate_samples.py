"""What is drawn of a model and how it is written: axes, scales, classes, without a run.

B images; T = 5 steps; N = 4 readout neurons; images of 2 x 3 pixels.
"""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from tiny import spike_train

from vdib.decoder import MLPDecoder
from vdib.encoder import build_encoder
from vdib.estimator import StraightThrough
from vdib.figures.drawn import with_spikes
from vdib.generate import drawable as drawing
from vdib.generate.between import write_between
from vdib.generate.drawable import Drawable
from vdib.generate.samples import write_samples
from vdib.generate.writing import LAST_MS, MS, write
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.model import VDIB
from vdib.noise import EVALUATION, Noise
from vdib.prior import AutoregressivePrior, draw_spikes
from vdib.prior_fitting import fit_prior
from vdib.signal import Image
from vdib.spike_code import SpikeCode
from vdib.window import FullWindow

STEPS, READOUT, SHAPE, CLASSES = 5, 4, (2, 3), 3


class Split:
    """Examples of which the class says how often each input fires."""

    def __init__(self, count, seed):
        label = torch.arange(count) * (seed + 1) % CLASSES
        uniform = torch.rand(count, STEPS, CLASSES, generator=torch.Generator().manual_seed(seed))
        often = torch.where(torch.arange(CLASSES) == label[:, None], 0.9, 0.05)
        x = (uniform < often[:, None]).float()
        self.batch = SpikeBatch(x, label, label, 10_000 * seed + torch.arange(count))

    def __len__(self):
        return len(self.batch.id)

    def __getitems__(self, rows):
        return SpikeBatch(*(field[list(rows)] for field in self.batch[:4]))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A model whose prior and decoder tell steps from neurons, and data of three classes."""
    torch.manual_seed(0)
    encoder = build_encoder((CLASSES,), READOUT, hidden=())
    torch.nn.init.normal_(encoder.readout.synapses.weight, std=2.0)
    decoder = MLPDecoder(FullWindow(STEPS), READOUT, Image(SHAPE), num_hidden=7)
    for weight in decoder.parameters():
        torch.nn.init.normal_(weight)
    prior = AutoregressivePrior(READOUT, 0.3)
    torch.nn.init.normal_(prior.linear.weight)
    model = VDIB(encoder, decoder, prior, StraightThrough()).requires_grad_(False)
    splits = {"train": Split(700, 0), "validation": Split(90, 1), "test": Split(30, 3)}
    data = SimpleNamespace(
        num_steps=STEPS, split=splits.__getitem__, code=lambda batch, step: batch
    )
    module = SimpleNamespace(vdib=model, signal=Image(SHAPE), seed=8)
    monkeypatch.setattr(drawing, "prepare", lambda cli: None)
    return Drawable(tmp_path, SimpleNamespace(model=module, datamodule=data))


def by_hand(model, spikes):
    """Images `(B, 2, 3)`: rows of pixels, of spikes step by step."""
    decoder = model.decoder
    hidden = torch.relu(spikes.flatten(1) @ decoder.hidden.weight.T + decoder.hidden.bias)
    pixels = torch.sigmoid(hidden @ decoder.head.weight.T + decoder.head.bias)
    return torch.stack([pixels[:, :3], pixels[:, 3:]], 1).numpy()


def held(out):
    with np.load(out / "spikes.npz") as file:
        return file["spikes"], file["images"]


def frames(path):
    """Of an animation: grey levels in [0, 1] of each, and for how many ms it is shown."""
    found = []
    with Picture.open(path) as animation:
        for i in range(animation.n_frames):
            animation.seek(i)
            shown = animation.info["duration"]
            found.append((np.asarray(animation.convert("L")) / 255, shown))
    return found


def test_steps_come_before_neurons_and_rows_before_columns(run, tmp_path):
    said = write_samples(run, 6, None, 3, tmp_path / "out")
    assert said == f"6 images drawn in {tmp_path / 'out'}"
    spikes, images = held(tmp_path / "out")
    expected = draw_spikes(
        run.model.prior, 6, STEPS, READOUT, Noise(3, EVALUATION, torch.arange(6))
    )
    assert spikes.shape == (6, STEPS, READOUT)
    np.testing.assert_array_equal(spikes, expected)
    np.testing.assert_allclose(images, by_hand(run.model, expected), atol=1e-6)


def test_an_animation_shows_what_has_been_said_so_far_and_stays_at_the_end(run, tmp_path):
    write_samples(run, 1, None, 0, tmp_path / "out")
    spikes = torch.from_numpy(held(tmp_path / "out")[0]).float()
    seen = frames(tmp_path / "out" / "forming.gif")
    assert len(seen) == STEPS + 1
    for until, (pixels, ms) in enumerate(seen):
        cut = spikes.clone()
        cut[:, until:] = 0
        large = np.kron(by_hand(run.model, cut)[0], np.ones((84, 84)))  # two rows on 168 pixels
        inner = pixels[8 : 8 + large.shape[0], 4 : 4 + large.shape[1]]
        np.testing.assert_allclose(inner, large, atol=0.01)  # of 252 grey levels
        assert ms == (LAST_MS if until == STEPS else MS)


def test_images_of_a_class_are_of_its_own_codes(run, tmp_path):
    """Of two batches of training examples; what it gains is in bits a code, of other examples."""
    said = write_samples(run, 4, 1, 5, tmp_path / "out")
    codes = {}
    for name in ("train", "validation"):
        batch = run.data.split(name).batch
        noise = Noise(8, EVALUATION, batch.id)  # the seed of the run, not that of what is drawn
        code = run.model.encode(batch.spikes, noise)
        codes[name] = SpikeCode(code.spikes[batch.label == 1], code.logits[batch.label == 1])
    fitted = fit_prior(run.model.prior, codes["train"], codes["validation"], 5)
    bits = []
    for prior in (fitted, run.model.prior):
        code = codes["validation"]
        p, q = (torch.sigmoid(v.double()) for v in (code.logits, prior(code.spikes)))
        kl = p * (p / q).log2() + (1 - p) * ((1 - p) / (1 - q)).log2()
        bits.append(float(kl.sum((1, 2)).mean()))
    words = r"prior fitted to (\d+) codes of class 1: ([\d.]+) bits .*, ([\d.]+) under the model's"
    count, after, before = re.match(words, said).groups()
    assert int(count) == 233 == len(codes["train"].spikes)
    assert (float(after), float(before)) == pytest.approx(bits, abs=0.051)
    assert bits[0] < 0.9 * bits[1]
    noise = Noise(5, EVALUATION, torch.arange(4))
    np.testing.assert_array_equal(
        held(tmp_path / "out")[0], draw_spikes(fitted, 4, STEPS, READOUT, noise)
    )


def test_between_two_examples_drives_are_mixed_in_equal_steps(run, tmp_path):
    write_between(run, ["7", "2"], 5, 1, tmp_path / "out")
    spikes, images = held(tmp_path / "out")
    readout, ends = run.model.encoder.readout, run.data.split("test").batch.spikes[[7, 2]]
    drives = readout.drive(ends)
    u = Noise(1, EVALUATION, torch.zeros(1, dtype=torch.int64)).uniform(0, STEPS, (READOUT,))[0]
    for i, share in enumerate((0, 0.25, 0.5, 0.75, 1)):
        own = torch.zeros(1, STEPS, READOUT)
        for t in range(STEPS):
            v = readout.given((1 - share) * drives[:1] + share * drives[1:], own)[0, t]
            own[0, t] = (u[t] < torch.sigmoid(v)).float()
        np.testing.assert_array_equal(spikes[i], own[0])
    np.testing.assert_allclose(
        images, by_hand(run.model, torch.from_numpy(spikes).float()), atol=1e-6
    )
    assert len(frames(tmp_path / "out" / "forming.gif")) == 5


def test_intensities_become_grey_levels_of_a_byte(tmp_path):
    images = np.array([[[0.0, 0.25, 1.0], [0.5, 0.1, 0.9]], np.zeros((2, 3))])
    spikes = spike_train(2, STEPS, READOUT)
    write(tmp_path, images, spikes, images[:, None])
    with Picture.open(tmp_path / "image_000.png") as image:
        np.testing.assert_array_equal(np.asarray(image), [[0, 64, 255], [128, 26, 230]])
    kept, scaled = held(tmp_path)
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(kept, spikes)
    np.testing.assert_array_equal(scaled, images)


def test_a_raster_has_neurons_upwards_and_time_along():
    spikes = torch.zeros(2, STEPS, READOUT)
    spikes[1, 4, 0] = spikes[1, 1, 3] = 1  # the last step of the first neuron, among others
    figure = with_spikes(np.full((2, *SHAPE), 0.5), spikes, ["a", "b"])
    picture, raster = figure.axes[2:4]
    shown = np.asarray(raster.images[0].get_array())
    assert shown.shape == (READOUT, STEPS)
    assert {tuple(at) for at in np.argwhere(shown)} == {(0, 4), (3, 1)}
    bottom, top = raster.get_ylim()
    assert bottom < top  # the first neuron is the lowest
    assert raster.get_title() == "b, 2 spikes"
    assert picture.images[0].get_clim() == (0, 1)
