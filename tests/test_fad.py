"""The distance against closed forms, the network against PyTorch's own, and published figures."""

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import scipy.linalg
import torch
from PIL import Image
from torch import nn

from vdib.fad import FAD, FADEncoder, fad_file
from vdib.metrics import Moments, frechet_distance

DATA = os.environ.get("VDIB_DATA")
real = pytest.mark.skipif(
    fad_file() is None or not Path(DATA or "", "mnist", "MNIST", "raw").is_dir(),
    reason="neither MNIST nor the encoder is shipped: set VDIB_DATA to a folder with mnist and fad",
)


def gaussian(seed, size=5, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    root = scale * torch.randn(size, size, generator=generator, dtype=torch.float64)
    return Moments(torch.randn(size, generator=generator, dtype=torch.float64), root @ root.T)


def test_the_distance_is_that_of_a_matrix_square_root():
    a, b = gaussian(0), gaussian(1, scale=2.0)
    root = scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy())
    expected = float((a.mean - b.mean).square().sum()) + np.trace(
        a.covariance.numpy() + b.covariance.numpy() - 2 * root.real
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_the_distance_of_independent_features_in_closed_form():
    # of one-dimensional Gaussians (m - n)^2 + (s - t)^2, and features add up
    m, n = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.5, 1.0]).double()
    s, t = torch.tensor([2.0, 0.3]).double(), torch.tensor([1.0, 0.0]).double()  # one is constant
    value = frechet_distance(Moments(m, torch.diag(s**2)), Moments(n, torch.diag(t**2)))
    assert value == pytest.approx(float(((m - n) ** 2 + (s - t) ** 2).sum()), rel=1e-12)


def test_no_distance_from_itself_and_moments_of_few():
    features = gaussian(2, 6).covariance[:4].float()  # fewer rows than features: a singular matrix
    own = Moments.of(features)
    np.testing.assert_allclose(own.covariance, np.cov(features.double().numpy().T), rtol=1e-12)
    np.testing.assert_allclose(own.mean, features.double().mean(0))
    assert abs(frechet_distance(own, own)) < 1e-6 * float(own.covariance.trace())
    with pytest.raises(ValueError, match=r"got shape \(1, 6\), expected \(B, D\)"):
        Moments.of(features[:1])


def drawn_encoder():
    torch.manual_seed(0)
    encoder = FADEncoder().requires_grad_(False)
    for name, buffer in encoder.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return encoder


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_features_are_those_of_the_network_in_either_mode(batch_statistics):
    encoder = drawn_encoder()
    blocks = [part for block in encoder.encoder for part in (*block, nn.LeakyReLU())]
    plain = nn.Sequential(*blocks, nn.Flatten(), encoder.latent_layer).train(batch_statistics)
    images = (torch.rand(7, 32, 32) * 255).round() / 255
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    features = encoder(images, batch_statistics)
    assert all(torch.equal(before[name], buffer) for name, buffer in encoder.named_buffers())
    torch.testing.assert_close(features, plain(2 * images[:, None] - 1))
    assert features.shape == (7, 64)


def test_images_of_any_size_are_resized():
    encoder = drawn_encoder()
    step = torch.zeros(1, 16, 16)
    step[:, :, 8:] = 1
    wide = torch.zeros(1, 32, 32)  # of two pixels to one, those at an edge are a quarter way there
    wide[:, :, 15], wide[:, :, 16], wide[:, :, 17:] = 0.25, 0.75, 1
    torch.testing.assert_close(encoder(step), encoder(wide))


def test_the_two_figures_differ_in_batches_and_in_what_they_compare_with():
    encoder, images, others = drawn_encoder(), torch.rand(40, 28, 28), torch.rand(30, 28, 28) ** 2
    fad = FAD(encoder, Moments.of(encoder(others, True)))
    halves = torch.cat([encoder(images[:20], True), encoder(images[20:], True)])
    expected = frechet_distance(Moments.of(halves), Moments.of(encoder(others, True)))
    assert fad.published_fad(images, batch=20) == pytest.approx(expected, rel=1e-5)
    assert fad.published_fad(images) != pytest.approx(expected, rel=1e-3)
    proper = frechet_distance(Moments.of(encoder(images)), Moments.of(encoder(others)))
    assert fad.fad(images, others) == pytest.approx(proper, rel=1e-5)


def test_where_the_weights_are_looked_for(monkeypatch, tmp_path):
    monkeypatch.delenv("VDIB_DATA", raising=False)
    assert fad_file() is None
    monkeypatch.setenv("VDIB_DATA", str(tmp_path))
    assert fad_file() is None
    path = tmp_path / "fad" / "mnist_autoencoder.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"nothing of the kind")
    assert fad_file() == path
    with pytest.raises(ValueError, match="does not hold the encoder"):
        FAD.load(path)


def test_weights_and_the_reference_come_as_they_were_stored(tmp_path):
    """The mean is stored in single precision, distances are in double."""
    encoder, own = drawn_encoder(), gaussian(3, 64)
    stored = {"mnist_test.mean": own.mean.float(), "mnist_test.covariance": own.covariance}
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({**encoder.state_dict(), **stored}, path)
    fad = FAD.load(path)
    images = torch.rand(3, 32, 32)
    torch.testing.assert_close(fad.encoder(images), encoder(images))
    assert torch.equal(fad.reference.mean, own.mean.float().double())
    assert torch.equal(fad.reference.covariance, own.covariance)
    assert not any(weight.requires_grad for weight in fad.encoder.parameters())


@real
def test_published_figures_of_real_images():
    from vdib.datasets.mnist import MNIST, training_images

    fad = FAD.load(fad_file())
    test = MNIST("test", download=False).all().image
    # The reference was made of just these images, as Pillow resizes bytes, in batches of 256.
    resized = [
        Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)
        for image in (255 * test).byte().numpy()
    ]
    exact = torch.from_numpy(np.stack(resized)) / 255
    assert abs(fad.published_fad(exact, batch=256)) < 1e-8
    assert fad.published_fad(test, batch=256) < 1e-3
    train = training_images(0, 10_000, download=False).all().image
    assert fad.published_fad(train) == pytest.approx(3.43, abs=0.01)
    assert fad.fad(train, test) == pytest.approx(3.63, abs=0.01)
    features = torch.cat([fad.encoder(some) for some in test.split(256)])
    assert frechet_distance(Moments.of(features), fad.reference) == pytest.approx(0.59, abs=0.01)
