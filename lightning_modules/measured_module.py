"""What of a `VDIB` model is measured, and the code's marginal.

Legend: B batch, T steps, N_y readout neurons.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule
from torch import Tensor

from vdib.lightning_modules.data_module import SpikeBatch
from vdib.model import VDIB
from vdib.neurons.layer import spiking
from vdib.objective import BITS_PER_NAT
from vdib.operations import operations
from vdib.pruning import Pruning
from vdib.sparse import Spikes
from vdib.spike_code import SpikeCode

DEAD = 1e-3
"""A neuron that fires less often, or stays silent less often, tells nothing."""


class MeasuredModule(LightningModule):
    """A module that holds a model and measures it; what, and what is drawn, says the experiment.

    Attributes:
        vdib: the model.
        rho: spikes per neuron and step of the independent prior.
        pruning: of the encoder's weights, if any.
        marginal: firing probabilities of the code, the mean over the validation data: per neuron,
            and per step but where every step is decoded.
        TABLE: what a run is summed up by: keys of its summary, and their words.
        PLANE: what of the validation figures are rate (bits) and distortion (nats), and per what;
            see `cost_name`.
    """

    vdib: VDIB
    rho: float
    pruning: Pruning | None = None
    marginal: Tensor
    TABLE: ClassVar[Mapping[str, str]]
    PLANE: ClassVar[tuple[str, str, str]] = ("rate_bits", "distortion_nats", "sample")

    @abstractmethod
    def evaluate(self, stage: str, batch: SpikeBatch) -> Tensor | None:
        """Measure a batch, log `{stage}/...` and return the code's logits `(B, T, N_y)`.

        Returns:
            None where the code is deterministic: it has no probabilities.
        """

    @abstractmethod
    def figures(self, batch: SpikeBatch) -> dict[str, Figure]:
        """What a run shows of some examples, by file name without `.png`."""

    @abstractmethod
    def constant(self, data: Any) -> tuple[str, float] | None:
        """What the best constant answer on the validation data is called, and costs in nats.

        Returns:
            None where the decoder's costs are not to be compared with it.
        """

    def cost_name(self, rate: str) -> str:
        """The key of what a code costs: a deterministic one has a length where others have a rate.

        Args:
            rate: the key of a rate under the training prior.
        """
        stochastic = self.vdib.encoder.readout.stochastic
        return rate if stochastic else rate.replace("rate", "code_length", 1)

    def tables(self) -> dict[str, str]:
        """What was tested, as CSV, by file name without `.csv`."""
        return {}

    def figure_under(self, prior: str) -> str:
        """The key of what a code costs under another prior than that of training.

        Args:
            prior: its name, as in `rate_bits_marginal` and `rate_bits_marginal_per_step`.
        """
        return self.cost_name(self.PLANE[0]).replace("_bits", f"_bits_{prior}", 1)

    def step_weights(self, num_steps: int) -> Tensor | None:
        """What each step's rate counts in the figures, `(T,)`; None where all count 1."""
        return None

    def costs_beside(self, stage: str, code: SpikeCode) -> dict[str, Tensor]:
        """What a code costs, in bits, under independent spikes of rho and under its marginal."""
        weights = self.step_weights(code.spikes.shape[1])
        priors = {"bernoulli": self.marginal.new_tensor(self.rho)}
        if stage != "val" and code.stochastic:  # it is being fitted on the validation data
            priors["marginal"] = self.marginal
        figures = {}
        for name, rates in priors.items():
            nats = code.cost(torch.logit(rates))
            nats = nats if weights is None else weights * nats
            figures[self.figure_under(name)] = nats.sum(1).mean() * BITS_PER_NAT
        return figures

    def settings(self) -> dict[str, float | str]:
        """What the summary says beside what was measured."""
        return {}

    def on_validation_epoch_start(self) -> None:
        self._probabilities = torch.zeros_like(self.marginal)
        self._count = self.marginal.new_zeros(())

    def validation_step(self, batch: SpikeBatch, batch_idx: int) -> None:
        logits = self.evaluate("val", batch)
        if logits is not None:
            self._probabilities += torch.sigmoid(logits).sum(0)
            self._count += len(batch.id)

    def on_validation_epoch_end(self) -> None:
        if not self.vdib.encoder.readout.stochastic:
            return  # no probabilities, no marginal
        reduce = self.trainer.strategy.reduce
        total = reduce(self._probabilities, reduce_op="sum")
        self.marginal = (total / reduce(self._count, reduce_op="sum")).clamp(1e-6, 1 - 1e-6)

    def dead_neurons(self) -> int | None:
        """Readout neurons that never fire in validation, or always.

        Those whose mean probability of a spike is below 0.001 at every step, or above 0.999.

        Returns:
            None where the code is deterministic.
        """
        if not self.vdib.encoder.readout.stochastic:
            return None
        silent = (self.marginal < DEAD).all(0)
        restless = (self.marginal > 1 - DEAD).all(0)
        return int((silent | restless).sum())

    def synops(self, x: Spikes, code: SpikeCode) -> dict[str, Tensor]:
        """Synaptic operations per example, and had nothing been pruned (`vdib.operations`)."""
        encoder = self.vdib.encoder
        found = {"synops": operations(encoder, x, code)}
        if self.pruning is not None:
            found["unpruned_synops"] = operations(encoder, x, code, pruned=False)
        return {name: count.float() for name, count in found.items()}

    def log_figures(self, stage: str, figures: Mapping[str, Tensor | float], count: int) -> None:
        """Means over the epoch of what `count` examples of a batch measured.

        What counts spikes is left out where a layer has none, but real numbers.
        """
        encoder = self.vdib.encoder
        counts = [] if spiking(encoder.readout) else ["spikes_", "readout_rate", "code_length"]
        if not all(map(spiking, (*encoder.layers, encoder.readout))):
            counts += ["hidden_"]
        figures = {k: v for k, v in figures.items() if not k.startswith(tuple(counts))}
        self.log_dict(
            {f"{stage}/{name}": value for name, value in figures.items()},
            # Over processes, Lightning takes the mean of these counts and rounds it down.
            batch_size=count * self.trainer.world_size,
            on_epoch=True,
            sync_dist=True,
        )

    def test_step(self, batch: SpikeBatch, batch_idx: int) -> None:
        self.evaluate("test", batch)
