"""A stream of events equals the whole sequence, spike by spike, in whatever pieces events come."""

import numpy as np
import pytest
import torch
from test_stream import CASES, inputs, model

from vdib.backends import dispatch, rows
from vdib.event_stream import NOISE_STEPS
from vdib.handmade import CountDecoder
from vdib.model import VDIB
from vdib.noise import EVALUATION, Noise
from vdib.signal import Label
from vdib.window import FullWindow


def pieces(spikes, count, seed=0):
    """The neurons of one step in some order, in so many lists."""
    fired = np.random.default_rng(seed).permutation(np.flatnonzero(spikes))
    return np.array_split(fired, count)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_stream_of_events_equals_the_whole_sequence(case):
    bottleneck, steps = model(**case), 100 if case else NOISE_STEPS + 50
    x = inputs(steps, bottleneck.encoder.input_shape)
    with torch.no_grad():
        code = bottleneck.encode(x, Noise(3, EVALUATION, torch.tensor([7])))
        decoded = bottleneck.decode(code)
    stream, windows = bottleneck.event_stream(seed=3, id=7), []
    for t in range(steps):
        for part in pieces(x[0, t].numpy().ravel(), 1 + t % 3):
            stream.feel(part)
        stream.end_step()
        windows.append(stream.recent)
    assert stream.time == steps
    assert np.array_equal(np.stack(windows)[:, -1], code.spikes[0].numpy())
    torch.testing.assert_close(stream.decode(np.stack(windows)).logits, decoded.logits[0])
    assert 0.05 < code.spikes.mean() < 0.95


@pytest.mark.parametrize("name", ["the reference", "hidden layers", "convolutions"])
def test_a_glance_is_the_step_that_ends_now_and_changes_nothing(name):
    bottleneck = model(**CASES[name])
    x = inputs(60, bottleneck.encoder.input_shape)[0].numpy().reshape(60, -1)
    looked, alone = bottleneck.event_stream(0), bottleneck.event_stream(0)
    for t, now in enumerate(x):
        first, second = pieces(now, 2)
        for stream in (looked, alone):
            stream.feel(first)
        ended = bottleneck.event_stream(0)  # as if the first half were all of this step
        for before in x[:t]:
            ended.feel(np.flatnonzero(before))
            ended.end_step()
        ended.feel(first)
        seen = looked.glance()
        ended.end_step()
        assert np.array_equal(seen, ended.recent)
        for stream in (looked, alone):
            stream.feel(second)
            stream.end_step()
        assert np.array_equal(looked.recent, alone.recent)


def test_a_reset_begins_anew():
    bottleneck = model(hidden=(7, 6))
    x = inputs(40)[0].numpy()
    stream, windows = bottleneck.event_stream(0), []
    for _ in range(2):
        for now in x:
            stream.feel(np.flatnonzero(now))
            stream.end_step()
        stream.feel(np.flatnonzero(x[0]))
        windows.append(stream.recent)
        stream.reset()
    assert windows[0].any()
    assert np.array_equal(*windows)


@pytest.mark.parametrize("compiled", [False, True])
def test_sums_of_rows(compiled):
    table = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    picked, out = np.array([8, 0, 3]), np.arange(5.0)
    if compiled:
        rows.add_rows(out, table, picked)
    else:
        with dispatch.plain():
            rows.add_rows(out, table, picked)
    expected = np.arange(5.0) + table.astype(np.float64)[picked].sum(0)
    np.testing.assert_allclose(out, expected, rtol=1e-15)


def test_errors():
    whole = model()
    by_hand = VDIB(
        whole.encoder,
        CountDecoder(FullWindow(4), 5, Label(5)),
        whole.prior,
        whole.estimator,
        beta=0.1,
    )
    with pytest.raises(ValueError, match="from a window, not by CountDecoder"):
        by_hand.event_stream(0)
