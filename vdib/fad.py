"""Frechet autoencoder distance (FAD): how far drawn digits are from MNIST's test images.

The encoder of a convolutional autoencoder turns images into 64 features, which are taken to be
Gaussian; the distance is `frechet_distance`, dimensionless, 0 for equal moments. Two figures:

| figure | batch norm | statistics of the test images |
|---|---|---|
| `published_fad` | by the batch: of 256 when the reference was made, of 128 now | stored |
| `fad` | as trained | made anew from the images that are given |

The first is how published figures were made, and depends on which images share a batch, so that it
is of images in random order. H. Kamata, Y. Mukuta & T. Harada, "Fully Spiking Variational
Autoencoder", 2022, https://arxiv.org/abs/2110.00375; weights and statistics are those of Q. Zhan
et al., "ESVAE: An Efficient Spiking Variational Autoencoder with Reparameterizable Poisson Spiking
Sampling", 2023, https://arxiv.org/abs/2310.14839 (MIT licence). They belong to the data, in
`$VDIB_DATA/fad/mnist_autoencoder.safetensors`.

Legend: B batch, D = 64 features; images H x W.
"""

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vdib.metrics import Moments, frechet_distance

CHANNELS, SIDE, FEATURES = (1, 32, 64, 128, 256), 32, 64
BATCH, REFERENCE_BATCH = 128, 256
"""Images that share the statistics of batch norm: of samples, and when the reference was made."""


def fad_file() -> Path | None:
    """The encoder's weights in `$VDIB_DATA`; None where they are not."""
    folder = os.environ.get("VDIB_DATA")
    path = Path(folder, "fad", "mnist_autoencoder.safetensors") if folder else None
    return path if path and path.is_file() else None


class FADEncoder(nn.Module):
    """Four strided convolutions with batch norm, and a dense layer.

    1 x 32 x 32 -> 32 @ 16 x 16 -> 64 @ 8 x 8 -> 128 @ 4 x 4 -> 256 @ 2 x 2 -> 64
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(below, above, 3, 2, 1), nn.BatchNorm2d(above))
            for below, above in pairwise(CHANNELS)
        )
        self.latent_layer = nn.Linear(CHANNELS[-1] * 2 * 2, FEATURES)

    def forward(self, images: Tensor, batch_statistics: bool = False) -> Tensor:
        """Images `(B, H, W)` in [0, 1] to features `(B, D)`.

        Args:
            images: resized bilinearly to 32 x 32.
            batch_statistics: normalise by the mean and variance of this batch.
        """
        x = F.interpolate(images[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)
        x = 2 * x - 1
        for block in self.encoder:
            convolution, norm = cast(tuple[nn.Conv2d, nn.BatchNorm2d], block)
            seen = (None, None) if batch_statistics else (norm.running_mean, norm.running_var)
            x = convolution(x)
            x = F.batch_norm(x, *seen, norm.weight, norm.bias, batch_statistics)
            x = F.leaky_relu(x, 0.01)
        features: Tensor = self.latent_layer(x.flatten(1))
        return features


@dataclass(frozen=True)
class FAD:
    """The encoder, and what it made of MNIST's test images when figures were published.

    Attributes:
        encoder: in evaluation mode, without gradients.
        reference: moments of the test images' features, by batch statistics.
    """

    encoder: FADEncoder
    reference: Moments

    @classmethod
    def load(cls, path: Path) -> "FAD":
        """Read the weights.

        Raises:
            ValueError: the file holds other weights (one line).
        """
        encoder = FADEncoder()
        try:
            state = safetensors.torch.load_file(path)
            mean, covariance = (state.pop(f"mnist_test.{of}") for of in ("mean", "covariance"))
            encoder.load_state_dict(state)
        except (KeyError, RuntimeError, safetensors.SafetensorError) as error:
            raise ValueError(f"{path} does not hold the encoder of the published FAD") from error
        moments = Moments(mean.double(), covariance.double())
        return cls(encoder.eval().requires_grad_(False), moments)

    def published_fad(self, images: Tensor, batch: int = BATCH) -> float:
        """As published: of images `(B, H, W)` in [0, 1], in random order."""
        return frechet_distance(self._moments(images, batch, True), self.reference)

    def fad(self, images: Tensor, real: Tensor) -> float:
        """Of images `(B, H, W)` in [0, 1] from real ones, with batch norm as it was trained."""
        parts = (self._moments(some, REFERENCE_BATCH, False) for some in (images, real))
        return frechet_distance(*parts)

    def _moments(self, images: Tensor, batch: int, batch_statistics: bool) -> Moments:
        with torch.no_grad():
            features = [self.encoder(some, batch_statistics) for some in torch.split(images, batch)]
        return Moments.of(torch.cat(features))
