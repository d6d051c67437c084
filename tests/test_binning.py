"""Binning against a slow reference in exact fractions, hand-made edges, and tonic."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vdib.datasets.recording import Origin, Recording
from vdib.datasets.transforms.binning import SpikeBinning


def recording(x: Any, y: Any, t: Any, p: Any, sensor_size: tuple[int, int] = (8, 6)) -> Recording:
    fields = (np.array(a, d) for a, d in zip((x, y, t, p), ("i2", "i2", "i8", "?"), strict=True))
    return Recording(*fields, sensor_size, Origin("here", "test"))


def at_times(*t: int) -> Recording:
    """ON events at x = 1, y = 2."""
    return recording([1] * len(t), [2] * len(t), t, [1] * len(t))


def some_recording(count: int = 3000, size: tuple[int, int] = (34, 34), seed: int = 0) -> Recording:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, size[0], count), rng.integers(0, size[1], count)
    return recording(x, y, np.sort(rng.integers(0, 100_000, count)), rng.random(count) < 0.5, size)


def reference(binning: SpikeBinning, events: Recording) -> torch.Tensor:
    """Event by event, with the step's edges as fractions."""
    t = events.t.tolist()
    start = t[0] if binning.start is None else binning.start
    length = max(t[-1] - start + 1, 1)
    if binning.dt is not None:
        dt = Fraction(binning.dt)
        steps = binning.num_steps or -(-(binning.duration or length) // binning.dt)
    else:
        steps = binning.num_steps or 1
        dt = Fraction(binning.duration or length, steps)
    left, top, width, height = binning.crop or (0, 0, *events.sensor_size)
    f, two = binning.downsample, binning.polarity == "two"
    spikes = torch.zeros(steps, 2 if two else 1, height // f, width // f, dtype=binning.dtype)
    for x, y, time, p in zip(
        events.x.tolist(), events.y.tolist(), t, events.p.tolist(), strict=True
    ):
        step = (time - start) // dt
        if 0 <= step < steps and 0 <= x - left < width and 0 <= y - top < height:
            pixel = spikes[int(step), :, (y - top) // f, (x - left) // f]
            if binning.rule == "any" or not pixel.any():
                pixel[int(p) if two else 0] = 1
    return spikes


def dense(binning: SpikeBinning, events: Recording) -> torch.Tensor:
    """The tensor that the list of spikes describes."""
    time, neuron, steps, neurons = binning.sparse(events)
    spikes = torch.zeros(steps, neurons, dtype=binning.dtype)
    spikes[time, neuron] = 1
    assert spikes.sum() == len(time)  # each once
    key = time * neurons + neuron
    assert (key[1:] > key[:-1]).all()
    return spikes.view(steps, *binning.shape(events.sensor_size))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_agrees_with_the_reference(data: st.DataObject) -> None:
    events = sorted(
        data.draw(
            st.lists(
                st.tuples(st.integers(0, 40), st.integers(0, 7), st.integers(0, 5), st.booleans()),
                min_size=1,
                max_size=40,
            )
        ),
        key=lambda event: event[0],
    )
    t, x, y, p = zip(*events, strict=True)
    names = data.draw(
        st.lists(
            st.sampled_from(["dt", "num_steps", "duration"]), min_size=1, max_size=2, unique=True
        )
    )
    binning = SpikeBinning(
        **{name: data.draw(st.integers(1, 30)) for name in names},
        start=data.draw(st.one_of(st.none(), st.integers(-5, 50))),
        polarity=data.draw(st.sampled_from(["two", "merged"])),
        rule=data.draw(st.sampled_from(["any", "first"])),
        crop=data.draw(st.sampled_from([None, (2, 0, 4, 6), (4, 2, 4, 4)])),
        downsample=data.draw(st.sampled_from([1, 2])),
    )
    made = recording(x, y, t, p)
    expected = reference(binning, made)
    torch.testing.assert_close(binning(made), expected, rtol=0, atol=0)
    torch.testing.assert_close(dense(binning, made), expected, rtol=0, atol=0)


def steps_with_spikes(binning: SpikeBinning, *t: int) -> list[int]:
    return torch.nonzero(binning(at_times(*t)).sum((1, 2, 3))).flatten().tolist()


def test_an_event_on_an_edge_falls_in_the_later_step() -> None:
    binning = SpikeBinning(dt=10, num_steps=4, start=0)
    for t, step in ((0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (39, 3)):
        assert steps_with_spikes(binning, t) == [step]
    assert steps_with_spikes(binning, 40) == []
    assert steps_with_spikes(binning, -1) == []


def test_edges_at_fractions_of_a_microsecond() -> None:
    """dt = 10/3 us: edges 3.33 and 6.67, so that whole times 4 and 7 begin steps 1 and 2."""
    binning = SpikeBinning(num_steps=3, duration=10, start=0)
    assert [steps_with_spikes(binning, t) for t in (3, 4, 6, 7, 9, 10)] == [
        [0],
        [1],
        [1],
        [2],
        [2],
        [],
    ]


def test_edges_are_exact_at_times_since_the_epoch() -> None:
    late = 1_600_000_000_000_000
    binning = SpikeBinning(dt=25_000, num_steps=3)
    assert steps_with_spikes(binning, late, late + 24_999) == [0]
    assert steps_with_spikes(binning, late, late + 25_000) == [0, 1]


def test_the_last_partial_step_is_kept() -> None:
    assert SpikeBinning(dt=10)(at_times(0, 20)).shape == (3, 2, 6, 8)
    assert SpikeBinning(dt=10)(at_times(0, 19)).shape == (2, 2, 6, 8)
    assert SpikeBinning(dt=10, duration=25)(at_times(0)).shape[0] == 3
    assert steps_with_spikes(SpikeBinning(num_steps=4), 100, 199) == [0, 3]


def test_channels_and_places() -> None:
    made = recording([1, 1, 7], [2, 2, 5], [0, 1, 2], [0, 1, 1])
    spikes = SpikeBinning(dt=5)(made)
    assert torch.nonzero(spikes).tolist() == [[0, 0, 2, 1], [0, 1, 2, 1], [0, 1, 5, 7]]
    first = SpikeBinning(dt=5, rule="first")(made)
    assert torch.nonzero(first).tolist() == [[0, 0, 2, 1], [0, 1, 5, 7]]
    merged = SpikeBinning(dt=5, polarity="merged", crop=(0, 2, 8, 4), downsample=2)(made)
    assert torch.nonzero(merged).tolist() == [[0, 0, 0, 0], [0, 0, 1, 3]]


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_types(dtype: torch.dtype) -> None:
    spikes = SpikeBinning(dt=5, dtype=dtype)(at_times(0, 0))
    assert spikes.dtype == dtype
    assert spikes.sum() == 1


def test_inputs_are_not_changed() -> None:
    made = some_recording(100)
    before = [getattr(made, field).copy() for field in "xytp"]
    for rule in ("any", "first"):
        SpikeBinning(dt=1000, rule=rule, crop=(2, 2, 30, 30), downsample=3).sparse(made)
    for field, copy in zip("xytp", before, strict=True):
        np.testing.assert_array_equal(getattr(made, field), copy)


def test_without_events() -> None:
    empty = at_times()
    assert SpikeBinning(dt=10, num_steps=3)(empty).shape == (3, 2, 6, 8)
    assert SpikeBinning(dt=10, duration=25)(empty).sum() == 0
    assert SpikeBinning(dt=10, num_steps=3).sparse(empty).time.shape == (0,)
    for alone in ({"dt": 10}, {"num_steps": 3}, {"duration": 10}):
        with pytest.raises(ValueError, match="no length"):
            SpikeBinning(**alone)(empty)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected one or two of"),
        ({"dt": 1, "num_steps": 2, "duration": 3}, "expected one or two of"),
        ({"dt": 0}, "dt is 0, expected a whole number from 1"),
        ({"dt": 2.5}, "dt is 2.5"),
        ({"dt": 1, "downsample": 0}, "downsample is 0"),
        ({"dt": 1, "polarity": "on"}, "polarity is 'on'"),
        ({"dt": 1, "rule": "last"}, "rule is 'last'"),
        ({"dt": 1, "dtype": torch.int64}, "dtype is torch.int64"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpikeBinning(**settings)


def test_area_is_checked() -> None:
    with pytest.raises(ValueError, match="not on the 8 x 6 sensor"):
        SpikeBinning(dt=1, crop=(4, 0, 5, 6))(at_times(0))
    with pytest.raises(ValueError, match="8 x 6 pixels do not divide by 4"):
        SpikeBinning(dt=1, downsample=4)(at_times(0))


def as_tonic(events: Recording) -> np.ndarray[Any, Any]:
    array = np.empty(len(events), [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
    array["x"], array["y"], array["t"], array["p"] = events.x, events.y, events.t, events.p
    return array


@pytest.mark.parametrize("num_steps", [7, 10, 100])
def test_agrees_with_tonic(num_steps: int) -> None:
    """tonic drops a last partial window, and cuts a number of windows at whole microseconds."""
    functional = pytest.importorskip("tonic.functional.to_frame")
    events = some_recording()
    dt = int(events.t[-1] - events.t[0]) // num_steps
    spikes = SpikeBinning(dt=dt)(events)
    for sliced in ({"time_window": dt}, {"n_time_bins": num_steps}):
        frames = functional.to_frame_numpy(as_tonic(events), (34, 34, 2), **sliced)
        assert len(spikes) - len(frames) in (0, 1)
        np.testing.assert_array_equal(spikes[: len(frames)].numpy(), frames > 0)


def test_a_time_that_leaps_does_not_decide_the_memory() -> None:
    """Steps given by the user are the user's; steps counted by a bad clock are refused."""
    leap = Recording(
        x=np.zeros(3, np.int16),
        y=np.zeros(3, np.int16),
        t=np.array([0, 5, 1_468_940_032_000_000]),
        p=np.ones(3, bool),
        sensor_size=(2, 2),
        origin=Origin("here", "test"),
    )
    for given_dt in ({"dt": 1000}, {"dt": 1}):
        for bin in (SpikeBinning(**given_dt), SpikeBinning(**given_dt).sparse):
            with pytest.raises(ValueError, match=r"make 14689400320.* steps.*: give num_steps"):
                bin(leap)
    assert SpikeBinning(dt=1000, num_steps=3).sparse(leap).num_steps == 3
    assert SpikeBinning(num_steps=3).sparse(leap).time.tolist() == [0, 2]
