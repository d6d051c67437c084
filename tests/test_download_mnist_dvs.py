"""The download of MNIST-DVS: archives as they should be, and hostile, damaged and missing ones."""

import hashlib
import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings as make

from vdib.datasets import download_mnist_dvs as module
from vdib.datasets.download_mnist_dvs import download, extract, main
from vdib.datasets.mnist_dvs import find

GOOD = {
    f"grabbed_data0/scale{scale}/mnist_0_scale{scale:02}_{n:04}.aedat": b"%d %d" % (scale, n) * 50
    for scale in (4, 8, 16)
    for n in (1, 2)
}


def archive(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", kind) as zipped:
        for name, content in members.items():
            zipped.writestr(zipfile.ZipInfo(name), content, kind)
    return path


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the server's place, and nothing in VDIB_DATA and the cache."""
    for name in ("VDIB_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setattr(module, "URL", folder.as_uri())
    return folder


def serve(server: Path, monkeypatch: pytest.MonkeyPatch, *digits: int) -> None:
    sums = list(module.MD5)
    for digit in digits:
        named = {name.replace("_0_", f"_{digit}_"): content for name, content in GOOD.items()}
        path = archive(server / f"grabbed_data{digit}.zip", named)
        sums[digit] = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "MD5", tuple(sums))


def test_downloads_checks_and_unpacks(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(server, monkeypatch, 0, 7)
    root = server.parent / "root"
    assert download(root, (0, 7)) == root
    written = make.same_files(root)
    assert {name: written[name] for name in GOOD} == GOOD
    assert len(written) == 2 * len(GOOD)  # and no archive, nor anything half done
    assert [item[:2] for item in find([root], 4)] == [(0, 1), (0, 2), (7, 1), (7, 2)]


def test_what_is_there_is_left_alone(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(server, monkeypatch, 0)
    root = download(None, (0,))
    assert root == server.parent / "XDG_CACHE_HOME" / "vdib" / "mnist_dvs"
    for path in server.iterdir():
        path.unlink()
    assert download(None, (0,)) == root
    given = server.parent / "VDIB_DATA" / "mnist_dvs" / "by hand"
    given.mkdir(parents=True)
    (given / "mnist_3_scale04_0001.aedat").write_bytes(b"")
    download(None, (0, 3))
    with pytest.raises(OSError, match=r"grabbed_data3\.zip"):
        download(None, (3,), scale=8)


def test_a_wrong_checksum_leaves_nothing(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(server, monkeypatch, 0)
    monkeypatch.setattr(module, "MD5", ("0" * 32,) * 10)
    with pytest.raises(OSError, match=r"MD5 [0-9a-f]{32}, expected 0000") as caught:
        download(server.parent / "root", (0,))
    make.one_line(caught.value, "grabbed_data0.zip")
    assert list((server.parent / "root").iterdir()) == []


class Broken(io.BytesIO):
    """A connection that breaks in the middle."""

    headers: dict[str, str] = {}  # noqa: RUF012

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(100)
        if not block:
            raise self.error
        return block

    error: BaseException = ConnectionResetError("reset by peer")


@pytest.mark.parametrize(
    "error", [ConnectionResetError("reset"), TimeoutError(), KeyboardInterrupt()]
)
def test_an_interrupted_download_leaves_nothing(
    server: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def connect(*args: Any, **settings: Any) -> Broken:
        connection = Broken(bytes(250))
        connection.error = error
        return connection

    monkeypatch.setattr("urllib.request.urlopen", connect)
    with pytest.raises((OSError, KeyboardInterrupt)) as caught:
        download(server.parent / "root", (0,))
    assert list((server.parent / "root").iterdir()) == []
    if isinstance(caught.value, OSError):
        make.one_line(caught.value, "grabbed_data0.zip", "often down", str(server.parent / "root"))


def test_an_interrupted_unpacking_leaves_nothing(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server, monkeypatch, 0)
    real, calls = module.shutil.copyfileobj, []

    def stop(source: Any, file: Any) -> None:
        calls.append(1)
        real(source, file)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module.shutil, "copyfileobj", stop)
    root = server.parent / "root"
    with pytest.raises(KeyboardInterrupt):
        download(root, (0,))
    assert list(root.iterdir()) == []
    monkeypatch.setattr(module.shutil, "copyfileobj", real)
    download(root, (0,))
    assert make.same_files(root) == GOOD


def test_names_that_lead_elsewhere_stay_inside(tmp_path: Path) -> None:
    """Whatever folders a member names, it goes where recordings of its name belong."""
    name = "mnist_0_scale04_{:04}.aedat"
    members = {
        prefix + name.format(n): b"%d" % n
        for n, prefix in enumerate(
            ["../../", "/etc/", "C:\\windows\\", "a/../../../b/", "", "x/y/z/"]
        )
    }
    others = dict.fromkeys(
        ["../evil.sh", "/evil.aedat", "a/../../evil", "evil/", "mnist_0.aedat"], b"!"
    )
    path = archive(tmp_path / "deep" / "down" / "a.zip", {**members, **others})
    root = tmp_path / "deep" / "root"
    assert extract(path, root) == len(members)
    assert make.same_files(root) == {
        f"grabbed_data0/scale4/{name.format(n)}": b"%d" % n for n in range(len(members))
    }
    assert sorted(p.name for p in tmp_path.rglob("*") if "evil" in p.name) == []


def test_links_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        link = zipfile.ZipInfo("scale4/mnist_0_scale04_0001.aedat")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "/etc/passwd")
        zipped.writestr("scale4/mnist_0_scale04_0002.aedat", b"good")
    assert extract(path, tmp_path / "root") == 1
    assert list(make.same_files(tmp_path / "root").values()) == [b"good"]


@pytest.mark.parametrize("limit", ["MAX_RECORDING", "MAX_EXPANSION"])
def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    if limit == "MAX_RECORDING":
        monkeypatch.setattr(module, "MAX_RECORDING", 1 << 16)
        monkeypatch.setattr(module, "MAX_EXPANSION", 10**9)
    path = archive(tmp_path / "a.zip", {**GOOD, "mnist_0_scale04_0009.aedat": bytes(1 << 22)})
    with pytest.raises(OSError, match="bytes") as caught:
        extract(path, tmp_path / "root")
    make.one_line(caught.value, str(path))
    assert list((tmp_path / "root").iterdir()) == []


def test_a_damaged_archive_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.zip", GOOD).read_bytes()
    rng = np.random.default_rng(0)
    damages = [b"", b"junk", whole[: len(whole) // 2], whole[:-10]]
    for _ in range(60):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        damages.append(bytes(changed))
    for i, damage in enumerate(damages):
        (tmp_path / "a.zip").write_bytes(damage)
        root = tmp_path / f"root{i}"
        try:
            extract(tmp_path / "a.zip", root)
        except OSError as error:
            make.one_line(error, "a.zip")
            assert list(root.iterdir()) == []
        else:  # where neither names nor contents are hit
            assert set(make.same_files(root).values()) <= set(GOOD.values())


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"readme.txt": b"words"})
    with pytest.raises(OSError, match="holds no recordings"):
        extract(path, tmp_path / "root")


def test_the_command(
    server: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, monkeypatch, 0)
    root = server.parent / "root"
    assert main(["--digits", "0", "--root", str(root)]) == 0
    assert capsys.readouterr().out == f"{root}\n"
    assert main(["--digits", "1", "--root", str(root)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    make.one_line(line, "vdib: ", "grabbed_data1.zip", str(root))


# Kills, and several processes.


def test_a_kill_between_two_moves_leaves_whole_scales(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server, monkeypatch, 0)
    root = server.parent / "root"
    real, calls = module.os.replace, []

    def killed(source: Any, target: Any) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        real(source, target)

    monkeypatch.setattr(module.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        download(root, (0,))
    left = make.same_files(root)
    (scale,) = {Path(name).parent for name in left}
    assert left == {name: content for name, content in GOOD.items() if Path(name).parent == scale}
    monkeypatch.setattr(module.os, "replace", real)
    for wanted in (4, 8, 16):
        download(root, (0,), scale=wanted)
    assert make.same_files(root) == GOOD


def test_what_a_killed_process_left_is_removed(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server, monkeypatch, 0)
    root = server.parent / "root"
    (root / ".mnist_dvs-abc").mkdir(parents=True)
    (root / ".mnist_dvs-abc" / "mnist_0_scale04_0009.aedat").write_bytes(b"half")
    download(root, (0,))
    assert make.same_files(root) == GOOD


def test_recordings_put_there_by_hand_are_kept(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server, monkeypatch, 0)
    root = server.parent / "root"
    own = root / "grabbed_data0" / "scale4" / "mnist_0_scale04_0700.aedat"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"own")
    download(root, (0,), scale=8)
    assert own.read_bytes() == b"own"
    assert len(make.same_files(root)) == len(GOOD) + 1


def test_two_at_once_fetch_once(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    serve(server, monkeypatch, 0)
    root = server.parent / "root"
    real, fetched = module._fetch, []

    def fetch(*args: Any) -> None:
        fetched.append(1)
        real(*args)

    monkeypatch.setattr(module, "_fetch", fetch)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: download(root, (0,)), range(4))) == [root] * 4
    assert fetched == [1]
    assert make.same_files(root) == GOOD


def test_a_server_without_end_is_stopped(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(server, monkeypatch, 0)
    monkeypatch.setattr(module, "MAX_ARCHIVE", 100)
    with pytest.raises(OSError, match="over 100 bytes"):
        download(server.parent / "root", (0,))
    assert make.same_files(server.parent / "root") == {}
