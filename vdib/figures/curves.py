"""Curves of training: tensors in, `matplotlib.figure.Figure` out.

Shapes: `E` epochs (or any other positions along a curve), `S` seeds.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vdib.figures.style import (
    HALO,
    INK,
    PALETTE,
    Array,
    reference_line,
    same_length,
    single_axes,
    tidy,
    to_numpy,
)


def rate_distortion(
    rate_bits: Array,
    distortion_nats: Array,
    epochs: Array,
    constant: tuple[str, float] | None = None,
    per: str = "sample",
    cost: str = "rate",
) -> Figure:
    """The path of the epochs in the rate-distortion plane, on validation data.

    `rate_bits` (E,) in bits and `distortion_nats` (E,) in nats, `per` sample or step; `epochs`
    (E,); `constant`, a name and nats, is what the best answer without a code costs;
    `cost` is what the bits are of, a `rate` or a `code_length`.
    """
    rate, distortion = to_numpy(rate_bits, "E"), to_numpy(distortion_nats, "E")
    epoch = to_numpy(epochs, "E")
    same_length(rate_bits=rate, distortion_nats=distortion, epochs=epoch)
    figure, axes = single_axes(6, 4)
    tidy(axes, f"{cost.replace('_', ' ')} (bits/{per})", f"distortion (nats/{per})")
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
        reference_line(axes, *constant)
    bar = figure.colorbar(points, label="epoch", ticks=MaxNLocator(6, integer=True))
    bar.outline.set_visible(False)
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
    figure, axes = single_axes(7, 4)
    tidy(axes, xlabel, ylabel)
    for i, (name, (positions, values)) in enumerate(curves.items()):
        x, y = to_numpy(positions, "E"), to_numpy(values, "S E")
        same_length(**{f"x of {name!r}": x, f"y of {name!r}, transposed": y.T})
        mean, colour, dashes = y.mean(axis=0), PALETTE[i % 10], ("-", "--")[i // 10 % 2]
        axes.plot(x, mean, dashes, color=colour, linewidth=1.8, label=name)
        if len(y) > 1:
            spread = y.std(axis=0, ddof=1)
            axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
    for name, level in reference.items():
        reference_line(axes, name, level)
    figure.legend(loc="outside right upper", frameon=False, labelcolor=INK)
    return figure
