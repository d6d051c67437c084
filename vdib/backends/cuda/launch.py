"""The layers of `vdib.backends.fused` handed to the kernels in Triton.

Importing this imports Triton. Legend: B batch, T steps, K filters, N neurons (any number of axes).
"""

import math
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdib.backends import kinds
from vdib.backends.cuda import layer_kernels as triton_kernels
from vdib.backends.describe import LayerDescription
from vdib.noise import Draws, LayerNoise

NEURON_BLOCK = 128
"""Neurons of a block, one for each thread of four warps; a guess, not measured."""


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Triton launches on the current device, whatever that of its arguments."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def probe(device: torch.device) -> None:
    """Raises whatever keeps Triton from running on `device`."""
    out = torch.zeros(1, device=device)
    with _current(device):
        triton_kernels.one[(1,)](out)
    assert out.item() == 1


@lru_cache
def _arguments(
    layer: LayerDescription, device: torch.device
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the two passes are told of a layer's parts; arrays on the device, numbers in float32."""

    def named(names: str, *values: Any) -> dict[str, Any]:
        arguments = dict(zip(names.split(), values, strict=True))
        for name, value in arguments.items():
            if isinstance(value, np.ndarray):
                arguments[name] = torch.as_tensor(value, device=device)
            elif isinstance(value, float):
                arguments[name] = float(np.float32(value))
        return arguments

    filter, feedback, fire = layer.filter, layer.feedback, layer.fire
    nu = feedback.nu
    both = named("FILTER FEEDBACK nu num_lags", filter.kind, feedback.kind, nu, len(nu))
    down = named(
        "decays tap_lag tap_filter tap_weight num_taps", *filter.forward, len(filter.taps)
    ) | named("FIRE temperature", fire.kind, float(fire.temperature))
    slope = fire.slope
    back = named("decays tap_lag tap_first tap_weight", *filter.backward) | named(
        "SLOPE slope_p slope_q", slope.kind, float(slope.p), float(slope.q)
    )
    return down | both, back | both


def launch(kernel: Any, v: Tensor, /, **arguments: Any) -> None:
    """A program for each row of the batch and block of the neurons of `v`, `(B, T, *N)`."""
    batch, num_steps, *neurons = v.shape
    size = math.prod(neurons)
    with _current(v.device):
        kernel[(batch, math.ceil(size / NEURON_BLOCK))](
            num_steps=num_steps,
            size=size,
            v=v,
            **arguments,
            NEURON_BLOCK=NEURON_BLOCK,
            num_warps=NEURON_BLOCK // 32,
            num_stages=1,
            enable_fp_fusion=False,
        )


def per_neuron(x: Tensor, v: Tensor) -> Tensor:
    return x.detach().expand(v.shape[2:]).contiguous()


def forward(
    currents: Tensor,  # B T K *N
    shift: Tensor,  # broadcastable to *N
    width: float,
    gain: Tensor,  # broadcastable to *N
    layer: LayerDescription,
    noise: Draws | None,
    spikes: Tensor | None,  # B T *N
    v: Tensor,  # B T *N
) -> None:
    """Fill `spikes` and `v`, with shapes as in `vdib.backends.fused`."""
    kind, drawn = kinds.NO_NOISE, v
    if isinstance(noise, LayerNoise):
        kind, drawn = kinds.ADDRESSED, noise.keys.contiguous()
    elif isinstance(noise, Tensor):
        kind, drawn = kinds.GIVEN, noise.float().contiguous()
    launch(
        triton_kernels.forward,
        v,
        num_filters=currents.shape[2],
        currents=currents.detach().contiguous(),
        shift=per_neuron(shift, v),
        steepness=1 / width,
        gain=per_neuron(gain, v),
        NOISE=kind,
        noise=drawn,
        spikes=v if spikes is None else spikes,
        **_arguments(layer, v.device)[0],
    )


def backward(
    grad_spikes: Tensor | None,  # B T *N
    grad_v: Tensor | None,  # B T *N
    width: float,
    gain: Tensor,  # broadcastable to *N
    layer: LayerDescription,
    spikes: Tensor | None,  # B T *N, None where v > 0 says the same
    v: Tensor,  # B T *N
    grad_currents: Tensor,  # B T K *N
    grad_shift: Tensor,  # B *N
    grad_gain: Tensor,  # B *N
) -> None:
    """Fill the last three, with shapes as in `vdib.backends.fused`."""
    arguments = _arguments(layer, v.device)[1]
    read_again = arguments["FEEDBACK"] == kinds.FINITE or arguments["FILTER"] == kinds.BANK
    taps_follow = arguments["FILTER"] == kinds.TAPPED_PAIR
    launch(
        triton_kernels.backward,
        v,
        num_filters=grad_currents.shape[2],
        SPIKES_REACHED=grad_spikes is not None,
        grad_spikes=v if grad_spikes is None else grad_spikes.contiguous(),
        V_REACHED=grad_v is not None,
        grad_v=v if grad_v is None else grad_v.contiguous(),
        steepness=1 / width,
        gain=per_neuron(gain, v),
        SPIKES_KEPT=spikes is not None,
        spikes=v if spikes is None else spikes,
        total=torch.empty_like(v, dtype=torch.float32) if read_again else v,
        tapped=torch.empty_like(v, dtype=torch.float32) if taps_follow else v,
        grad_currents=grad_currents,
        grad_shift=grad_shift,
        grad_gain=grad_gain,
        **arguments,
    )
