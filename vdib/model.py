"""The variational directed information bottleneck: encoder, prior, decoder, objective.

Legend: B batch, M codes per input, T steps, S decodings per sequence, N_x, N_y neurons.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vdib.bottleneck import Bottleneck
from vdib.decoder import Decoder, WindowDecoder
from vdib.distillation import Teacher
from vdib.drawn import Drawn
from vdib.dynamics.firing import Bernoulli, Fire
from vdib.encoder import SpikeCode, SpikingEncoder
from vdib.estimator import Estimator
from vdib.event_stream import EventStream
from vdib.noise import Noise
from vdib.objective import distortion, per_step
from vdib.parts import check_parts
from vdib.penalty import Penalty
from vdib.price import Price
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
        price: what a nat of rate costs in training, where that is not beta throughout.

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
        price: Price | None = None,
    ) -> None:
        super().__init__()
        check_parts(encoder, decoder, estimator, beta, penalties or {})
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.estimator = estimator
        self.beta = beta
        self.every_step = every_step
        self.penalties = dict(penalties or {})
        self.hidden_v = hidden_v
        self.price = price or Price()
        self.teacher: Teacher | None = None

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
        progress: float = 1.0,
        looks: Tensor | None = None,
    ) -> tuple[Tensor, Bottleneck]:
        """A scalar whose gradient is the estimator's, and what it was made from.

        The scalar's own value means nothing; `Bottleneck.loss` is the loss, at the full price.

        Args:
            x: `(B, T, *N_x)` spikes, dense or as lists.
            r: the natural signal, `(B, ...)`.
            noise: as of `forward`; M is the estimator's, so that numbers come as `(M B, T, N_y)`.
            weights, looks: as of `forward`.
            progress: the share of the training that is over, on which the price of a nat of rate
                and the estimator may depend; at the end, 1, both are what they come to.

        Raises:
            ValueError: as of `forward`, or noise of another M.
        """
        if not self._learns_from_samples():
            out = self._taught(x, self._measure(self.encode(x, noise), r, weights, looks), looks)
            return replace(out, rate=self._price(out, weights, progress)[1]).loss(1.0), out
        drawn, out = self.draw(x, r, noise, weights, progress, looks)
        return self.estimator.loss(drawn).mean(), out

    def draw(
        self,
        x: Spikes,
        r: Tensor,
        noise: Noise | Tensor,
        weights: Tensor | None = None,
        progress: float = 1.0,
        looks: Tensor | None = None,
    ) -> tuple[Drawn, Bottleneck]:
        """Codes as the estimator wants them, and their costs; arguments of `training_loss`."""
        samples = self.estimator.num_samples
        if isinstance(noise, Noise):
            noise = noise.with_samples(samples, self.estimator.antithetic)
        code = self._code(x, noise, self.estimator.firing(progress))
        out = self._taught(x, self._measure(code, r, weights, looks), looks)
        if len(out.rate) != samples * len(x):
            raise ValueError(
                f"noise: got {len(out.rate)} rows for {len(x)} inputs, expected {samples} per input"
            )
        when = _repeated(looks, len(out.distortion))
        due, direct = per_step(out.distortion, x.shape[1], when), None
        if not self.decoder.SAMPLES:  # the drawn spikes are no cause of it
            due, direct = torch.zeros_like(due), due
        for penalty in out.penalties.values():
            due = due + penalty
        price, cost = self._price(out, weights, progress)
        ordered = self.prior.ordered
        return Drawn(code, due, cost, out.prior, price, samples, direct, ordered), out

    def _price(
        self, out: Bottleneck, weights: Tensor | None, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Of a nat of rate, broadcastable to `(T, N_y)`, and the rate at it, `(M B, T)`."""
        beta = self.beta * self.price.share(progress)
        price = out.rate.new_full((1, 1), beta) if weights is None else beta * weights[:, None]
        if not self.price.free_bits:
            return price, beta * out.rate
        rates = out.code.cost_by_neuron(out.prior)
        price = price * self.price.paid(rates if weights is None else weights[:, None] * rates)
        return price, (price * rates).sum(-1)

    def _taught(self, x: Spikes, out: Bottleneck, looks: Tensor | None) -> Bottleneck:
        if self.teacher is None:
            return out
        nats = self.teacher.nats(x, out.decoded) / (1 if looks is None else looks.shape[1])
        return replace(out, distortion=out.distortion + nats)

    def _learns_from_samples(self) -> bool:
        """Whether some cost depends on spikes that were drawn.

        Those of a threshold carry their gradient themselves.
        """
        some = self.decoder.SAMPLES or self.beta > 0 or bool(self.penalties)
        return self.encoder.readout.stochastic and some

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
        prior = self.prior(code.spikes)
        cost = code.cost(prior)
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
        return Bottleneck(code, decoded, costs, cost, prior, penalties)


def _repeated(looks: Tensor | None, count: int) -> Tensor | None:
    """Of M codes per input, which come sample-major, those of each."""
    return None if looks is None else looks.repeat(count // len(looks), 1)
