"""Signals drawn from a trained model: spikes from its prior, what they say from its decoder.

    y ~ q(y) = prod_t q(y_t | y^{t-1}),    r ~ q_phi(r | y)

Legend: B codes, T steps, N readout neurons, N_x inputs, O values of a signal.
"""

import torch
from torch import Tensor

from vdib.encoder import SpikeCode
from vdib.model import VDIB
from vdib.neurons.layer import commuting
from vdib.noise import LayerNoise, Noise
from vdib.prior import Prior, draw_spikes
from vdib.sparse import Spikes


def check_drawable(model: VDIB) -> None:
    """Whether a model says which codes there are and what they mean.

    Raises:
        ValueError: a deterministic readout, a model that decodes every step, or a decoder that does
            not look at the spikes.
    """
    if not model.encoder.readout.stochastic:
        raise ValueError("its readout is deterministic: it has no distribution of codes to draw of")
    if model.every_step:
        raise ValueError("it decodes every step, and no signal at the end")
    if not model.decoder.SAMPLES:
        name = type(model.decoder).__name__
        raise ValueError(f"its decoder, {name}, does not look at the spikes")


@torch.no_grad()
def draw(
    model: VDIB, num: int, num_steps: int, noise: Noise, prior: Prior | None = None
) -> tuple[Tensor, Tensor]:
    """Codes of no input, and the means of what they are decoded to.

    Args:
        model: that `check_drawable` has nothing against.
        num: B.
        num_steps: T.
        noise: one row a code.
        prior: another than the one it was trained with.

    Returns:
        Spikes `(B, T, N)` and means `(B, O)`.
    """
    prior = prior or model.prior
    spikes = draw_spikes(prior, num, num_steps, model.encoder.num_readout, noise)
    return spikes, decoded(model, spikes)


@torch.no_grad()
def decoded(model: VDIB, spikes: Tensor) -> Tensor:
    """Means of what spikes `(B, T, N)` are decoded to, `(B, O)`."""
    mean: Tensor = model.decode(SpikeCode(spikes, None)).mean
    return mean[:, 0]


def forming(model: VDIB, spikes: Tensor) -> Tensor:
    """What codes say up to each step, as if they fell silent then, `(T + 1, B, O)`.

    First without a spike, last the whole code.

    Args:
        spikes: `(B, T, N)`.
    """
    steps = torch.arange(spikes.shape[1])[:, None]
    cut = [spikes * (steps < until) for until in range(spikes.shape[1] + 1)]
    return torch.stack([decoded(model, some) for some in cut])


@torch.no_grad()
def between(model: VDIB, x: Spikes, shares: Tensor, noise: Noise) -> Tensor:
    """Codes between those of two inputs: the readout's drives are mixed, its noise is one.

        v_t = (1 - a) drive_t(x_0) + a drive_t(x_1) + feedback of the code's own past spikes

    The drive is v but for feedback. At a = 0 and a = 1 it is the code of an input by itself.

    Args:
        model: whose readout is of neurons that may be given a drive.
        x: `(2, T, *N_x)` spikes, dense or as lists.
        shares: a, `(B,)`.
        noise: one row, which all codes share.

    Returns:
        Spikes `(B, T, N)`.

    Raises:
        ValueError: another readout.
    """
    (readout,) = commuting([model.encoder.readout], "mixing two drives")
    drive = readout.drive((x, *model.encoder.hidden_spikes(x))[-1])  # 2, T, N
    a = shares.to(drive)[:, None, None]
    mixed = (1 - a) * drive[:1] + a * drive[1:]
    of_readout = noise.of_layer(len(model.encoder.hidden))
    spikes: Tensor = readout.respond(mixed, None, LayerNoise(of_readout.keys.repeat(len(a))))[0]
    return spikes
