"""Looks at a recording's recent past: against slices of the whole, however it is cut."""

from collections.abc import Iterator

import numpy as np
import pytest
import recordings as make
from hypothesis import given, settings
from hypothesis import strategies as st

from vdib.datasets.recording import Recording
from vdib.datasets.transforms.running import Running

times = st.lists(st.integers(0, 60), min_size=1, max_size=40).map(sorted)


def seen(looks: Iterator[tuple[int, Recording]]) -> list[tuple[int, list[int]]]:
    """The end of each look and which events it holds."""
    return [(end, look.x.tolist()) for end, look in looks]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(t=times, past=st.integers(1, 50), every=st.integers(1, 30), data=st.data())
def test_looks_by_time_are_slices_of_the_whole(
    t: list[int], past: int, every: int, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(t)), max_size=6))
    ends = range(t[0] + every, t[-1] + every + 1, every)
    expected = [(e, [i for i, at in enumerate(t) if e - past <= at < e]) for e in ends]
    expected = [(e, events) for e, events in expected if events]
    assert seen(Running(past, every=every)(make.pieces(make.at_times(*t), cuts))) == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(t=times, past=st.integers(1, 50), events=st.integers(1, 12), data=st.data())
def test_looks_by_events_are_slices_of_the_whole(
    t: list[int], past: int, events: int, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(t)), max_size=6))
    expected = []
    for last in range(events, len(t) + 1, events):
        end = t[last - 1] + 1
        expected.append((end, [i for i in range(last) if t[i] >= end - past]))
    assert seen(Running(past, events=events)(make.pieces(make.at_times(*t), cuts))) == expected


@pytest.mark.parametrize("step", [{"every": 7}, {"events": 3}])
def test_no_events_no_looks(step: dict[str, int]) -> None:
    assert seen(Running(10, **step)([])) == []
    assert seen(Running(10, **step)([make.at_times(), make.at_times()])) == []


@pytest.mark.parametrize("cut", [0, 40, 41, 60])
def test_times_that_leap_make_no_more_looks(cut: int) -> None:
    """From the camera's own clock to us since 1970: as many looks as without the leap."""
    leap = 1_468_940_032_000_000
    t = [*range(40), *range(leap, leap + 400, 10)]
    ends = [end for end, _ in seen(Running(20, every=10)(make.pieces(make.at_times(*t), [cut])))]
    assert ends == [*range(10, 60, 10), *range(leap + 10, leap + 410, 10)]


def test_what_readers_left_out_is_not_told_twice() -> None:
    from dataclasses import replace

    piece = replace(make.at_times(0, 1, 2), num_skipped=5)
    assert [look.num_skipped for _, look in Running(10, every=1)([piece])] == [0, 0, 0]


@pytest.mark.parametrize("step", [{"every": 500}, {"events": 50}])
def test_pieces_are_let_go(step: dict[str, int]) -> None:
    """No more is held than the past and two pieces, however long it goes on."""
    import weakref

    alive: list[weakref.ref[Recording]] = []
    most = 0

    def stream() -> Iterator[Recording]:
        nonlocal most
        for k in range(200):
            piece = make.at_times(*np.arange(k * 1000, (k + 1) * 1000, 100).tolist())
            alive.append(weakref.ref(piece))
            yield piece
            del piece
            most = max(most, sum(ref() is not None for ref in alive))

    for _ in Running(3000, **step)(stream()):
        pass
    assert most <= 3 + 2


@pytest.mark.parametrize(
    "settings",
    [{}, {"every": 1, "events": 1}, {"every": 0}, {"events": 0}, {"every": 1, "past": 0}],
)
def test_settings_are_checked(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected a past of 1 us or more"):
        Running(**{"past": 5, **settings})
