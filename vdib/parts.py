"""Which encoder, decoder, estimator and costs make a model together."""

import math
from collections.abc import Mapping

from vdib.decoder import Decoder
from vdib.encoder import SpikingEncoder
from vdib.estimator import Estimator
from vdib.neurons.layer import commuting, has_v, spiking
from vdib.penalty import NEED_V, Penalty


def check_parts(
    encoder: SpikingEncoder,
    decoder: Decoder,
    estimator: Estimator,
    beta: float,
    penalties: Mapping[str, tuple[Penalty, float]],
) -> None:
    """Refuse parts that do not go together; arguments as of `vdib.model.VDIB`.

    Raises:
        ValueError: a negative beta or weight, a decoder of another number of neurons than the
            encoder's, or one of the drive or of v over a readout that has none; a penalty on v of
            cells without; an estimator that the readout does not suit, or a price on real numbers.
    """
    if not beta >= 0:
        raise ValueError(f"beta must not be negative, got {beta}")
    for name, (penalty, weight) in penalties.items():
        if penalty in NEED_V and not all(map(has_v, encoder.layers)):
            raise ValueError(
                f"{name} needs hidden neurons with a distance from threshold, LSTM cells have none"
            )
        if not 0 <= weight < math.inf:
            raise ValueError(f"penalties: the weight of {name} is {weight}, expected 0 or more")
    wanted = getattr(decoder, "num_neurons", encoder.num_readout)
    if wanted != encoder.num_readout:
        raise ValueError(
            f"the decoder reads {wanted} neurons, the encoder has {encoder.num_readout}"
        )
    if not decoder.SAMPLES:
        (readout,) = commuting([encoder.readout], type(decoder).__name__)
        if not readout.stochastic:
            raise ValueError(f"{type(decoder).__name__} needs the readout sampled")
    if decoder.NEEDS_V and not has_v(encoder.readout):
        raise ValueError(
            f"{type(decoder).__name__} needs a readout with a distance from threshold, "
            "LSTM cells have none"
        )
    by_hand = not hasattr(decoder, "window")
    _check_spikes(encoder, beta > 0 or by_hand, bool(penalties))
    if encoder.readout.stochastic:
        estimator.check(encoder.readout)


def _check_spikes(encoder: SpikingEncoder, of_readout: bool, of_any: bool) -> None:
    """Real numbers have no code length, no counts and no first spike."""
    for layer, asked in [
        *((layer, of_any) for layer in encoder.layers),
        (encoder.readout, of_readout or of_any),
    ]:
        if asked and not spiking(layer):
            raise ValueError(
                "beta above 0, penalties and decoders by hand need spikes; this encoder has "
                "layers (lstm) of real numbers: set beta 0, no penalties, a learned decoder"
            )
