"""Decoding by the membrane: a categorical distribution at every step.

Legend: B batch, S decodings per sequence, N readout neurons.
"""

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import log_softmax

from vdib.encoder import SpikeCode
from vdib.handmade import Decision, HandmadeDecoder
from vdib.precision import single
from vdib.signal import Signal
from vdib.window import Window, recent


class MembraneDecoder(HandmadeDecoder):
    """The label is categorical with logits v at every step, and paid for at every step.

        log_prob(label) = sum_t log softmax(v[t])[label]

    The cross-entropy of the membrane of snnTorch's fifth tutorial. Their U is v + theta; a shift
    that all classes share changes nothing. A sum over steps and no probability of the label. The
    decision is theirs as well, by spikes: the label's probability, of the membrane, need not be the
    largest. `likeliest` decides by the membrane.

    Args:
        window: of which the spikes are counted, and v is summed.
        num_neurons: N_y, the number of classes.
        signal: the labels.
        decision: see `HandmadeDecoder`.
    """

    NEEDS_V: ClassVar = True
    PROBABILITY: ClassVar = False

    def __init__(
        self, window: Window, num_neurons: int, signal: Signal, decision: Decision = "count"
    ) -> None:
        super().__init__(window, num_neurons, signal, decision)

    def scores(self, code: SpikeCode, every_step: bool) -> Tensor:
        if code.v is None:
            raise ValueError("MembraneDecoder needs a readout that has a distance from threshold")
        return recent(log_softmax(single(code.v), -1), self.length, every_step).sum(2)
