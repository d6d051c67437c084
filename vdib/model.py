"""The variational directed information bottleneck: encoder, prior, decoder, objective.

Legend: B batch, M codes per input, T steps, S decodings per sequence, N_x, N_y neurons.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.distributions import Distribution

from vdib.decoder import Decoder
from vdib.dynamics.firing import Bernoulli
from vdib.encoder import SpikeCode, SpikingEncoder
from vdib.estimator import Estimator, returns
from vdib.noise import Noise
from vdib.objective import distortion, per_step, rate
from vdib.spikes import Spikes
from vdib.stream import Stream
from vdib.window import recent


@dataclass(frozen=True)
class Bottleneck:
    """One pass of a batch through the bottleneck.

    Attributes:
        code: the readout spikes and their probabilities.
        decoded: distribution over r, batch shape `(M B, S)`.
        distortion: `-log q(r)` in nats, `(M B, S)`, times the steps' weights where there are some.
        rate: KL to the prior in nats, `(M B, T)`, likewise.
    """

    code: SpikeCode
    decoded: Distribution
    distortion: Tensor
    rate: Tensor

    def loss(self, beta: float) -> Tensor:
        """The VDIB loss in nats per sample, the mean over the batch."""
        return (self.distortion.sum(1) + beta * self.rate.sum(1)).mean()


class VDIB(nn.Module):
    """A spiking encoder and a decoder trained through the information bottleneck.

    Args:
        encoder: `p_theta(y || x)`.
        decoder: `q_phi(r | recent y)`.
        prior: `q(y_t | y^{t-1})`, spikes to logits.
        estimator: of the gradient through the readout spikes.
        beta: the price of a nat of rate in nats of distortion.
        every_step: decode at every step rather than once at the end.
    """

    def __init__(
        self,
        encoder: SpikingEncoder,
        decoder: Decoder,
        prior: nn.Module,
        estimator: Estimator,
        beta: float = 0.01,
        every_step: bool = False,
    ) -> None:
        super().__init__()
        if beta < 0:
            raise ValueError(f"beta must not be negative, got {beta}")
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.estimator = estimator
        self.beta = beta
        self.every_step = every_step

    def encode(self, x: Spikes, noise: Noise | Tensor) -> SpikeCode:
        """Spikes `(B, T, *N_x)`, dense or as lists, to a code of hard readout spikes."""
        code: SpikeCode = self.encoder(x, noise, Bernoulli())
        return code

    def decode(self, spikes: Tensor) -> Distribution:
        """Readout spikes `(B, T, N_y)` to a distribution over r with batch shape `(B, S)`."""
        if self.every_step:
            return self.decoder.every_step(spikes)
        decoded: Distribution = self.decoder(recent(spikes, self.decoder.window.length))
        return decoded

    def forward(
        self, x: Spikes, r: Tensor, noise: Noise | Tensor, weights: Tensor | None = None
    ) -> Bottleneck:
        """Encode, decode and measure, with hard spikes and no gradient estimator.

        Args:
            x: `(B, T, *N_x)` spikes, dense or as lists.
            r: the natural signal, `(B, ...)`.
            noise: of the readout's threshold: an address or uniform numbers `(M B, T, N_y)`.
            weights: `(T,)`, what the distortion and the rate of each step count in the loss, where
                every step is decoded; 1 by default.
        """
        return self._measure(self.encode(x, noise), r, weights)

    def training_loss(
        self, x: Spikes, r: Tensor, noise: Noise | Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Bottleneck]:
        """A scalar whose gradient is the estimator's, and what it was made from.

        The scalar's own value means nothing; `Bottleneck.loss` is the loss.
        """
        if isinstance(noise, Noise):
            noise = noise.with_samples(self.estimator.num_samples)
        out = self._measure(self.encoder(x, noise, self.estimator.fire), r, weights)
        if len(out.rate) != self.estimator.num_samples * len(x):
            raise ValueError(
                f"noise: got {len(out.rate)} rows for {len(x)} inputs, "
                f"expected {self.estimator.num_samples} per input"
            )
        to_go = returns(per_step(out.distortion, x.shape[1]), out.rate, self.beta).detach()
        return out.loss(self.beta) + self.estimator.term(out.code.log_prob(), to_go), out

    def stream(self, seed: int, id: int = 0) -> Stream:
        """A live input under the weights of now, decoded at every step; see `vdib.stream`."""
        return Stream(self, seed, id)

    def _measure(self, code: SpikeCode, r: Tensor, weights: Tensor | None) -> Bottleneck:
        decoded = self.decode(code.spikes)
        r = r.repeat(code.spikes.shape[0] // r.shape[0], *[1] * (r.dim() - 1))
        kl = rate(code.logits, self.prior(code.spikes))
        costs = distortion(decoded, r)
        if weights is not None:
            assert self.every_step
            costs, kl = weights * costs, weights * kl
        return Bottleneck(code, decoded, costs, kl)
