"""What a layer of neurons is to the rest of the house.

An encoder, a stream and a Lightning module know `Layer` and nothing more of a neuron: spikes in,
spikes and distances from threshold out, over whole sequences or step by step. Rules that are local
in time, and the fast stream, also need weights and filters to commute: that is `CommutingLayer`,
and a layer that is none is refused by them (`commuting`).

A neuron is a function of type `Neuron`: it puts a layer of itself behind a connection.

Legend: B batch, T steps, K currents per neuron, N neurons, N_in neurons below (any number of axes).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import Tensor, nn

from vdib.dynamics.feedback import Feedback
from vdib.dynamics.firing import Fire
from vdib.dynamics.surrogate import Surrogate
from vdib.noise import Draws
from vdib.sparse import Spikes

State = Any
"""What a layer remembers between steps: tensors in nested tuples; None before the first step."""


class Layer(Protocol):
    """A module of neurons that keeps no state between calls.

    How it fires is its own business. A stochastic layer needs to be told how its spikes are drawn
    in this call, and the noise; another takes neither.

    Attributes:
        input_shape: `(*N_in)` of one step's spikes.
        shape: `(*N)` of its neurons.
        stochastic: whether it needs noise; then `sigmoid(v)` is the probability of a spike.
    """

    input_shape: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def stochastic(self) -> bool: ...

    def __call__(
        self, x: Spikes, fire: Fire | None = None, noise: Draws | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Spikes and distances from threshold v of whole sequences.

        Args:
            x: `(B, T, *N_in)` spikes, dense or as lists.
            fire: how the neurons fire in this call; as the layer was made for by default.
            noise: `(B, T, *N)`, uniform in (0, 1), or `LayerNoise` of B rows.

        Returns:
            Both `(B, T, *N)`; v may be None where a neuron has none.
        """

    def step(
        self, x: Tensor, state: State, fire: Fire | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, State]:
        """One step of the same: `(B, *N_in)` to spikes and v, `(B, *N)`, and the next state."""

    def calibrate(self, x: Spikes, spread: float = 1.0, rate: float | None = None) -> None:
        """Scale the weights so that the potentials of `x` are of the order of the threshold."""

    def parameters(self) -> Iterator[nn.Parameter]: ...


@dataclass(frozen=True)
class Expansion:
    """A layer as what each spike adds to v in the coming steps, in threshold widths.

    Attributes:
        response: of a spike below, from its own step on, `(N_in, L, N)`.
        after: of a neuron's own spike, from the next step on, `(L', N)`.
        constant: v of a silent neuron, `(N,)`.
    """

    response: Tensor
    after: Tensor
    constant: Tensor


class CommutingLayer(Layer, Protocol):
    """A layer whose weights and filters commute, and which feeds back on itself neuron by neuron.

        v[t] = drive[t] + gain (nu * s)[t - 1]

    with a drive that is a product of weights and traces of the spikes below.

    Attributes:
        fire: how the layer fires where a call does not say.
        feedback: nu.
    """

    fire: Fire
    feedback: Feedback

    def drive(self, x: Spikes) -> Tensor:
        """v but for the neurons' own feedback, `(B, T, *N_in)` to `(B, T, *N)`."""

    def respond(
        self, drive: Tensor, fire: Fire | None = None, noise: Draws | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes and v of a given drive, each `(B, T, *N)`."""

    def same_step_drive(self, x: Tensor) -> Tensor:
        """The part of the drive at t that spikes at t cause, the weights held constant."""

    def trace(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """What the filters make of one step's spikes `(B, *N_in)`: traces `(B, K, *N_in)`."""

    def from_traces(self, traces: Tensor, fed_back: Tensor) -> Tensor:
        """v from traces `(R, K, *N_in)` and `(nu * s)[t - 1]`, `(R, *N)`; `(R, *N)`."""

    def expansion(self, longest: int) -> Expansion | None:
        """The layer expanded; None where it lasts for `longest` steps or is not dense."""


def commuting(layers: Sequence[Layer], rule: str) -> list[CommutingLayer]:
    """The same layers, once it is known that all of them commute.

    Args:
        layers: any.
        rule: what needs it, for the message.

    Raises:
        ValueError: one does not.
    """
    for layer in layers:
        if not hasattr(layer, "from_traces"):  # attributes that are modules hide from `isinstance`
            why = getattr(layer, "COMMUTES_WITHOUT", "")
            raise ValueError(
                f"{rule} needs layers whose weights and filters commute, as those of SRM neurons "
                + (f"do without {why}" if why else f"do; {type(layer).__name__} is none")
            )
    return cast(list[CommutingLayer], list(layers))


def spiking(layer: Layer) -> bool:
    """Whether what a layer gives is spikes, 0 or 1; of an ordinary LSTM it is real numbers."""
    return bool(getattr(_innermost(layer), "spiking", True))


def has_v(layer: Layer) -> bool:
    """Whether its neurons have a distance from threshold; cells of several gates have no one v."""
    return bool(getattr(_innermost(layer), "has_v", True))


def _innermost(layer: Layer) -> Layer:
    while hasattr(layer, "inner"):  # what is around another gives what that gives
        layer = layer.inner
    return layer


class Synapses(Protocol):
    """A module: the linear map, without bias, from a layer's spikes to currents of the next.

    Attributes:
        input_shape: `(*N_in)`.
    """

    input_shape: tuple[int, ...]

    def __call__(self, x: Spikes) -> Tensor:
        """`(R, *N_in)`, or lists of `(B, T, *N_in)` with R = B T, to `(R, K N)`, filter-major."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


UNMOVED = (
    "cannot calibrate a layer on spikes that move no potential: look whether the first training "
    "examples have spikes (--data), or set --model.calibrate false"
)
"""What layers say that find nothing to calibrate on."""

Connect = Callable[[int], Synapses]
"""From the currents that a neuron needs, K, to synapses from the layer below to K per neuron."""


class Neuron(Protocol):
    """Puts a layer of one kind of neuron behind a connection."""

    def __call__(
        self, connect: Connect, shape: tuple[int, ...], surrogate: Surrogate | None
    ) -> Layer:
        """A deterministic layer.

        Args:
            connect: makes the synapses.
            shape: `(*N)`.
            surrogate: derivative of the spikes; the neuron's own by default.
        """
