"""What numbers a run computes with: bfloat16 products where the hardware is made for them."""

import torch
from torch import Tensor

BFLOAT16 = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
"""Questions to `torch.cpu`, which some versions do not know."""


def precision_for(accelerator: object) -> tuple[str, str]:
    """What to train in, in Lightning's words, and why.

    By what the hardware can do, never by timing it: a machine gives the same answer every time.

    Args:
        accelerator: as `Trainer` takes it.

    Returns:
        `bf16-mixed` or `32-true`, and the reason.
    """
    if accelerator in ("auto", "gpu"):
        found = torch.accelerator.current_accelerator(check_available=True)
        accelerator = found.type if found else "cpu"
    if accelerator == "cuda":
        where, able = "GPU", torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator == "cpu":
        where, able = "CPU", any(getattr(torch.cpu, name, bool)() for name in BFLOAT16)
    else:
        return "32-true", "bfloat16 is for CPUs and CUDA"
    if able:
        return "bf16-mixed", f"this {where} multiplies bfloat16 faster"
    return "32-true", f"no bfloat16 arithmetic in this {where}"


def single(x: Tensor) -> Tensor:
    """Half precision to single: for sums, as mixed precision is for products only."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
