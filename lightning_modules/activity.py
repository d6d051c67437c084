"""Layers that have fallen silent, or fire all the time, told while that can be mended."""

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from vdib.lightning_modules.data_module import SpikeBatch
from vdib.lightning_modules.vdib_module import VDIBModule
from vdib.noise import EVALUATION, Noise
from vdib.precision import single
from vdib.runs.command import tell

SILENT, RESTLESS = 1e-4, 0.8
"""Spikes per neuron and step, below and above which a layer has next to nothing to say."""
EXAMPLES = 32
LOOKS = (1, 10, 100)
"""Batches after which layers are looked at, beside the first of each epoch."""


class Activity(Callback):
    """Says once of each layer that is silent, or fires all the time, and what mends it.

    Means over neurons, steps and some examples of a batch, after 1, 10 and 100 batches and in each
    epoch.
    """

    def __init__(self) -> None:
        self.batches = 0
        self.told: set[str] = set()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: SpikeBatch,
        batch_idx: int,
    ) -> None:
        self.batches += 1
        if not trainer.is_global_zero or not (batch_idx == 0 or self.batches in LOOKS):
            return
        assert isinstance(pl_module, VDIBModule)
        for name, rate in rates(pl_module, batch).items():
            kind = "silent" if rate < SILENT else "restless" if rate > RESTLESS else ""
            if kind and name not in self.told:
                self.told.add(name)
                tell(
                    f"{name} is {kind} at step {trainer.global_step} ({rate:.1g} spikes per neuron "
                    f"and step): {remedy(pl_module, name == 'the readout', kind)}"
                )


@torch.no_grad()
def rates(module: VDIBModule, batch: SpikeBatch) -> dict[str, float]:
    """Spikes per neuron and step of each layer under the weights of now."""
    noise = Noise(module.seed, EVALUATION, batch.id[:EXAMPLES])
    code = module.vdib.encode(batch.spikes[:EXAMPLES], noise)
    hidden = {f"hidden layer {i}": spikes for i, spikes in enumerate(code.hidden, 1)}
    layers = {**hidden, "the readout": code.spikes}
    return {name: float(single(spikes).mean()) for name, spikes in layers.items()}


def remedy(module: VDIBModule, readout: bool, kind: str) -> str:
    """The setting that mends a layer.

    Args:
        module: with the settings of now.
        readout: whether the layer is the readout.
        kind: `silent` or `restless`.
    """
    if not module.calibrate:
        return "--model.calibrate true scales its weights"
    change = "a lower" if kind == "silent" else "a higher"
    if readout and module.vdib.encoder.readout.stochastic:
        return f"{change} --model.beta (now {module.vdib.beta:g}) makes spikes " + (
            "cheaper" if kind == "silent" else "dearer"
        )
    penalty = "readout_spikes" if readout else "hidden_spikes"
    if kind == "restless" or penalty in module.vdib.penalties:
        return f"{change} --model.penalties '{{{penalty}: 0.01}}'"
    return f"a lower --model.encoder_lr (now {module.encoder_lr:g})"
