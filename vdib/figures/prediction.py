"""Figures of predictive coding: tensors in, `matplotlib.figure.Figure` out.

Shapes: `T` steps, `N` inputs, `M` readout neurons, `L` steps of a filter, `S` seeds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vdib.figures.style import (
    FAINT,
    HALO,
    INK,
    LAYERS,
    ORANGE,
    PALETTE,
    Array,
    reference_line,
    same_length,
    tidy,
    to_numpy,
)
from vdib.figures.sweep import bands, deviation


def prediction(
    inputs: Array, code: Array, activity: Array, truth: Array, scored: Array, lag: int
) -> Figure:
    """Input and readout spikes of one sequence, over what is decoded at each step.

    `inputs` (T, N) and `code` (T, M) in {0, 1}; `activity` (T, N), each input's decoded probability
    of being active at t + lag, and `truth` (T, N), whether it is; `scored` (T,), the steps that
    count. All are drawn at the step t of the decoding.
    """
    seen, emitted = to_numpy(inputs, "T N"), to_numpy(code, "T M")
    decoded, true = to_numpy(activity, "T N"), to_numpy(truth, "T N")
    counts = np.flatnonzero(to_numpy(scored, "T") > 0)
    same_length(inputs=seen, code=emitted, activity=decoded, truth=true)
    figure = Figure((8, 6.2), layout="constrained")
    heights = [1, 0.6, 1.1]
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    style: dict[str, Any] = {"marker": "|", "linewidths": 1.5}
    for axes, name, spikes in ((top, "input", seen), (middle, "readout", emitted)):
        steps, neurons = np.nonzero(spikes > 0.5)
        axes.scatter(steps, neurons, 36, LAYERS[name], **style)
        axes.set_ylim(-0.7, spikes.shape[1] - 0.3)
        rate = f"{spikes.sum(1).mean():.1f} spikes/step"
        tidy(axes, "", "neuron", f"{name}: {spikes.shape[1]} neurons, {rate}")
    image = bottom.imshow(
        decoded.T, cmap="Greys", vmin=0, vmax=1, origin="lower", aspect="auto", rasterized=True
    )
    steps, neurons = np.nonzero(true > 0.5)
    hit = np.isin(steps, counts)
    ring = {"facecolors": "none", "edgecolors": ORANGE, "linewidths": 1.0}
    bottom.scatter(steps[hit], neurons[hit], 16, **ring)
    if lag == 0:
        what = "now"
    else:
        what = f"{abs(lag)} step{'s' * (abs(lag) > 1)} {'ahead' if lag > 0 else 'ago'}"
    tidy(bottom, "time of the decoding (steps)", "neuron")
    title = f"decoded: which inputs are active {what} (grey), and which are (circles)"
    bottom.set_title(
        title.replace("ago (", "ago were active (") if lag < 0 else title,
        loc="left",
        fontsize=10,
        color=INK,
    )
    for axes in (top, middle, bottom):
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlim(-0.5, len(seen) - 0.5)
    bar = figure.colorbar(image, ax=bottom, label="probability", pad=0.01, aspect=12)
    bar.outline.set_visible(False)
    figure.align_ylabels()
    return figure


def meaning(filters: Array, meanings: Array) -> Figure:
    """What each readout neuron listens to, above what its spike means to the decoder.

    `filters` (M, N, L): what an input spike l steps ago adds to the neuron's distance from
    threshold, in units of the threshold's width; `meanings` (M, N, L'): how much a lone spike l
    steps ago raises the decoder's logits of the patterns that hold an input, in nats.
    """
    listen, say = to_numpy(filters, "M N L"), to_numpy(meanings, "M N L")
    same_length(filters=listen, meanings=say)
    count = len(listen)
    figure = Figure((1.05 * count + 1.2, 5), layout="constrained")
    grid = figure.subplots(2, count, squeeze=False, sharey=True)
    rows = (
        ("listens to", listen, "input spike, steps ago", "potential (widths)"),
        ("means", say, "its spike, steps ago", "logits (nats)"),
    )
    for panels, (title, values, xlabel, unit) in zip(grid, rows, strict=True):
        span = float(np.abs(values).max()) or 1.0
        for i, (axes, value) in enumerate(zip(panels, values, strict=True)):
            style = {"cmap": "PuOr_r", "vmin": -span, "vmax": span, "origin": "lower"}
            # Time runs to the right, towards now.
            extent = (value.shape[1] - 0.5, -0.5, -0.5, len(value) - 0.5)
            image = axes.imshow(value[:, ::-1], aspect="auto", extent=extent, **style)
            tidy(axes, title=f"{i} {title}" if i == 0 else str(i))
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        panels[0].set_ylabel("input neuron", color=INK)
        panels[count // 2].set_xlabel(xlabel, color=INK)
        bar = figure.colorbar(image, ax=list(panels), label=unit, pad=0.01, aspect=18)
        bar.outline.set_visible(False)
    return figure


Points = Mapping[float, Sequence[float]]
"""x -> one value per seed."""


def error_against_lag(
    curves: Mapping[str, Points], reference: Points, constant: tuple[str, float]
) -> Figure:
    """Distortion in nats/step against the lag, of curves that come in pairs of window and rate.

    Bands are one standard deviation over seeds; `reference` is what is reached without a
    bottleneck, `constant` a name and what the best constant answer costs.
    """
    figure = Figure((7.5, 4.4), layout="constrained")
    axes = figure.subplots()
    styles = {
        name: {
            "color": PALETTE[i % 2],
            "linestyle": ("-", "--", ":")[i // 2],
            "marker": "os"[i % 2],
        }
        for i, name in enumerate(curves)
    }
    bands(axes, curves, styles)
    bands(axes, {"no bottleneck": reference}, {"no bottleneck": {"color": FAINT, "marker": ""}})
    reference_line(axes, *constant)
    axes.axvline(0, color=FAINT, linewidth=0.6, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    axes.set_ylim(bottom=0)
    tidy(axes, "lag (steps): recall to the left, prediction to the right", "distortion (nats/step)")
    figure.legend(loc="outside right upper", frameon=False, labelcolor=INK)
    return figure


def information_plane(
    curves: Mapping[str, Mapping[float, tuple[Sequence[float], Sequence[float]]]],
    ceiling: tuple[str, float],
) -> Figure:
    """What the code costs against what it tells: name -> beta -> (rates, informations) of seeds.

    Both in bits/step, mean and standard deviation over seeds; `ceiling` is a name and what could be
    told without a bottleneck.
    """
    figure = Figure((6.5, 4.4), layout="constrained")
    axes = figure.subplots()
    for i, (name, points) in enumerate(curves.items()):
        betas = sorted(points)
        x, y = (np.array([np.mean(points[beta][k]) for beta in betas]) for k in (0, 1))
        errors = [[deviation(points[beta][k]) for beta in betas] for k in (0, 1)]
        axes.errorbar(
            x,
            y,
            errors[1],
            errors[0],
            color=PALETTE[i],
            marker="os"[i],
            markersize=5,
            linewidth=1.4,
            elinewidth=0.9,
            label=name,
        )
        if i == 0:
            for k, (beta, at) in enumerate(zip(betas, zip(x, y, strict=True), strict=True)):
                # The smallest beta lies close to the next: beyond its error bar.
                shift, side = ((16, -3), "left") if k == 0 else ((-6, 7), "right")
                if k == len(betas) - 1:
                    shift, side = (8, -2), "left"
                where: dict[str, Any] = {"xytext": shift, "textcoords": "offset points", "ha": side}
                label = f"beta {beta:g}" if k == len(betas) - 1 else f"{beta:g}"
                axes.annotate(label, at, color=INK, fontsize=9, path_effects=HALO, **where)
    reference_line(axes, *ceiling)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    tidy(
        axes,
        "rate under the best prior fitted to the code (bits/step)",
        "H(r) - distortion (bits/step)",
    )
    axes.legend(loc="lower right", frameon=False, labelcolor=INK)
    return figure
