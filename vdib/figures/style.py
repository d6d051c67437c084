"""What all figures share: colours, axes, and how they are saved.

Figures are built on the object interface, never on pyplot: nothing is registered globally, so
nothing leaks in a long run, and no display is needed.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from vdib.files import replacing

Array = torch.Tensor | ArrayLike

# Ten colours told apart with any colour vision: "Accessible Color Sequences for Data
# Visualization", Petroff, 2021, https://arxiv.org/abs/2107.02270
BLUE, YELLOW, RED, GREY, PURPLE = "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"
BROWN, ORANGE, TAN, ASH, CYAN = "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"
PALETTE = (BLUE, YELLOW, RED, GREY, PURPLE, BROWN, ORANGE, TAN, ASH, CYAN)
LAYERS = {"input": BLUE, "hidden": ORANGE, "readout": PURPLE}
INK, FAINT = "#303030", "#757575"
HALO = [withStroke(linewidth=3, foreground="white")]


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write `figure` as a PNG of 120 dots per inch; a folder that is missing is made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def to_numpy(values: Array, shape: str) -> NDArray[np.float64]:
    """The values in double precision, off the graph and the device; `shape` names its axes."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != len(shape.split()):
        raise ValueError(f"expected shape ({', '.join(shape.split())}), got {array.shape}")
    return array


def same_length(**arrays: NDArray[Any] | None) -> None:
    """Raise a `ValueError` unless all are as long, and not empty."""
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(f"expected one length for all, at least 1, got {lengths}")


def single_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one pair of axes; sizes in inches."""
    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots()


def tidy(axes: Axes, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """The house's axes: no frame, quiet ticks, the title on the left."""
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK)


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """A word at a place, centred unless told otherwise."""
    axes.text(x, y, text, **{"ha": "center", "va": "center_baseline", "color": INK} | style)


def reference_line(axes: Axes, name: str, level: float) -> None:
    """A dashed horizontal line with its name."""
    axes.axhline(level, color=FAINT, linewidth=1, linestyle="--", zorder=0)
    across = axes.get_yaxis_transform()  # x as a fraction of the axes, y in data
    style = {"ha": "right", "va": "bottom", "color": FAINT, "fontsize": 9, "path_effects": HALO}
    write(axes, 0.99, level, name, transform=across, **style)
