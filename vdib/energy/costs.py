"""What operations cost: picojoules, by the name of a model.

`45nm`, `45nm_int8` and `45nm_memory` are of a chip in 45 nm at 0.9 V, by Horowitz, "Computing's
energy problem (and what we can do about it)", ISSCC 2014,
https://doi.org/10.1109/ISSCC.2014.6757323: a 32-bit floating-point addition takes 0.9 pJ and a
multiplication 3.7, an 8-bit integer multiplication 0.2 and the 32-bit addition behind it 0.1. The
first two are arithmetic only, as most comparisons of spiking networks are; the third also has every
byte of traffic read or written in 1 MB of static memory, 100 pJ for 8 bytes.

`loihi` is per event, by Davies et al., "Loihi: A Neuromorphic Manycore Processor with On-Chip
Learning", IEEE Micro 38, 2018, https://doi.org/10.1109/MM.2018.112130359, table 2, simulated at
0.75 V: 23.6 pJ at least for a synaptic operation, 81 pJ for the update of an active neuron (of an
inactive one 52; all are taken for active), 1.7 pJ for a spike within its tile. Hops between tiles
depend on where neurons lie and are left out, and so is what the chip takes when it does nothing.
The chip does not have all kinds of our neurons. What the decoder does, and multiplications, are
priced as in `45nm`: a processor stands beside the chip.

>>> round(COSTS["45nm"].picojoules(Work(additions=1000, macs=10)).total, 1)
946.0
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vdib.energy.counts import Work
from vdib.runs.command import UserError
from vdib.runs.safe_yaml import check_yaml


@dataclass(frozen=True)
class Picojoules:
    """What a part of the network takes.

    Attributes:
        operations: synaptic ones.
        updates: of neurons.
        spikes: on their way.
        memory: what is read and written.
    """

    operations: float
    updates: float
    spikes: float
    memory: float

    @property
    def total(self) -> float:
        return self.operations + self.updates + self.spikes + self.memory


@dataclass(frozen=True)
class Costs:
    """A cost model.

    Args:
        addition: pJ.
        multiplication: pJ.
        synop: pJ of adding a weight for a spike; an addition by default.
        update: pJ of a neuron's update; its multiplications and additions by default.
        spike: pJ of bringing a spike to where it is felt.
        byte: pJ of reading or writing one.
        source: where the numbers are from.
    """

    addition: float
    multiplication: float
    synop: float | None = None
    update: float | None = None
    spike: float = 0.0
    byte: float = 0.0
    source: str = ""

    def picojoules(self, work: Work, on_chip: bool = True) -> Picojoules:
        """What some work takes.

        Args:
            work: of an encoder's layer, a decoder, or an ordinary network.
            on_chip: whether it is done where a spike's operation has its own price.
        """
        synop = self.addition if self.synop is None or not on_chip else self.synop
        arithmetic = (
            self.addition * work.update_additions
            + self.multiplication * work.update_multiplications
        )
        return Picojoules(
            synop * work.additions + (synop + self.multiplication) * work.macs,
            arithmetic if self.update is None else self.update * work.updates,
            self.spike * work.spikes,
            self.byte * work.bytes,
        )


_HOROWITZ = "Horowitz, ISSCC 2014"
COSTS: Mapping[str, Costs] = {
    "45nm": Costs(0.9, 3.7, source=f"{_HOROWITZ}, 32-bit floating point, arithmetic only"),
    "45nm_int8": Costs(0.1, 0.2, source=f"{_HOROWITZ}, 8-bit integers into 32-bit sums"),
    "45nm_memory": Costs(0.9, 3.7, byte=12.5, source=f"{_HOROWITZ}, with 1 MB of static memory"),
    "loihi": Costs(0.9, 3.7, 23.6, 81.0, 1.7, source="Davies et al., IEEE Micro 2018, table 2"),
}


def read_costs(path: Path) -> dict[str, Costs]:
    """Cost models of a YAML or JSON file: by name, with the settings of `Costs`.

        my_chip: {addition: 0.1, multiplication: 0.4, synop: 2.0, update: 5.0}

    Raises:
        UserError: a file of something else (one line).
    """
    import yaml  # type: ignore[import-untyped]

    try:
        text = path.read_text("utf-8")
        check_yaml(text)
        content = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: no YAML or JSON") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: expected cost models by name, my_chip: {{addition: 0.1, ...}}")
    return {str(name): _costs(f"{path}: {name}", settings) for name, settings in content.items()}


def _costs(where: str, settings: Any) -> Costs:
    known = [field.name for field in fields(Costs)]
    if not isinstance(settings, dict):
        raise UserError(f"{where}: got {settings!r}, expected some of {', '.join(known)}")
    for name, value in settings.items():
        if name not in known:
            raise UserError(f"{where}: got {name!r}, expected some of {', '.join(known)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name != "source" and not (number and 0 <= value < math.inf):
            raise UserError(f"{where}: {name} is {value!r}, expected pJ, 0 or more")
    if missing := {"addition", "multiplication"} - settings.keys():
        raise UserError(f"{where}: no {min(missing)}")
    return Costs(**settings)
