"""Penalties: what else a code may cost, in nats, beside its distortion and its rate.

A penalty is a function from a code to nats per example and step, `(B, T)`; it is added to the loss
times its weight, and logged under its name. One that is written here can be named in a config:
`--model.penalties.hidden_spikes 0.01`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vdib.encoder import SpikeCode
from vdib.precision import single

Penalty = Callable[[SpikeCode], Tensor]


def hidden_spikes(code: SpikeCode) -> Tensor:
    """One nat per spike of a hidden layer, `(B, T)`; the weight says how many."""
    counts = [single(spikes).flatten(2).sum(2) for spikes in code.hidden]
    return torch.stack(counts).sum(0) if counts else code.spikes.new_zeros(code.spikes.shape[:2])


def readout_spikes(code: SpikeCode) -> Tensor:
    """One nat per spike of the readout, `(M B, T)`."""
    return code.spikes.sum(2)


PENALTIES: dict[str, Penalty] = {"hidden_spikes": hidden_spikes, "readout_spikes": readout_spikes}
