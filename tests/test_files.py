"""Files appear whole or not at all, and caches cost time only."""

import errno
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from vdib.datasets.cache import cached
from vdib.files import cache_folder, replacing

posix = pytest.mark.skipif(os.name != "posix", reason="homes and owners as on POSIX")


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    longest = tmp_path / ("n" * 255)
    with replacing(longest):
        pass
    assert longest.read_bytes() == b""


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left") as caught, replacing(path) as file:
        file.write(b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_whatever_interrupts_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def write():
        with replacing(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said_by_the_name_of_the_file(tmp_path):
    path = tmp_path / "absent" / "a"
    with pytest.raises(FileNotFoundError) as caught, replacing(path):
        pass
    assert caught.value.filename == str(path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own, temporary files elsewhere, and nothing said about caches."""
    folder, scratch = tmp_path / "home", tmp_path / "tmp"
    for made in (folder, scratch):
        made.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return folder


@posix
@pytest.mark.parametrize(
    ("platform", "where"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")],
)
def test_the_cache_lies_where_the_platform_has_them(home, monkeypatch, platform, where):
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == home / where / "vdib"
    said = "LOCALAPPDATA" if platform == "win32" else "XDG_CACHE_HOME"
    monkeypatch.setenv(said, str(home / "said"))
    assert cache_folder() == home / "said" / "vdib"
    assert list(home.iterdir()) == []


@posix
def test_without_a_home_the_cache_is_a_private_temporary_folder(home, monkeypatch):
    private = home.parent / "tmp" / f"vdib-{os.getuid()}"
    # No folder can be made below a file, not even by root.
    (home / ".cache").write_text("in the way")
    assert cache_folder() == cache_folder() == private
    assert private.stat().st_mode & 0o777 == 0o700

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() == private
    private.chmod(0o777)  # somebody else could have put something there
    other = cache_folder()
    assert other != private
    assert other.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(tempfile, "tempdir", str(home / ".cache"))
    nowhere = cache_folder()
    with pytest.raises(OSError, match=r"directory|folder"):
        nowhere.mkdir(parents=True)


@pytest.mark.parametrize("content", [None, b"", b"PK\3\4 and no more"])
def test_a_cache_costs_time_only(tmp_path, capsys, content):
    made = []

    def make():
        made.append(1)
        return {"a": np.arange(3)}

    for _ in range(2):
        assert cached({"x": 1}, make, tmp_path)["a"].tolist() == [0, 1, 2]
    assert len(made) == 1
    (path,) = tmp_path.iterdir()
    if content is not None:
        path.write_bytes(content)
        assert cached({"x": 1}, make, tmp_path)["a"].tolist() == [0, 1, 2]
        assert capsys.readouterr().err == f"vdib: {path} is damaged: making it again\n"
        assert len(made) == 2
    assert cached({"x": 1}, make, path)["a"].tolist() == [0, 1, 2]  # no folder
    assert "not kept for the next run" in capsys.readouterr().err
