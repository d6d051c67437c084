"""A trained run that images can be drawn from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vdib.drawing import check_drawable
from vdib.lightning_modules.data_module import DataModule
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.model import VDIB
from vdib.runs.cli import prepare
from vdib.runs.command import UserError
from vdib.runs.exported import run_at
from vdib.runs.loading import rebuild, take_best
from vdib.signal import Image


@dataclass(frozen=True)
class Drawable:
    """A run's model with its best weights, and its data.

    Attributes:
        folder: of the run.
        cli: the run's model and data, the latter not read yet.
    """

    folder: Path
    cli: Any

    @property
    def model(self) -> VDIB:
        vdib: VDIB = self.cli.model.vdib
        return vdib

    @property
    def data(self) -> DataModule[Any]:
        data: DataModule[Any] = self.cli.datamodule
        return data

    def find_data(self) -> None:
        """Find or make the run's data.

        Raises:
            UserError: they are missing (one line).
        """
        prepare(self.cli)

    def images(self, means: Tensor) -> NDArray[np.floating]:
        """Means `(..., O)` of what was decoded as images `(..., H, W)`."""
        signal = self.cli.model.signal
        images: NDArray[np.floating] = means.view(*means.shape[:-1], *signal.shape).float().numpy()
        return images


def drawable(folder: Path) -> Drawable:
    """A run that images can be drawn from.

    Raises:
        UserError: no finished run, or not one of images; or its model says nothing about which
            codes there are (one line).
    """
    run = run_at(folder)
    cli = rebuild(run)
    signal = cli.datamodule.signal
    if not isinstance(cli.model, NaturalisationModule) or not isinstance(signal, Image):
        raise UserError(f"{folder} makes {signal.noun}, and no images")
    try:
        check_drawable(cli.model.vdib)
    except ValueError as error:
        raise UserError(f"{folder}: {error}") from error
    take_best(cli, run)
    return Drawable(run.folder, cli)
