"""The variational directed information bottleneck: encoder, prior, decoder, objective.

Legend: B batch, M codes per input, T steps, S decodings per sequence, N_x, N_y neurons.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vdib.bottleneck import Bottleneck
from vdib.decoder import Decoder, WindowDecoder
from vdib.distillation import Teacher
from vdib.dynamics.firing import Bernoulli, Fire
from vdib.encoder import SpikeCode, SpikingEncoder
from vdib.estimator import Estimator, returns
from vdib.event_stream import EventStream
from vdib.neurons.layer import commuting, spiking
from vdib.noise import Noise
from vdib.objective import distortion, per_step
from vdib.penalty import Penalty
from vdib.prior import Prior
from vdib.sparse import Spikes
from vdib.stream import Stream


class VDIB(nn.Module):
    """A spiking encoder and a decoder trained through the information bottleneck.

        L = E sum_t [ -log q_phi(r_t | y) + beta KL_t + sum of penalties ]

    Args:
        encoder: `p_theta(y || x)`.
        decoder: `q_phi(r | y)`.
        prior: `q(y_t | y^{t-1})`, spikes to logits.
        estimator: of the gradient through the readout spikes; a deterministic readout has no use
            for it.
        beta: the price of a nat of rate in nats of distortion.
        every_step: decode at every step rather than once at the end.
        penalties: by name, each with its weight.
        hidden_v: whether a code holds v of the hidden layers, which a penalty may look at.

    Attributes:
        teacher: of labels, whose soft ones are part of the distortion in training.

    Raises:
        ValueError: a negative beta or weight, a decoder of another number of neurons than the
            encoder's, or one of the drive over a readout that has none.
    """

    def __init__(
        self,
        encoder: SpikingEncoder,
        decoder: Decoder,
        prior: Prior,
        estimator: Estimator,
        beta: float = 0.01,
        every_step: bool = False,
        penalties: Mapping[str, tuple[Penalty, float]] | None = None,
        hidden_v: bool = False,
    ) -> None:
        super().__init__()
        if not beta >= 0:
            raise ValueError(f"beta must not be negative, got {beta}")
        for name, (_, weight) in (penalties or {}).items():
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
        by_hand = not hasattr(decoder, "window")
        self._check_spikes(encoder, beta > 0 or by_hand, bool(penalties))
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.estimator = estimator
        self.beta = beta
        self.every_step = every_step
        self.penalties = dict(penalties or {})
        self.hidden_v = hidden_v
        self.teacher: Teacher | None = None

    def _check_spikes(self, encoder: SpikingEncoder, of_readout: bool, of_any: bool) -> None:
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

    def encode(self, x: Spikes, noise: Noise | Tensor) -> SpikeCode:
        """Spikes `(B, T, *N_x)`, dense or as lists, to a code of hard readout spikes."""
        return self._code(x, noise, Bernoulli())

    def _code(self, x: Spikes, noise: Noise | Tensor, fire: Fire) -> SpikeCode:
        code: SpikeCode = self.encoder(x, noise, fire, not self.decoder.SAMPLES, self.hidden_v)
        return code

    def decode(self, code: SpikeCode, looks: Tensor | None = None) -> Distribution:
        """A code to a distribution over r with batch shape `(M B, S)`.

        Args:
            code: of whole sequences.
            looks: after how many steps to decode, `(M B, S)`; at the end, or at every step.

        Raises:
            ValueError: looks with a decoder that has no window.
        """
        if looks is not None:
            if not isinstance(self.decoder, WindowDecoder):
                name = type(self.decoder).__name__
                raise ValueError(f"looks: got {name}, expected a learned decoder over a window")
            return self.decoder.at(code, looks)
        decoded: Distribution = self.decoder(code, self.every_step)
        return decoded

    def forward(
        self,
        x: Spikes,
        r: Tensor,
        noise: Noise | Tensor,
        weights: Tensor | None = None,
        looks: Tensor | None = None,
    ) -> Bottleneck:
        """Encode, decode and measure, with hard spikes and no gradient estimator.

        Args:
            x: `(B, T, *N_x)` spikes, dense or as lists.
            r: the natural signal, `(B, ...)`.
            noise: of the readout's threshold: an address or uniform numbers `(M B, T, N_y)`.
            weights: `(T,)`, what the costs of each step count in the loss, where every step is
                decoded; 1 by default.
            looks: after how many steps each input is decoded, `(B, S)` int64, rather than at the
                end: the distortion is then the mean over its S looks.

        Raises:
            ValueError: weights without `every_step`, noise that does not fit, r of another shape,
                looks of a decoder that has no window.
        """
        return self._measure(self.encode(x, noise), r, weights, looks)

    def training_loss(
        self,
        x: Spikes,
        r: Tensor,
        noise: Noise | Tensor,
        weights: Tensor | None = None,
        looks: Tensor | None = None,
    ) -> tuple[Tensor, Bottleneck]:
        """A scalar whose gradient is the estimator's, and what it was made from.

        The scalar's own value means nothing; `Bottleneck.loss` is the loss.

        Args:
            x: `(B, T, *N_x)` spikes, dense or as lists.
            r: the natural signal, `(B, ...)`.
            noise: as of `forward`; M is the estimator's, so that numbers come as `(M B, T, N_y)`.
            weights, looks: as of `forward`.

        Raises:
            ValueError: as of `forward`, or noise of another M.
        """
        if not self._learns_from_samples():
            out = self._taught(x, self._measure(self.encode(x, noise), r, weights, looks), looks)
            return out.loss(self.beta), out
        if isinstance(noise, Noise):
            noise = noise.with_samples(self.estimator.num_samples)
        code = self._code(x, noise, self.estimator.fire)
        out = self._taught(x, self._measure(code, r, weights, looks), looks)
        loss = out.loss(self.beta)
        if len(out.rate) != self.estimator.num_samples * len(x):
            raise ValueError(
                f"noise: got {len(out.rate)} rows for {len(x)} inputs, "
                f"expected {self.estimator.num_samples} per input"
            )
        due = per_step(out.distortion, x.shape[1], _repeated(looks, len(out.distortion)))
        if not self.decoder.SAMPLES:
            due = torch.zeros_like(due)  # of which the drawn spikes are no cause
        for penalty in out.penalties.values():
            due = due + penalty
        to_go = returns(due, out.rate, self.beta, self.prior.ordered).detach()
        return loss + self.estimator.term(out.code.log_prob(), to_go), out

    def _taught(self, x: Spikes, out: Bottleneck, looks: Tensor | None) -> Bottleneck:
        if self.teacher is None:
            return out
        nats = self.teacher.nats(x, out.decoded) / (1 if looks is None else looks.shape[1])
        return replace(out, distortion=out.distortion + nats)

    def _learns_from_samples(self) -> bool:
        """Whether some cost depends on spikes that were drawn.

        Those of a threshold carry their gradient themselves.
        """
        looks = self.decoder.SAMPLES or self.beta > 0 or bool(self.penalties)
        return self.encoder.readout.stochastic and looks

    def stream(self, seed: int, id: int = 0) -> Stream:
        """A live input under the weights of now, decoded at every step; see `vdib.stream`."""
        return Stream(self.encoder, self.decoder, seed, id)

    def event_stream(self, seed: int, id: int = 0) -> EventStream:
        """A live input of events, decoded when it is asked; see `vdib.event_stream`."""
        return EventStream(self.encoder, self.decoder, seed, id)

    def _measure(
        self, code: SpikeCode, r: Tensor, weights: Tensor | None, looks: Tensor | None = None
    ) -> Bottleneck:
        if weights is not None and not self.every_step:
            raise ValueError("weights of steps need a model that decodes at every step")
        looks = _repeated(looks, len(code.spikes))
        decoded = self.decode(code, looks)
        r = r.repeat(code.spikes.shape[0] // r.shape[0], *[1] * (r.dim() - 1))
        cost = code.cost(self.prior(code.spikes))
        costs = distortion(decoded, r)
        if looks is not None:
            costs = costs / looks.shape[1]
        penalties = {}
        for name, (penalty, weight) in self.penalties.items():
            nats = weight * penalty(code)
            penalties[name] = nats.repeat(len(cost) // len(nats), 1)
        if weights is not None:
            costs, cost = weights * costs, weights * cost
            penalties = {name: weights * nats for name, nats in penalties.items()}
        return Bottleneck(code, decoded, costs, cost, penalties)


def _repeated(looks: Tensor | None, count: int) -> Tensor | None:
    """Of M codes per input, which come sample-major, those of each."""
    return None if looks is None else looks.repeat(count // len(looks), 1)
