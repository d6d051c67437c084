"""Figures of a run: tensors in, `matplotlib.figure.Figure` out.

Figures are built on the object interface, never on pyplot: nothing is registered globally, so
nothing leaks in a long run, and no display is needed.

Shapes: `B` samples, `H W` pixels, `T` time steps, `N` neurons, `F` features, `E` epochs (or
any other positions along a curve), `S` seeds.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

Array = torch.Tensor | ArrayLike

# Ten colours told apart with any colour vision: "Accessible Color Sequences for Data
# Visualization", Petroff, 2021, https://arxiv.org/abs/2107.02270
BLUE, YELLOW, RED, GREY, PURPLE = "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"
BROWN, ORANGE, TAN, ASH, CYAN = "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"
PALETTE = (BLUE, YELLOW, RED, GREY, PURPLE, BROWN, ORANGE, TAN, ASH, CYAN)
LAYERS = {"input": BLUE, "hidden": ORANGE, "readout": PURPLE}
INK, FAINT = "#303030", "#757575"
HALO = [withStroke(linewidth=3, foreground="white")]


def reconstructions(
    originals: Array,
    naturalised: Array,
    labels: Array | None = None,
    judged: Array | None = None,
    max_images: int = 16,
) -> Figure:
    """Originals over naturalised images, in double rows of at most ten.

    `originals` and `naturalised` are (B, H, W) with intensities in [0, 1] (dimensionless);
    `labels` and `judged`, (B,), are the true classes and the judge's classes of the naturalised
    images. Where both are given and differ, the latter is bold and red. The first `max_images`
    samples are shown.
    """
    tops, bottoms = _numpy(originals, "B H W"), _numpy(naturalised, "B H W")
    truth = None if labels is None else _numpy(labels, "B").astype(int)
    judge = None if judged is None else _numpy(judged, "B").astype(int)
    _same_length(originals=tops, naturalised=bottoms, labels=truth, judged=judge)
    if tops.shape != bottoms.shape:
        raise ValueError(f"expected images of one shape, got {tops.shape} and {bottoms.shape}")

    count, (height, width) = min(len(tops), max_images), tops.shape[1:]
    rows = math.ceil(count / 10)
    columns = math.ceil(count / rows)
    gap = 2
    pitch, line = width + gap, 0.4 * height  # a line of text is 0.4 images high
    across, down = columns * pitch - gap, 2 * height + gap  # pixels of one double row
    above = -0.5 - line * (truth is not None)
    below = down - 0.5 + line * (judge is not None)
    names = {height / 2: "original", 1.5 * height + gap: "naturalised"}
    names |= {} if truth is None else {-line / 2: "class"}
    names |= {} if judge is None else {down + line / 2: "judged as"}

    inch = width / 0.72  # pixels to an inch, in which the figure and its margins are set
    text, pad, tall = 1.05, 0.08, (below - above) / inch
    size = text + across / inch + pad, rows * (tall + pad) + pad
    figure = Figure(size)
    figure.subplots_adjust(text / size[0], pad / size[1], 1 - pad / size[0], 1 - pad / size[1])
    figure.subplots_adjust(hspace=pad / tall)
    for row, axes in enumerate(figure.subplots(rows, 1, squeeze=False)[:, 0]):
        mosaic = np.full((down, across), np.nan)
        for i in range(row * columns, min((row + 1) * columns, count)):
            left = (i % columns) * pitch
            mosaic[:height, left : left + width] = tops[i]
            mosaic[height + gap :, left : left + width] = bottoms[i]
            if truth is not None:
                _text(axes, left + width / 2, -line / 2, str(truth[i]))
            if judge is not None:
                wrong = truth is not None and truth[i] != judge[i]
                style = {"color": RED, "weight": "bold"} if wrong else {}
                _text(axes, left + width / 2, down + line / 2, str(judge[i]), **style)
        for y, name in names.items():
            _text(axes, -2 * gap, y, name, ha="right")
        axes.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_ylim(below, above)
        axes.set_axis_off()
    return figure


def raster(
    input_spikes: Array,
    readout_spikes: Array,
    hidden_spikes: Array | None = None,
    step_ms: float | None = None,
) -> Figure:
    """Spikes of one sample, (T, N) in {0, 1} per layer: neuron against time.

    The layers share the time axis: in steps, or in ms where `step_ms` (ms per step) is given.
    """
    given = {"input": input_spikes, "hidden": hidden_spikes, "readout": readout_spikes}
    layers = {name: _numpy(spikes, "T N") for name, spikes in given.items() if spikes is not None}
    _same_length(**layers)

    figure = Figure(figsize=(7, 1.9 * len(layers) + 0.3), layout="constrained")
    panels = figure.subplots(len(layers), 1, sharex=True)
    step = 1.0 if step_ms is None else step_ms
    for axes, (name, spikes) in zip(panels, layers.items(), strict=True):
        (length, population), (steps, neurons) = spikes.shape, np.nonzero(spikes > 0.5)
        # In points: a neuron's share of the axes' height, where that can be seen at all.
        tick = min(max(110 / max(population, 1), 1.8), 9)
        style = {"marker": "|", "linewidths": 1.2, "rasterized": True}
        axes.scatter(steps * step, neurons, tick**2, LAYERS[name], **style)
        axes.set_xlim(-0.5 * step, (length - 0.5) * step)
        axes.set_ylim(-0.5 - 0.02 * population, population - 0.5 + 0.02 * population)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        _tidy(axes, "", "neuron", f"{name}: {population:,} neurons, {len(steps):,} spikes")
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panels[-1].set_xlabel("time (steps)" if step_ms is None else "time (ms)", color=INK)
    figure.align_ylabels()
    return figure


def rate_distortion(
    rate_bits: Array,
    distortion_nats: Array,
    epochs: Array,
    constant: tuple[str, float] | None = None,
    per: str = "sample",
) -> Figure:
    """The path of the epochs in the rate-distortion plane, on validation data.

    `rate_bits` (E,) in bits and `distortion_nats` (E,) in nats, `per` sample or step; `epochs`
    (E,); `constant`, a name and nats, is what the best answer without a code costs.
    """
    rate, distortion = _numpy(rate_bits, "E"), _numpy(distortion_nats, "E")
    epoch = _numpy(epochs, "E")
    _same_length(rate_bits=rate, distortion_nats=distortion, epochs=epoch)
    figure, axes = _single(6, 4)
    _tidy(axes, f"rate (bits/{per})", f"distortion (nats/{per})")
    axes.plot(rate, distortion, color="#c8c8c8", linewidth=1.2, zorder=1)
    span = {"vmin": epoch.min(), "vmax": max(epoch.max(), epoch.min() + 1)}
    points = axes.scatter(rate, distortion, 28, epoch, cmap="viridis", zorder=2, **span)
    for i in {0, len(epoch) - 1}:
        # Beside the point, away from the path.
        ha, shift = ("right", -7) if rate[i] < rate.mean() else ("left", 7)
        where: dict[str, Any] = {"xytext": (shift, 0), "textcoords": "offset points", "ha": ha}
        label, at = f"epoch {epoch[i]:g}", (rate[i], distortion[i])
        axes.annotate(label, at, va="center", color=INK, path_effects=HALO, **where)
    axes.margins(x=0.25, y=0.1)
    if constant is not None:
        _reference(axes, *constant)
    bar = figure.colorbar(points, label="epoch", ticks=MaxNLocator(6, integer=True))
    bar.outline.set_visible(False)
    return figure


def tsne(code: Array, labels: Array, perplexity: float = 30, seed: int = 0) -> Figure:
    """t-SNE of readout codes, (B, F), coloured by class, `labels` (B,); both axes dimensionless.

    "Visualizing Data using t-SNE", van der Maaten and Hinton, 2008,
    https://jmlr.org/papers/v9/vandermaaten08a.html, on the first 50 principal components. The
    perplexity (effective number of neighbours) is lowered to (B - 1)/3 where B is small. Class
    c has colour c modulo 10.
    """
    points, classes = _numpy(code, "B F"), _numpy(labels, "B").astype(int)
    _same_length(code=points, labels=classes)
    figure, axes = _single(6, 5)
    _tidy(axes, title=f"t-SNE of {len(points):,} readout codes")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if (points == points[0]).all():
        _text(axes, 0.5, 0.5, "all codes are equal", transform=axes.transAxes)
        return figure
    plane = _embed(points, min(perplexity, max(1.0, (len(points) - 1) / 3)), seed)
    for c in np.unique(classes):
        x, y = plane[classes == c].T
        # The digit itself as the marker: the class is read without the colour, too.
        axes.scatter(x, y, 32, PALETTE[c % 10], marker=f"${c}$", linewidths=0.3, label=f"class {c}")
    figure.legend(loc="outside right center", frameon=False, markerscale=1.4, labelcolor=INK)
    return figure


def learning_curves(
    curves: Mapping[str, tuple[Array, Array]],
    xlabel: str,
    ylabel: str,
    reference: Mapping[str, float] = MappingProxyType({}),
) -> Figure:
    """Mean over seeds of each curve, name -> (x (E,), y (S, E)), and horizontal references.

    The band is +- one sample standard deviation over the S seeds (none where S = 1). Units are
    the caller's: say them in `xlabel` and `ylabel`.
    """
    figure, axes = _single(7, 4)
    _tidy(axes, xlabel, ylabel)
    for i, (name, (positions, values)) in enumerate(curves.items()):
        x, y = _numpy(positions, "E"), _numpy(values, "S E")
        _same_length(**{f"x of {name!r}": x, f"y of {name!r}, transposed": y.T})
        mean, colour, dashes = y.mean(axis=0), PALETTE[i % 10], ("-", "--")[i // 10 % 2]
        axes.plot(x, mean, dashes, color=colour, linewidth=1.8, label=name)
        if len(y) > 1:
            spread = y.std(axis=0, ddof=1)
            axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
    for name, level in reference.items():
        _reference(axes, name, level)
    figure.legend(loc="outside right upper", frameon=False, labelcolor=INK)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write `figure` as a PNG of 120 dots per inch; a reader never sees half a file."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(partial, format="png", dpi=120)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _numpy(values: Array, shape: str) -> NDArray[np.float64]:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != len(shape.split()):
        raise ValueError(f"expected shape ({', '.join(shape.split())}), got {array.shape}")
    return array


def _same_length(**arrays: NDArray[Any] | None) -> None:
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(f"expected one length for all, at least 1, got {lengths}")


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


def _single(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots()


def _tidy(axes: Axes, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK)


def _text(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x, y, text, **{"ha": "center", "va": "center_baseline", "color": INK} | style)


def _reference(axes: Axes, name: str, level: float) -> None:
    axes.axhline(level, color=FAINT, linewidth=1, linestyle="--", zorder=0)
    across = axes.get_yaxis_transform()  # x as a fraction of the axes, y in data
    style = {"ha": "right", "va": "bottom", "color": FAINT, "fontsize": 9, "path_effects": HALO}
    _text(axes, 0.99, level, name, transform=across, **style)
