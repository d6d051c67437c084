"""What a run leaves behind: figures, for people who would rather look than read."""

import csv
import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_only

from vdib.figures.curves import rate_distortion
from vdib.figures.style import save
from vdib.files import replacing
from vdib.lightning_modules.vdib_module import VDIBModule


class _Rows(ExperimentWriter):
    """Lightning's writer, which a kill in the middle of a new header leaves with the old one."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        with open(self.metrics_file_path, newline="", encoding="utf-8") as file:
            _write(Path(self.metrics_file_path), fieldnames, list(csv.DictReader(file)))


def _write(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, names)
    table.writeheader()
    table.writerows(rows)
    with replacing(path) as whole:
        whole.write(text.getvalue().encode())


class Metrics(CSVLogger):
    """Lightning's `metrics.csv`, which a resumed run continues rather than starts again."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = _Rows(self.log_dir)
        return self._experiment

    @rank_zero_only
    def go_on(self, step: int) -> None:
        """Keep the rows of the steps before this one: the others are about to be logged again."""
        path = Path(self.log_dir, "metrics.csv")
        if not path.is_file():
            return
        with path.open(newline="", encoding="utf-8") as file:
            content = file.read()
        # The last row may be torn, where the process was killed.
        reader = csv.DictReader(io.StringIO(content[: content.rfind("\n") + 1], newline=""))
        rows = [row for row in reader if int(row["step"]) < step]
        writer = self.experiment  # its construction deletes the file
        writer.metrics_keys = list(reader.fieldnames or [])
        _write(path, writer.metrics_keys, rows)


class Figures(Callback):
    """Writes PNGs every few epochs and at the end, and hands them to W&B and TensorBoard.

    What the module draws, and `rate_distortion.png`: the epochs in the rate-distortion plane
    (validation).

    During training they show validation examples and lie in `epoch_NNN/`; the final ones lie in the
    folder itself and show test examples under the best weights.

    Args:
        folder: where the figures go.
        every: epochs between figures; 0 writes the final ones only.
    """

    def __init__(self, folder: Path, every: int = 5) -> None:
        self.folder = folder
        self.every = every
        self.path: list[tuple[int, float, float]] = []  # epoch, rate in bits, distortion in nats

    def state_dict(self) -> dict[str, Any]:
        return {"path": self.path}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.path = [tuple(point) for point in state["path"]]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (
            trainer.sanity_checking
            or not trainer.is_global_zero
            or trainer.state.fn != TrainerFn.FITTING
        ):
            return
        seen = trainer.callback_metrics
        epoch = trainer.current_epoch + 1
        self.path = [point for point in self.path if point[0] < epoch]
        assert isinstance(pl_module, VDIBModule)
        bits, nats, _ = pl_module.PLANE
        bits = pl_module.cost_name(bits)
        if f"val/{bits}" in seen:  # real numbers, of an LSTM, have no length
            self.path.append((epoch, float(seen[f"val/{bits}"]), float(seen[f"val/{nats}"])))
        if self.every and epoch % self.every == 0:
            self._write(trainer, pl_module, "validation", self.folder / f"epoch_{epoch:03d}")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self._write(trainer, pl_module, "test", self.folder)

    @torch.no_grad()
    def _write(self, trainer: Trainer, module: LightningModule, split: Any, folder: Path) -> None:
        assert isinstance(module, VDIBModule)
        figures = module.figures(module.data.examples(split, 500).to(module.device))
        if self.path:
            epochs, bits, nats = (torch.tensor(column) for column in zip(*self.path, strict=True))
            constant = module.constant(module.data)
            figures["rate_distortion"] = rate_distortion(
                bits, nats, epochs, constant, module.PLANE[2], module.cost_name("rate")
            )
        for name, figure in figures.items():
            path = folder / f"{name}.png"
            save(figure, path)
            for logger in trainer.loggers:
                _log_image(logger, f"figures/{name}", path, trainer.global_step)


def _log_image(logger: Logger, name: str, path: Path, step: int) -> None:
    if isinstance(logger, WandbLogger):
        logger.log_image(name, [str(path)], step=step)
    elif isinstance(logger, TensorBoardLogger):
        import numpy as np
        from PIL import Image

        pixels = np.asarray(Image.open(path).convert("RGB"))
        logger.experiment.add_image(name, pixels, step, dataformats="HWC")
