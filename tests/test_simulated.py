"""Simulated data sets: which digits, which ids, and the same events for the same seed."""

from typing import Any

import numpy as np
import pytest
import recordings as make

from vdib.datasets import simulated
from vdib.datasets.simulated import SimulatedMNISTDVS, SimulatedNMNIST

BOTH = [SimulatedMNISTDVS, SimulatedNMNIST]


@pytest.fixture(autouse=True)
def ten_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten sources: reading 5,000 takes a while."""
    monkeypatch.setattr(simulated, "source_images", lambda split, source: TEN[split])
    monkeypatch.setattr(simulated, "class_images", lambda source: CLASSES)


def ten(start: int) -> Any:
    """Bright squares of different sizes, with numbers as of `recordings.numbered_digits`."""
    found = make.numbered_digits(start, start + 10)
    for i, image in enumerate(found.images):
        image[8 : 12 + i, 8:20] = 255
    return found


TEN = {"train": ten(0), "validation": ten(10), "test": ten(20)}
CLASSES = ten(30).images.numpy()


@pytest.mark.parametrize("kind", BOTH)
def test_the_same_seed_gives_the_same_events(kind: Any) -> None:
    first, second, other = kind("train", 3, 5), kind("train", 3, 5), kind("train", 3, 6)
    assert first.shown == second.shown
    events = make.fields(first.recording(1))
    assert len(events[0]) > 100
    assert make.fields(second.recording(1)) == events
    assert first.identity() == second.identity() != other.identity()
    other = kind("train", 10, 6)
    same_digit = [shown.id for shown in other.shown].index(first.shown[1].id)
    assert make.fields(other.recording(same_digit)) != events


@pytest.mark.parametrize("kind", BOTH)
def test_digits_repeat_only_when_all_were_shown(kind: Any) -> None:
    data = kind("train", 25, 0)
    shown = [make.number_of(image) for image in data.sources]
    assert sorted(shown[:10]) == sorted(shown[10:20]) == list(range(10))
    assert len(set(shown[20:])) == 5
    ids = [item.id for item in data.shown]
    assert len(set(ids)) == 25
    assert [id % 100_000 for id in ids] == shown
    assert min(ids) >= 100_000  # above those of real recordings
    a, b = (data.recording(i) for i in (0, shown.index(shown[0], 10)))
    assert make.fields(a) != make.fields(b)


@pytest.mark.parametrize("kind", BOTH)
def test_targets(kind: Any) -> None:
    own = kind("validation", 12, 0)
    for source, shown in zip(own.sources, own.shown, strict=True):
        np.testing.assert_array_equal(own.images[shown.image], source)
        assert shown.label == make.number_of(source) % 10
    one_each = kind("validation", 12, 0, target="class")
    assert [s.label for s in one_each.shown] == [s.label for s in own.shown]
    for shown in one_each.shown:
        assert make.number_of(one_each.images[shown.image]) == 30 + shown.label


@pytest.mark.parametrize(
    ("kind", "size", "us"),
    [(SimulatedMNISTDVS, (128, 128), 2_000_000), (SimulatedNMNIST, (34, 34), 306_000)],
)
def test_recordings_look_like_their_cameras(kind: Any, size: tuple[int, int], us: int) -> None:
    recording = kind("test", 1).recording(0)
    assert recording.sensor_size == size
    assert us * 0.9 < np.ptp(recording.t) < us * 1.5


def test_identity_tells_the_camera_the_split_and_the_size() -> None:
    made = [kind(split, size) for kind in BOTH for split in ("train", "test") for size in (2, 3)]
    identities = [repr(data.identity()) for data in made]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("settings", [{"size": 0}, {"target": "digit"}])
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected at least 1 and 'source', "):
        SimulatedNMNIST("train", **settings)
