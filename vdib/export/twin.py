"""The deterministic twin of a stochastic encoder: its readout fires wherever v > 0.

That is where a spike is likelier than none. Other tools have no threshold that is drawn; what the
change costs is measured, not assumed.
"""

from copy import deepcopy
from typing import Any

from pytorch_lightning import Trainer

from vdib.dynamics.firing import Threshold
from vdib.encoder import SpikingEncoder
from vdib.neurons.spike_response import SRM
from vdib.runs.cli import VDIBCLI

COMPARED = (
    *("judge_accuracy", "class_accuracy", "symbol_accuracy", "ssim", "distortion_nats"),
    *("nats_per_step", "squared_error", "mse", "spikes_per_sample", "spikes_per_step"),
)
"""What is measured of both, where a run measures it."""


def twin(encoder: SpikingEncoder) -> SpikingEncoder:
    """A copy in evaluation whose readout is deterministic; of a deterministic one, the same.

    Raises:
        ValueError: a stochastic readout of neurons of one's own.
    """
    other = deepcopy(encoder).eval()
    if other.readout.stochastic:
        if not isinstance(other.readout, SRM):
            raise ValueError(f"no hard threshold is known for {type(other.readout).__name__}")
        other.readout.fire = Threshold()
    return other


def drift(cli: VDIBCLI) -> dict[str, dict[str, float]]:
    """Figures of the test split: of the model, of its twin, and what it loses by it.

    Args:
        cli: a run's model with its best weights, and its data.
    """
    trainer: Trainer = cli.evaluator()
    model: Any = cli.model
    stochastic = measured(trainer, cli)
    own = model.vdib.encoder
    model.vdib.encoder = twin(own)
    try:
        hard = measured(trainer, cli)
    finally:
        model.vdib.encoder = own
    return {
        name: {"model": stochastic[name], "twin": hard[name], "drift": hard[name] - value}
        for name, value in stochastic.items()
        if name in hard
    }


def measured(trainer: Trainer, cli: VDIBCLI) -> dict[str, float]:
    """Those of `COMPARED` that a run measures on its test split."""
    (figures,) = trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
    by_name = {name.removeprefix("test/"): value for name, value in figures.items()}
    return {name: float(by_name[name]) for name in COMPARED if name in by_name}
