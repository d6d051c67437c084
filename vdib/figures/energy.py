"""What a network costs, part by part, beside an ordinary one of the same weights."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from vdib.figures.style import ASH, GREY, INK, PALETTE, tidy, write


def energy(joules: Mapping[str, Mapping[str, float]]) -> Figure:
    """A panel a cost model, a bar a network; the spiking one's is made of its parts.

    Args:
        joules: by cost model and part, `total` and `dense, ...` among the parts.
    """
    figure = Figure((8, 1.5 * len(joules) + 0.7), layout="constrained")
    panels = figure.subplots(len(joules), squeeze=False)[:, 0]
    for axes, (model, values) in zip(panels, joules.items(), strict=True):
        parts = {k: v for k, v in values.items() if k != "total" and not k.startswith("dense, ")}
        left = 0.0
        for i, (name, value) in enumerate(parts.items()):
            colour = ASH if name == "decoder" else PALETTE[i % 3]
            axes.barh(0, 1e6 * value, left=1e6 * left, color=colour, label=name, height=0.65)
            left += value
        dense = {k.removeprefix("dense, "): v for k, v in values.items() if k.startswith("dense, ")}
        for i, value in enumerate(dense.values(), 1):
            axes.barh(i, 1e6 * value, color=GREY, height=0.65)
        bars = [values["total"], *dense.values()]
        names = ["spikes", *(f"dense, {name}" for name in dense)]
        for i, value in enumerate(bars):
            write(axes, 1e6 * value, i, f" {1e6 * value:,.3g} µJ", ha="left", fontsize=8)
        axes.set_yticks(range(len(bars)), names)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlim(0, 1.2e6 * max(bars, default=0) or 1)
        tidy(axes, "", title=model)
    panels[-1].set_xlabel("µJ an example", color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=6, frameon=False, labelcolor=INK
    )
    return figure
