"""Codes of many samples in a plane: tensors in, `matplotlib.figure.Figure` out.

Shapes: `B` samples, `F` features.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vdib.figures.style import INK, PALETTE, Array, same_length, single_axes, tidy, to_numpy, write


def tsne(code: Array, labels: Array, perplexity: float = 30, seed: int = 0) -> Figure:
    """t-SNE of readout codes, (B, F), coloured by class, `labels` (B,); both axes dimensionless.

    "Visualizing Data using t-SNE", van der Maaten and Hinton, 2008,
    https://jmlr.org/papers/v9/vandermaaten08a.html, on the first 50 principal components. The
    perplexity (effective number of neighbours) is lowered to (B - 1)/3 where B is small. Class
    c has colour c modulo 10.
    """
    points, classes = to_numpy(code, "B F"), to_numpy(labels, "B").astype(int)
    same_length(code=points, labels=classes)
    figure, axes = single_axes(6, 5)
    tidy(axes, title=f"t-SNE of {len(points):,} readout codes")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if (points == points[0]).all():
        write(axes, 0.5, 0.5, "all codes are equal", transform=axes.transAxes)
        return figure
    plane = _embed(points, min(perplexity, max(1.0, (len(points) - 1) / 3)), seed)
    for c in np.unique(classes):
        x, y = plane[classes == c].T
        # The digit itself as the marker: the class is read without the colour, too.
        axes.scatter(x, y, 32, PALETTE[c % 10], marker=f"${c}$", linewidths=0.3, label=f"class {c}")
    figure.legend(loc="outside right center", frameon=False, markerscale=1.4, labelcolor=INK)
    return figure


def _embed(points: NDArray[np.float64], perplexity: float, seed: int) -> NDArray[np.float64]:
    # Slow to import, and needed here only.
    from sklearn.decomposition import PCA  # type: ignore[import-untyped]
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    points = np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))  # a plane needs F >= 2
    # One thread: where cores are shared, OpenMP's many short loops wait for each other, 20 times
    # as long as the work itself takes.
    with threadpool_limits(1):
        components = PCA(min(50, *points.shape), random_state=seed).fit_transform(points)
        method = TSNE(perplexity=perplexity, init="pca", angle=0.7, random_state=seed)
        plane = method.fit_transform(components)
    return np.asarray(plane, dtype=np.float64)
