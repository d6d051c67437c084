"""What the labels that examples are taken for come to: confusions, and how sure is how right.

Legend: R decisions, O classes, M bins.
"""

import csv
import io
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vdib.figures.calibration import calibration
from vdib.figures.confusion import confusion
from vdib.metrics import calibration_error, confusions, reliability
from vdib.signal import Label

MOST_CLASSES = 100
"""Of more classes than this no confusions are kept: the words of a text would be millions."""


class Verdicts:
    """Sums over decisions, of any number of batches and processes.

    Args:
        signal: the labels.

    Attributes:
        counts: decisions (columns) by class (rows), `(O, O)`; None of more than `MOST_CLASSES`.
        bins: `(M, 3)`, as `vdib.metrics.reliability` has them.
    """

    def __init__(self, signal: Label) -> None:
        self.signal = signal
        few = signal.num_classes <= MOST_CLASSES
        nothing = torch.zeros(0, dtype=torch.int64)
        self.counts = confusions(nothing, nothing, signal.num_classes) if few else None
        self.bins = reliability(torch.zeros(0), nothing)

    def add(self, label: Tensor, probability: Tensor, target: Tensor) -> None:
        """Count what was decided, its probability and the truth, `(R,)` each."""
        self.bins = self.bins.to(probability.device)
        self.bins = self.bins + reliability(probability, label == target)
        if self.counts is not None:
            self.counts = self.counts.to(label.device)
            self.counts = self.counts + confusions(label, target, self.signal.num_classes)

    def reduce(self, strategy: Any, device: torch.device) -> None:
        """Add up those of all processes."""
        self.bins = strategy.reduce(self.bins.to(device), reduce_op="sum").cpu()
        if self.counts is not None:
            self.counts = strategy.reduce(self.counts.to(device), reduce_op="sum").cpu()

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return calibration_error(self.bins)

    def tables(self) -> dict[str, str]:
        """`confusion` and `calibration`, as CSV.

        *confusion*: counts of decisions, a column each, of the examples of a class, a row each.
        *calibration*: bins of the decision's probability: its ends, how many decisions there are,
        their mean probability, and which share of them is right.
        """
        count, confidence, right = self.bins.unbind(1)
        edges = torch.linspace(0, 1, len(count) + 1).tolist()
        rows = [
            (f"{low:.4f}", f"{high:.4f}", int(n), f"{sure / n:.4f}", f"{good / n:.4f}")
            for low, high, n, sure, good in zip(
                edges[:-1], edges[1:], count.tolist(), confidence.tolist(), right.tolist(),
                strict=True,
            )
            if n
        ]  # fmt: skip
        head = ("from", "to", "decisions", "mean_probability", "share_right")
        found = {"calibration": _csv([head, *rows])}
        if self.counts is not None:
            names = [self.signal.name(label) for label in range(self.signal.num_classes)]
            each = zip(names, self.counts.tolist(), strict=True)
            found["confusion"] = _csv([("class", *names), *((name, *row) for name, row in each)])
        return found

    def figures(self) -> dict[str, Figure]:
        """The same, drawn."""
        found = {"calibration": calibration(self.bins)}
        if self.counts is not None:
            found["confusion"] = confusion(self.counts, self.signal.names)
        return found


def _csv(rows: list[tuple[Any, ...]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
