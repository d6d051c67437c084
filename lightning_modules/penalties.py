"""The penalties of a model, from their names and weights."""

from collections.abc import Mapping
from typing import Any

import torch

from vdib import penalty
from vdib.lightning_modules.choices import PENALTIES
from vdib.lightning_modules.choosing import chosen
from vdib.penalty import Penalty
from vdib.spike_code import SpikeCode


def penalties_of(
    settings: Mapping[str, Any], num_hidden: int
) -> tuple[dict[str, tuple[Penalty, float]], bool]:
    """The penalties that are asked for, with their weights, and whether one needs hidden v.

    Args:
        settings: each with its weight, or with that and settings of its own.
        num_hidden: layers that there are.

    Raises:
        ValueError: no such penalty or setting, a setting out of its range, or no weight.
    """
    made = {}
    layers = (torch.zeros(1, 1, 1),) * num_hidden
    silent = SpikeCode(torch.zeros(1, 1, 1), None, layers, hidden_v=layers)
    for name, value in settings.items():
        own = dict(value) if isinstance(value, Mapping) else {"weight": value}
        weight = own.pop("weight", None)
        part = chosen("penalties", name, PENALTIES, own)
        if not isinstance(weight, int | float) or isinstance(weight, bool):
            raise ValueError(f"penalties: the weight of {name} is {weight!r}, expected a number")
        part(silent)  # which checks its settings
        made[name] = part, float(weight)
    return made, any(PENALTIES[name].part in penalty.NEED_V for name in made)
