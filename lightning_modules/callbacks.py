"""What a run leaves behind: figures, for people who would rather look than read."""

import csv
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_only

from vdib.figures.curves import rate_distortion
from vdib.figures.style import save
from vdib.lightning_modules.vdib_module import VDIBModule


class Metrics(CSVLogger):
    """Lightning's `metrics.csv`, which a resumed run continues rather than starts again."""

    @rank_zero_only
    def go_on(self, step: int) -> None:
        """Keep the rows of the steps before this one: the others are about to be logged again."""
        path = Path(self.log_dir, "metrics.csv")
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) < step]
            self.experiment.metrics = rows  # its construction deletes the file
            self.save()


class Checkpoint(ModelCheckpoint):
    """The best epoch by a monitored value, or the latest, in a folder that may be moved.

    Args:
        folder: of the checkpoints.
        filename: without `.ckpt`.
        monitor: what is to be lowest; none for the latest epoch.
    """

    def __init__(self, folder: Path, filename: str, monitor: str | None = None) -> None:
        super().__init__(folder, filename, monitor, enable_version_counter=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = Path(self.dirpath or "", f"{self.filename}.ckpt")
        if not here.is_file():  # begun from another run's checkpoint
            return
        score = state_dict["best_model_score"]
        best = {} if score is None else {str(here): score}
        paths = {"best_model_path": str(here), "dirpath": self.dirpath, "best_k_models": best}
        kth = {"kth_best_model_path": str(here) if best else ""}
        super().load_state_dict({**state_dict, **paths, **kth})


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
                bits, nats, epochs, constant, module.PLANE[2]
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
