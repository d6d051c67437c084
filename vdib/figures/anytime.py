"""How good decisions are after how much of a recording.

G looks at growing lengths of time.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from vdib.figures.style import (
    PALETTE,
    Array,
    same_length,
    single_axes,
    tidy,
    to_numpy,
)
from vdib.metrics import wilson_interval


def anytime(
    seconds: Array,
    right: Mapping[str, tuple[Array, Array]],
    of: str = "accuracy",
) -> Figure:
    """Accuracy against seconds seen, with 95 % intervals (Wilson).

    Args:
        seconds: of each look, `(G,)`.
        right: of each way of looking how many were right, and of how many, `(G,)` each; a look of
            none is left out.
        of: what is accurate.

    Raises:
        ValueError: lengths that differ, or no looks.
    """
    x = to_numpy(seconds, "G")
    figure, axes = single_axes(5.4, 3.6)
    tidy(axes, "seconds seen", of)
    for (name, counts), colour in zip(right.items(), PALETTE, strict=False):
        good, trials = (to_numpy(column, "G") for column in counts)
        same_length(seconds=x, right=good, trials=trials)
        some = trials > 0
        pairs = zip(good[some], trials[some], strict=True)
        ends = np.array([wilson_interval(round(g), round(n)) for g, n in pairs])
        axes.fill_between(x[some], ends[:, 0], ends[:, 1], color=colour, alpha=0.2, linewidth=0)
        share = good[some] / trials[some]
        axes.plot(x[some], share, "o-", color=colour, linewidth=1.4, markersize=3, label=name)
    axes.set(xlim=(0, None), ylim=(0, 1.02))
    if len(right) > 1:
        axes.legend(frameon=False, loc="lower right")
    return figure
