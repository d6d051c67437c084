"""Checkpoints: when they are written, and that they are whole."""

import io
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins import TorchCheckpointIO

from vdib.files import replacing
from vdib.runs.folder import VERSION
from vdib.version import __version__


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint in the place of the old one only once it has reached the disk.

    Lightning's own goes through the folder for temporary files: from another file system it is
    copied, and a disk that fills up meanwhile takes the old checkpoint along.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        # In memory first: to a full disk PyTorch's writer answers with an error of its own.
        content = io.BytesIO()
        torch.save({**checkpoint, VERSION: __version__}, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(content.getbuffer())


class Checkpoint(ModelCheckpoint):
    """The best epoch by a monitored value, or the latest, in a folder that may be moved.

    Args:
        path: of the checkpoint.
        monitor: what is to be lowest; none for the latest epoch.
    """

    def __init__(self, path: Path, monitor: str | None = None) -> None:
        super().__init__(path.parent, path.stem, monitor, enable_version_counter=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # An encoder that is yet to lose weights is not the one that was asked for.
        if self.monitor is None or getattr(pl_module, "may_be_best", True):
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = Path(self.dirpath or "", f"{self.filename}.ckpt")
        if not here.is_file():  # begun from another run's checkpoint
            return
        score = state_dict["best_model_score"]
        best = {} if score is None else {str(here): score}
        paths = {"best_model_path": str(here), "dirpath": self.dirpath, "best_k_models": best}
        kth = {"kth_best_model_path": str(here) if best else ""}
        super().load_state_dict({**state_dict, **paths, **kth})
