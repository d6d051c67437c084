"""How good a naturalised image is, how sure a measured accuracy is, and whether that is known;
how far two sets of images are apart.

Shapes: B batch, H x W pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a proportion, from p = successes / trials and n = trials.

        (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    with z the (1 + confidence) / 2 quantile of the standard normal. Dimensionless, in [0, 1].
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927,
    https://doi.org/10.1080/01621459.1927.10502953.

    >>> low, high = wilson_interval(90, 100)
    >>> f"{low:.4f} {high:.4f}"
    '0.8256 0.9448'

    Raises:
        ValueError: not 0 <= successes <= trials with trials > 0, or confidence not in (0, 1).
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"got {successes} of {trials}, expected 0 <= successes <= trials > 0")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence}, expected a number in (0, 1)")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, n = successes / trials, trials
    centre = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def reliability(confidence: Tensor, right: Tensor, num_bins: int = 15) -> Tensor:
    """What decisions of about the same confidence came to, in bins of equal width.

    Bin m of M holds confidences in ((m - 1) / M, m / M]. Sums add up over batches.

    Args:
        confidence: `(B,)`, the probability of what was decided, in [0, 1].
        right: `(B,)`, whether it was right.
        num_bins: M.

    Returns:
        `(M, 3)` float64: how many, the sum of their confidences, how many were right.
    """
    which = (torch.ceil(confidence.double() * num_bins).long() - 1).clamp(0, num_bins - 1)
    each = torch.stack([torch.ones_like(confidence), confidence, right.to(confidence)], 1)
    sums = torch.zeros(num_bins, 3, dtype=torch.float64, device=confidence.device)
    return sums.index_add_(0, which, each.double())


def confusions(decided: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """How often which class (rows) is taken for which (columns), `(O, O)` int64.

    >>> confusions(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
    tensor([[1, 1],
            [0, 1]])

    Args:
        decided: `(R,)` int64 classes.
        labels: `(R,)` int64, the true ones.
        num_classes: O.

    Raises:
        ValueError: not one decision for each label.
    """
    if decided.shape != labels.shape or decided.dim() != 1:
        got = f"{tuple(decided.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"got {got}, expected two equal shapes (R,)")
    pairs = torch.bincount(labels * num_classes + decided, minlength=num_classes**2)
    return pairs.view(num_classes, num_classes)


def calibration_error(bins: Tensor) -> float:
    """How far confidence and accuracy are apart, on average over decisions.

        ECE = sum_m n_m / n  |accuracy_m - confidence_m|

    Guo et al., "On Calibration of Modern Neural Networks", 2017, https://arxiv.org/abs/1706.04599.

    >>> confidence, right = torch.tensor([0.9, 0.9, 0.6, 0.6]), torch.tensor([1, 1, 1, 0])
    >>> f"{calibration_error(reliability(confidence, right)):.3f}"
    '0.100'

    Args:
        bins: `(M, 3)`, as `reliability` returns them, of one decision or more.
    """
    count, confidence, right = bins.unbind(1)
    return float((right - confidence).abs().sum() / count.sum())


SSIM_SIDE = 11
"""Pixels that an image must have a side for `ssim`: its window's."""


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity of each image with its reference, both in [0, 1].

    With local means m, variances v and covariance c under a Gaussian of 1.5 pixels,

        mean over pixels of  (2 m_a m_b + 1e-4) (2 c_ab + 9e-4)
                             / ((m_a^2 + m_b^2 + 1e-4) (v_a + v_b + 9e-4)).

    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity",
    2004, https://doi.org/10.1109/TIP.2003.819861; computed by torchmetrics.

    >>> ssim(torch.eye(28)[None], torch.eye(28)[None])
    tensor([1.])

    Args:
        image, reference: (B, H, W), at least 11 x 11 pixels.

    Returns:
        (B,), dimensionless, 1 where the two are equal.

    Raises:
        ValueError: the shapes differ or are not (B, H, W).
    """
    if image.shape != reference.shape or image.dim() != 3:
        got = f"{tuple(image.shape)} and {tuple(reference.shape)}"
        raise ValueError(f"got {got}, expected two equal shapes (B, H, W)")
    # here, because torchmetrics imports torchvision, which takes a second
    from torchmetrics.functional.image import structural_similarity_index_measure

    with torch.autocast(image.device.type, enabled=False):  # variances are small differences
        value = structural_similarity_index_measure(
            image[:, None], reference[:, None], reduction="none", data_range=1.0
        )
    assert isinstance(value, Tensor)
    return value.reshape(len(image))


@torch.no_grad()
def judge_accuracy(judge: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> float:
    """Share of the images whose largest logit is their label's.

    >>> judge_accuracy(lambda image: image.sum(1), torch.eye(10).expand(3, 10, 10),
    ...                torch.tensor([0, 0, 7]))
    0.6666666666666666

    Args:
        judge: (B, H, W) to logits (B, classes).
        images: (B, H, W).
        labels: (B,) int64.

    Raises:
        ValueError: no images, or not one label for each.
    """
    if len(images) != len(labels) or len(images) == 0:
        raise ValueError(f"got {len(images)} images and {len(labels)} labels, expected as many")
    pairs = zip(torch.split(images, 1_000), torch.split(labels, 1_000), strict=True)
    hits = sum(int((judge(image).argmax(-1) == label).sum()) for image, label in pairs)
    return hits / len(images)


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features.

    Attributes:
        mean: `(D,)` float64.
        covariance: `(D, D)` float64.
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """Of `(B, D)` features, at least two; the covariance is the unbiased one.

        Raises:
            ValueError: fewer.
        """
        if features.dim() != 2 or len(features) < 2:
            got = tuple(features.shape)
            raise ValueError(f"features: got shape {got}, expected (B, D) with at least two rows")
        features = features.double()
        return cls(features.mean(0), torch.cov(features.T).reshape(features.shape[1], -1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians, in squared units of the features.

        |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)

    D. C. Dowson & B. V. Landau, "The Frechet distance between multivariate normal distributions",
    1982, https://doi.org/10.1016/0047-259X(82)90077-X.

    >>> mean, covariance = torch.zeros(2).double(), torch.eye(2).double()
    >>> frechet_distance(Moments(mean, covariance), Moments(mean + 1, 4 * covariance))
    4.0
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T  # C_a^1/2
    inner = torch.linalg.eigvalsh(root @ b.covariance @ root)  # of a symmetric matrix, none below 0
    overlap = inner.clamp_min(0).sqrt().sum()
    means = (a.mean - b.mean).square().sum()
    return float(means + a.covariance.trace() + b.covariance.trace() - 2 * overlap)
