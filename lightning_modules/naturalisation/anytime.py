"""How good a run is after how much of a recording: counts of a test epoch.

Legend: B batch, T steps, G looks, at 20 lengths of time or fewer.
"""

import csv
import io
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vdib.figures.anytime import anytime
from vdib.lightning_modules.data_module import SpikeBatch
from vdib.metrics import wilson_interval
from vdib.objective import distortion
from vdib.signal import Label, Signal
from vdib.spike_code import SpikeCode

LOOKS = 20
COLUMNS = ("seconds", "samples", "accuracy", "low", "high", "distortion_nats")


class AnyTime:
    """Decisions and distortions after growing numbers of steps.

    Args:
        num_steps: T.
        step_us: us a step.

    Attributes:
        looks: after how many steps, `(G,)` int64, the last one T.
        sums: of each look how many were judged right, their nats, and how many there were,
            `(G, 3)` float64.
    """

    def __init__(self, num_steps: int, step_us: int) -> None:
        every = -(-num_steps // LOOKS)
        self.looks = torch.arange(num_steps, 0, -every).flip(0)
        self.seconds = self.looks * step_us / 1e6
        self.sums = torch.zeros(len(self.looks), 3, dtype=torch.float64)
        self.judged = False

    def add(self, module: Any, batch: SpikeBatch, code: SpikeCode) -> None:
        """What a batch is taken for, by a module that judges images or tells labels."""
        for row, look in zip(self.sums, self.looks.tolist(), strict=True):
            at = torch.full((len(batch.id), 1), look, device=batch.id.device)
            decoded = module.vdib.decode(code, at)
            if isinstance(module.signal, Label):
                label: Tensor | None = decoded.probs[:, 0].argmax(-1)
            else:
                label = module.judge(decoded.mean.view(-1, *module.signal.shape))
            self.judged = label is not None
            right = torch.zeros(()) if label is None else (label == batch.label).sum()
            nats = distortion(decoded, batch.target).sum()
            row += torch.stack([right.double(), nats.double(), nats.new_tensor(len(at)).double()])

    def figures(self) -> dict[str, Tensor]:
        """For the summary: means over all looks, and the worst from half of the time on."""
        accuracy = self.sums[:, 0] / self.sums[:, 2]
        late = accuracy[2 * self.looks >= self.looks[-1]]
        return {"anytime_accuracy": accuracy.mean(), "late_accuracy": late.min()}

    def table(self) -> str:
        """The looks as CSV."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        for seconds, (right, nats, count) in zip(
            self.seconds.tolist(), self.sums.tolist(), strict=True
        ):
            ends = wilson_interval(round(right), round(count))
            shown = [right / count, *ends] if self.judged else [float("nan")] * 3
            cells = [f"{value:.4f}" for value in (*shown, nats / count)]
            table.writerow([f"{seconds:.4f}", round(count), *cells])
        return text.getvalue()

    def drawn(self, signal: Signal) -> dict[str, Figure]:
        """Accuracy against seconds, if anything was judged."""
        if not self.judged:
            return {}
        of = "class accuracy" if isinstance(signal, Label) else "judge accuracy"
        return {"anytime": anytime(self.seconds, {"": (self.sums[:, 0], self.sums[:, 2])}, of)}
