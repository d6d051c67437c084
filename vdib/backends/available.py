"""Where there are kernels: by device, by type of numbers, and by what is installed."""

import warnings
from functools import lru_cache
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

from vdib.backends.cpu import launch as numba_launch
from vdib.backends.describe import NoKernel
from vdib.backends.settings import settings


@lru_cache
def numba_loads() -> bool:
    """Whether numba is there. Asking loads it, which not every command needs."""
    try:
        import numba
    except ImportError as error:  # numba refuses versions of NumPy that it does not know yet
        warnings.warn(f"layers run unfused, many times slower: {error}", stacklevel=2)
        return False
    return bool(numba)


@lru_cache
def triton_runs_on(device: torch.device) -> bool:
    """Whether Triton compiles for `device` and runs there. Asking loads it."""
    try:
        from vdib.backends.cuda import launch

        launch.probe(device)
    except ModuleNotFoundError:
        return False
    except Exception as error:  # of many types: no C compiler, a device too old or too new
        warnings.warn(f"layers run unfused on {device}: {error}", stacklevel=2)
        return False
    return True


def enabled() -> bool:
    """Whether kernels may be used now; `torch.compile` cannot look into them."""
    return settings().fused and not torch.compiler.is_compiling()


def _storable(x: Tensor) -> bool:
    return x.dtype in (torch.float32, torch.bfloat16) and x.numel() > 0


def on_cpu(x: Tensor) -> bool:
    """Whether `x` may go to the kernels that only CPUs have, which are all but the layers'."""
    return enabled() and x.device.type == "cpu" and _storable(x) and numba_loads()


def where(currents: Tensor, *parameters: Tensor) -> Literal["cpu", "cuda"]:
    """Whose kernels take a layer of such currents: numba's or Triton's.

    Raises:
        NoKernel: none for this device or these types; of half precision the kernels know currents,
            not parameters.
    """
    if _storable(currents) and all(x.dtype == torch.float32 for x in parameters):
        if currents.device.type in settings().triton:
            if triton_runs_on(currents.device):
                return "cuda"
        elif currents.device.type == "cpu" and numba_loads():
            return "cpu"
    types = {str(x.dtype) for x in (currents, *parameters)}
    raise NoKernel(f"none on {currents.device} for {tuple(currents.shape)} of {types}")


def launcher(currents: Tensor, *parameters: Tensor) -> ModuleType:
    """What launches a layer's kernels for such currents: `cpu.launch` or `cuda.launch`.

    Raises:
        NoKernel: none for this device or these types.
    """
    if where(currents, *parameters) == "cpu":
        return numba_launch
    from vdib.backends.cuda import launch as triton_launch

    return triton_launch
