"""Intervals of information on channels where it is known: how often they cover it, how wide.

    python benchmarks/information.py --repetitions 200 --seed 0

Each channel is an encoder on a Markov chain, small enough that all inputs and all codes are
enumerated: the truth is exact. A repetition draws new sequences, codes and particles, and makes the
interval as `python -m vdib.information` does, from filters and pairs together. Coverage is held
against the level less 1.645 binomial standard errors.
"""

import argparse
import itertools
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vdib.dynamics.filters import RaisedCosines
from vdib.encoder import SpikingEncoder
from vdib.information.bounds import DRAWN, SEQUENCES, Filters
from vdib.information.intervals import mean
from vdib.information.pairs import leave_one_out, log_likelihoods, multi_sample
from vdib.information.point_process import log_prob
from vdib.information.processes import MarkovChain, simulate, symmetric_chain
from vdib.information.rows import LEVEL, Row, combined
from vdib.neurons.srm import stochastic_srm
from vdib.neurons.synapses import dense
from vdib.noise import Noise

BITS = 1 / math.log(2)


@dataclass(frozen=True, eq=False)
class Channel:
    """An encoder of a few neurons on a Markov chain.

    Attributes:
        encoder: without hidden layers, in float64.
        chain: of its inputs; the neurons of state s are its binary digits.
        num_steps: T.
        populations: which readout neurons count, by name; each has a truth of its own.
    """

    encoder: SpikingEncoder
    chain: MarkovChain
    num_steps: int
    populations: dict[str, Tensor]

    def truth(self, neurons: Tensor) -> float:
        """`I(x -> y)` of some neurons in nats, by enumeration of all x and all y."""
        num_inputs, count = self.chain.patterns.shape[1], int(neurons.sum())
        x, y = every(self.num_steps, num_inputs), every(self.num_steps, count)
        readout = self.encoder.readout
        with torch.no_grad():
            whole = x.new_zeros(len(y), self.num_steps, len(neurons))
            whole[..., neurons] = y
            drive = readout.drive(x)[..., neurons]
            fed_back = readout.given(torch.zeros_like(whole), whole)[..., neurons]
            log_p = torch.stack([log_prob(own + fed_back, y).sum(1) for own in drive])  # X Y
        states = (x @ 2.0 ** torch.arange(num_inputs, dtype=x.dtype)).long()
        p_x = self.chain.log_prob(states).exp()[:, None]
        p_y = (p_x * log_p.exp()).sum(0)
        return float((p_x * log_p.exp() * (log_p - p_y.log())).sum())

    def intervals(
        self, count: int, particles: int, seed: int
    ) -> Iterator[tuple[str, tuple[float, float]]]:
        """Each population's interval from new sequences, in nats."""
        address = torch.arange(count)
        x = simulate(self.chain, Noise(seed, SEQUENCES, address), self.num_steps)
        with torch.no_grad():
            code = self.encoder(x.spikes, Noise(seed, DRAWN, address), drive=True)
        filters = Filters(self.encoder, self.chain, particles, seed)
        for name, neurons in self.populations.items():
            above, below = filters.terms(x, code, neurons)
            log_p = log_likelihoods(code, neurons)
            rows = [
                Row("bootstrap filter", "above", mean(above.numpy()), count, seed),
                Row("conditional filter", "below", mean(below.numpy()), count, seed),
                Row("others", "above", leave_one_out(log_p), count, seed, pairs=True),
                Row("multi-sample", "below", multi_sample(log_p), count, seed, pairs=True),
            ]
            yield name, combined(rows)


def every(num_steps: int, num_neurons: int) -> Tensor:
    """All spike trains, `(2^(T N), T, N)` float64."""
    bits = itertools.product((0.0, 1.0), repeat=num_steps * num_neurons)
    return torch.tensor(list(bits), dtype=torch.float64).view(-1, num_steps, num_neurons)


def channel(
    weights: list[list[float]],
    gains: list[float],
    stay: float,
    num_steps: int,
    populations: dict[str, list[int]],
) -> Channel:
    """A channel from the weights of two filters of each neuron, over three steps.

    Args:
        weights: `(N_y, 2 N_x)`, in threshold widths: first the filter of the step itself, then
            that of the steps before.
        gains: what a spike does to its own neuron, `(N_y,)`.
        stay: probability of the input to be as it was.
        num_steps: T.
        populations: readout neurons by name.
    """
    num_readout, num_inputs = len(weights), len(weights[0]) // 2
    connection = dense((num_inputs,), num_readout)
    readout = stochastic_srm(*connection, RaisedCosines(2, 3))
    with torch.no_grad():
        by_filter = torch.tensor(weights).view(num_readout, 2, num_inputs).transpose(0, 1)
        readout.synapses.weight.copy_(by_filter.reshape(2 * num_readout, num_inputs))
        readout.gain.copy_(torch.tensor(gains))
        # A spike is as likely as not where half the inputs are active.
        readout.bias.copy_(1 - torch.tensor(weights).sum(1) / 2)
    chosen = {
        name: torch.isin(torch.arange(num_readout), torch.tensor(members))
        for name, members in populations.items()
    }
    encoder = SpikingEncoder([], readout).double()
    return Channel(encoder, symmetric_chain(num_inputs, stay, torch.float64), num_steps, chosen)


CHANNELS = {
    "memory": channel([[3.0, 3.0]], [0.0], 0.8, 8, {"y": [0]}),
    "feedback": channel([[4.0, 1.0]], [4.0], 0.7, 8, {"y": [0]}),
    "two populations": channel(
        [[4.0, 0.0, 1.0, 0.0], [2.0, 3.0, 0.0, 1.0]],
        [1.0, 3.0],
        0.7,
        5,
        {"a": [0], "b": [1], "both": [0, 1]},
    ),
}


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--particles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(args)
    count = options.repetitions
    least = LEVEL - 1.645 * math.sqrt(LEVEL * (1 - LEVEL) / count)
    print(f"| channel | neurons | truth (bits) | covered of {count} | median width (bits) |")
    print("| --- | --- | --- | --- | --- |")
    for name, one in CHANNELS.items():
        found: dict[str, list[tuple[float, float]]] = {part: [] for part in one.populations}
        for repetition in range(count):
            seed = options.seed * 1_000_003 + repetition
            for part, ends in one.intervals(options.sequences, options.particles, seed):
                found[part].append(ends)
        for part, neurons in one.populations.items():
            truth = one.truth(neurons)
            covered = sum(low <= truth <= high for low, high in found[part])
            width = statistics.median(high - low for low, high in found[part]) * BITS
            enough = "" if covered >= least * count else ", too few"
            cells = f"{truth * BITS:.4f} | {covered}{enough} | {width:.3f}"
            print(f"| {name} | {part} | {cells} |", flush=True)
    print(f"\nlevel {LEVEL}; {least * count:.1f} of {count} is what chance leaves of it")


if __name__ == "__main__":
    main()
