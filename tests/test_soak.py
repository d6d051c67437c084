"""The soak of `soak.py`, for seconds, and that it finds what grows."""

import sys

import pytest
import soak
from soak import Look, fault

# Lightning calls what jsonargparse has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]


def test_what_grows_is_found():
    flat = [Look(100 + (i % 3), 7, 2) for i in range(40)]
    assert fault(flat) == ""
    filling = [Look(50.0, 3, 1)] * 10 + flat  # caches, in the first quarter
    assert fault(filling) == ""
    leak = [Look(100 + 0.5 * i, 7, 2) for i in range(40)]
    assert fault(leak).startswith("memory grew by ")
    assert fault([Look(100, 7 + i // 10, 2) for i in range(40)]) == "handles: 8, later 10"
    assert fault([Look(100, 7, 2 + i // 30) for i in range(40)]) == "threads: 2, later 3"


def test_a_stream_stays_as_it_is():
    looks, count = soak.stream(0)
    assert count == 8_000
    assert fault(looks) == ""


def test_naturalising_opens_nothing_that_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(soak, "repeated", lambda once, seconds: soak_of(once))

    def soak_of(once):
        looks = []
        for _ in range(4):
            assert once() == 1
            looks.append(Look.now())
        return looks, 4

    looks, _ = soak.naturalise(0, tmp_path)
    assert len({look.handles for look in looks[1:]}) == 1
    assert len({look.threads for look in looks[1:]}) == 1
    assert (tmp_path / "images").is_dir()
