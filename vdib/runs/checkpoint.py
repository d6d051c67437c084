"""A checkpoint's file: read without running what is in it, and given to a model.

Nothing here knows Lightning.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdib.runs.command import UserError
from vdib.version import __version__

if TYPE_CHECKING:  # takes seconds to import
    from torch import nn

VERSION = "vdib_version"
"""Under which a checkpoint holds the version that wrote it."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, and no code.

    Raises:
        UserError: it is missing, damaged, or no checkpoint at all.
    """
    import torch

    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        weights = content["state_dict"]
        assert all(isinstance(weight, torch.Tensor) for weight in weights.values())
    except Exception as error:  # whatever the bytes of a wrong file happen to mean
        raise UserError(f"{path} is damaged, or no checkpoint") from error
    return content


def take_weights(module: "nn.Module", state: Mapping[str, Any], path: Path) -> None:
    """Give a module the weights that `read_checkpoint(path)` returned.

    Raises:
        UserError: they are another model's.
    """
    try:
        module.load_state_dict(state["state_dict"])
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        beside = of_version(state.get(VERSION, "?"))
        raise UserError(f"{path} is of another model: {reason}{beside}") from error


def of_version(version: str) -> str:
    """Words for complaints: which version wrote something, empty where it was this one."""
    return "" if version == __version__ else f" (written by vdib {version}; this is {__version__})"
