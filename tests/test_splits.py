"""How information splits, on codes whose parts are known: copies of bits, a step late.

N sequences, T steps.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import spike_train

from vdib.information.splits import between_populations, over_lags
from vdib.spike_code import SpikeCode

SURE = 30.0
"""A logit under which a spike is as good as certain."""


def copying(bits):
    """A code that repeats bits `(N, T, N_y)`, and hears nothing of itself."""
    v = SURE * (2 * bits - 1)
    return SpikeCode(bits, v, drive=v)


def values(rows):
    ones = np.ones((1, rows[0].count))
    return {row.name: float(row.statistic(ones)[0]) for row in rows}


def middle(count, patterns):
    """Between the bounds, where N sequences are of so many kinds, equally many of each.

    Of the others N / P - 1 are of a sequence's own kind, of all N a share of 1 / P.
    """
    return math.log(patterns) + width(count, patterns) / 2


def width(count, patterns):
    """How far the bounds lie apart."""
    return math.log((count - 1) / (count / patterns - 1)) - math.log(patterns)


TWO, FOUR = middle(16, 2), middle(16, 4)
POPULATIONS = {
    "the same bit": ([0, 0], (TWO, TWO, 0, 0, TWO)),
    "two bits": ([0, 1], (TWO, TWO, FOUR - TWO, FOUR - TWO, 2 * TWO - FOUR)),
    "nothing in b": ([0, None], (TWO, 0, TWO, 0, 0)),
}


@pytest.mark.parametrize("case", POPULATIONS)
def test_what_populations_say_alone_together_and_either(case):
    told, expected = POPULATIONS[case]
    pairs = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(4, 1)
    columns = [torch.zeros(16) if bit is None else pairs[:, bit] for bit in told]
    code = copying(torch.stack(columns, 1)[:, None])
    rows, gap = between_populations(code, torch.tensor([True, False]), seed=0)
    found = values(rows)
    assert list(found) == ["a alone", "b alone", "only a", "only b", "either"]
    assert list(found.values()) == pytest.approx(list(expected), abs=1e-9)
    assert gap == pytest.approx(max(width(16, 2), width(16, 4)) if told[1] == 1 else width(16, 2))
    assert all(row.pairs for row in rows)


def test_where_inputs_can_be_simulated_populations_say_the_middle_between_filters():
    bounds = {(True, False): (5.0, 3.0), (False, True): (4.0, 1.0), (True, True): (9.0, 6.0)}

    def terms(x, code, neurons):
        return tuple(torch.full((4,), nats) for nats in bounds[tuple(neurons.tolist())])

    code, x = copying(torch.zeros(4, 1, 2)), torch.zeros(4, 1, 1)
    first, both = torch.tensor([True, False]), SimpleNamespace(terms=terms)
    rows, gap = between_populations(code, first, 0, both, x)
    # Middles are 4, 2.5 and 7.5.
    assert list(values(rows).values()) == pytest.approx([4, 2.5, 5, 3.5, -1])
    assert gap == pytest.approx(3)
    assert not any(row.pairs for row in rows)


@pytest.mark.parametrize(("lag", "name"), [(0, "lag 0"), (1, "lag 1"), (3, "lags 2 to 3")])
def test_a_bit_that_is_copied_late_is_told_at_its_lag(lag, name):
    """All that rates leave unsaid, less what a penalised fit is not sure of; elsewhere nothing."""
    num_steps = 6

    def sequences(count, seed):
        x = spike_train(count, num_steps, 1, rate=0.5, seed=seed).float()
        return x, copying(torch.nn.functional.pad(x, (0, 0, lag, 0))[:, :num_steps])

    (x, code), (train_x, train) = sequences(200, 0), sequences(2_000, 1)
    found = values(over_lags(x, code, train_x, train, 0, lambda items: items))
    assert list(found) == ["lag 0", "lag 1", "lags 2 to 3", "lags 4 and more"]
    p = train.spikes.mean()
    unsaid = -(code.spikes * p.log() + (1 - code.spikes) * (1 - p).log()).sum(1).mean()
    for other, nats in found.items():
        assert nats == pytest.approx(float(unsaid) if other == name else 0, abs=0.3)
