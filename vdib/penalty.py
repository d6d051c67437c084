"""Penalties: what else a code may cost, in nats, beside its distortion and its rate.

A penalty is a function from a code to nats per example and step, `(B, T)`; it is added to the loss
times its weight, and logged under its name. One that has a line in `choices.PENALTIES` can be named
in a config: `--model.penalties.hidden_spikes 0.01`. What is known of a whole sequence only is due
in equal parts at every step.

Legend: B batch, M codes per input, T steps.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vdib.precision import single
from vdib.spike_code import SpikeCode

Penalty = Callable[[SpikeCode], Tensor]


def hidden_spikes(code: SpikeCode) -> Tensor:
    """One nat per spike of a hidden layer, `(B, T)`; the weight says how many."""
    counts = [single(spikes).flatten(2).sum(2) for spikes in code.hidden]
    return torch.stack(counts).sum(0) if counts else _nothing(code)


def readout_spikes(code: SpikeCode) -> Tensor:
    """One nat per spike of the readout, `(M B, T)`."""
    return code.spikes.sum(2)


def hidden_rate(
    code: SpikeCode, target: float | Sequence[float] = 0.05, only_above: bool = False
) -> Tensor:
    """How far each hidden layer's firing rate is from a target, `(B, T)`.

        sum over layers of (rate_l / target_l - 1)^2,    rate_l: mean over neurons and steps

    per example, so that a layer which is silent, or fires twice as often, costs one nat. With
    `only_above` the target is a ceiling: a rate below it costs nothing. Such a term is common in
    direct training; see Zenke & Vogels, "The Remarkable Robustness of Surrogate Gradient Learning
    for Instilling Complex Function in Spiking Neural Networks", 2021,
    https://doi.org/10.1162/neco_a_01367, who bound rates from below and above.

    Args:
        code: of whole sequences.
        target: spikes per neuron and step, above 0 and at most 1: of all layers, or a list, one
            of each.
        only_above: whether rates below it are free.

    Raises:
        ValueError: a target that no neuron can have, or another number of them than of layers.
    """
    layers = len(code.hidden)
    targets = [target] * layers if isinstance(target, int | float) else target
    if len(targets) != layers:
        raise ValueError(f"hidden_rate: got {len(targets)} targets for {layers} hidden layers")
    for one in targets:
        if not 0 < one <= 1:
            raise ValueError(f"hidden_rate: got a target of {one}, expected above 0, at most 1")
    rates = [single(spikes).flatten(1).mean(1) for spikes in code.hidden]
    off = [rate / one - 1 for rate, one in zip(rates, targets, strict=True)]
    return _squares([x.relu() if only_above else x for x in off], code)


def im_loss(code: SpikeCode) -> Tensor:
    """How far each hidden layer's mean potential is from the threshold, `(B, T)`.

        sum over layers of (mean of v_l over neurons and steps)^2

    per example, with v in threshold widths. Potentials centred on the threshold make spikes and
    silence about equally frequent, and a spike tells most. After Guo et al., "IM-Loss: Information
    Maximization Loss for Spiking Neural Networks", 2022,
    https://openreview.net/forum?id=Jw34v_84m2b. It raises firing rates: a half is where it leads.

    Raises:
        ValueError: the code does not hold v of its hidden layers, or neurons have none.
    """
    if len(code.hidden_v) != len(code.hidden) or any(v is None for v in code.hidden_v):
        raise ValueError("im_loss needs hidden neurons with a distance from threshold, and it kept")
    return _squares([single(v).flatten(1).mean(1) for v in code.hidden_v if v is not None], code)


NEED_V = (im_loss,)
"""Penalties that look at v of the hidden layers, which a code holds where it is asked to."""


def _squares(of_layers: Sequence[Tensor], code: SpikeCode) -> Tensor:
    """The sum of the squares `(B,)`, in equal parts over the steps, `(B, T)`."""
    if not of_layers:
        return _nothing(code)
    num_steps = code.spikes.shape[1]
    total = torch.stack([x.square() for x in of_layers]).sum(0)
    return (total / num_steps)[:, None].expand(-1, num_steps)


def _nothing(code: SpikeCode) -> Tensor:
    return code.spikes.new_zeros(code.spikes.shape[:2])
