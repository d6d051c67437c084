"""Fetch MNIST-DVS: `python -m vdib.datasets.download_mnist_dvs [--digits 0 7] [--root DIR]`.

The authors' server is often down. By hand: get grabbed_data0.zip to grabbed_data9.zip, or any of
them, from the address below, and unpack them anywhere below `$VDIB_DATA/mnist_dvs` or the folder
that is printed.
"""

import argparse
import hashlib
import os
import shutil
import stat
import sys
import urllib.request
import zipfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.datasets.cache import default_folders
from vdib.datasets.mnist_dvs_files import NAME, find
from vdib.datasets.one_at_a_time import one_at_a_time
from vdib.files import cache_folder

URL = "http://www2.imse-cnm.csic.es/caviar/MNIST_DVS"
# Of one public source; the authors publish none.
MD5 = (
    "451c1d2f6b195ce96d1dd478ee8aaf6e",
    "22259ae8871800b5eecf9e0eb8146ea5",
    "6d3ad96939b702f095d027ce89f1297c",
    "e4833915a1514598c4ae046e5e09cf93",
    "e183266a0b670b5336ba4d39d4bd30ae",
    "abf900993c268a763639c3074b6f92bb",
    "971db9a99e95b408837518c7727a223c",
    "a3cb115f19a736f4fc3590f36012bc87",
    "fe5da6c6f559abf397a32439a6c1cd3f",
    "73a3007c1c1ab4bfad9ce07ea76d540d",
)
MAX_RECORDING = 1 << 26
"""Bytes of one recording, unpacked: a hundred times what they have."""

MAX_ARCHIVE = 1 << 30
"""Bytes of an archive: four times what they have. A server may send without end."""

_SCRATCH = ".mnist_dvs-"
"""Hidden, so that what is left of it after a power cut is not taken for recordings."""

MAX_EXPANSION = 100
"""An archive that would unpack to over so many times its own bytes is taken for an attack."""


def download(
    root: str | os.PathLike[str] | None = None,
    digits: Sequence[int] = tuple(range(10)),
    scale: int = 4,
) -> Path:
    """The archives of these digits, checked and unpacked; digits that are there are left alone.

    Returns:
        The folder, by default the user's cache.

    Raises:
        OSError: the server does not answer, or an archive is not what it should be (one line).
    """
    folder = cache_folder() / "mnist_dvs" if root is None else Path(root)
    places = default_folders("mnist_dvs") if root is None else [folder]

    def missing() -> list[int]:
        return sorted(set(digits) - {digit for digit, _, _ in find(places, scale)})

    if not missing():
        return folder
    with one_at_a_time(folder, "mnist_dvs"):
        for left in folder.glob(f"{_SCRATCH}*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        for digit in missing():
            with TemporaryDirectory(dir=folder, prefix=_SCRATCH) as scratch:
                archive = Path(scratch) / f"grabbed_data{digit}.zip"
                _fetch(f"{URL}/{archive.name}", archive, folder)
                found = _md5(archive)
                if found != MD5[digit]:
                    raise OSError(f"{archive.name}: MD5 {found}, expected {MD5[digit]}")
                extract(archive, folder)
    return folder


def extract(archive: Path, root: Path) -> int:
    """Unpack the recordings of an archive below `root`; how many there were.

    They are moved there once all are unpacked, those of one scale in one step: after a kill a
    scale is whole or absent, unless somebody had put some of its recordings there before.

    Only members named as recordings are written, `mnist_D_scaleSS_NNNN.aedat`, to
    `grabbed_dataD/scaleS` whatever folders the archive names, and no links; never more than
    `MAX_RECORDING` bytes of one, nor `MAX_EXPANSION` times the archive in all.

    Raises:
        OSError: the archive is damaged, too large unpacked, or holds no recordings (one line).
    """
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root, prefix=_SCRATCH) as name:
        scratch = Path(name)
        try:
            with zipfile.ZipFile(archive) as zipped:
                placed = _unpack(zipped, archive, scratch)
        except OSError:
            raise
        except Exception as error:  # zipfile and zlib raise a dozen types on damaged archives
            raise OSError(f"{archive} is damaged: {error}") from None
        for folder in sorted({place.parent for place in placed}):
            (root / folder.parent).mkdir(exist_ok=True)
            if not (root / folder).exists():
                os.replace(scratch / folder, root / folder)
                continue
            for place in placed:
                if place.parent == folder:
                    os.replace(scratch / place, root / place)
    return len(placed)


def _unpack(zipped: zipfile.ZipFile, archive: Path, scratch: Path) -> list[Path]:
    """Recordings to where they belong, below a folder; their places."""
    total = sum(member.file_size for member in zipped.infolist())
    if total > MAX_EXPANSION * archive.stat().st_size:
        raise OSError(f"{archive}: {total} bytes unpacked, over {MAX_EXPANSION} times its own")
    placed = []
    for member in zipped.infolist():
        name = member.filename.replace("\\", "/").split("/")[-1]
        recording = NAME.fullmatch(name)
        if recording is None or stat.S_ISLNK(member.external_attr >> 16):
            continue
        if member.file_size > MAX_RECORDING:
            raise OSError(f"{archive}: {name} has {member.file_size} bytes")
        place = Path(f"grabbed_data{recording[1]}", f"scale{int(recording[2])}", name)
        (scratch / place).parent.mkdir(parents=True, exist_ok=True)
        with zipped.open(member) as source, (scratch / place).open("wb") as file:
            shutil.copyfileobj(source, file)  # zipfile stops at the size it announced
        placed.append(place)
    if not placed:
        raise OSError(f"{archive} holds no recordings (mnist_D_scaleSS_NNNN.aedat)")
    return placed


def _fetch(url: str, path: Path, root: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer, path.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0) or None
            with tqdm(desc=path.name, total=total, unit="B", unit_scale=True, disable=None) as bar:
                while block := answer.read(1 << 20):
                    file.write(block)
                    if file.tell() > MAX_ARCHIVE:
                        raise OSError(f"over {MAX_ARCHIVE} bytes")
                    bar.update(len(block))
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error) or type(error).__name__
        raise OSError(
            f"{url}: {reason}; the server is often down: get the file elsewhere and unpack it "
            f"anywhere below {root}"
        ) from None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def main(args: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m vdib.datasets.download_mnist_dvs",
        description="Fetch MNIST-DVS (about 250 MB a digit), check it, and unpack it.",
    )
    parser.add_argument("--digits", type=int, nargs="+", choices=range(10), default=range(10))
    parser.add_argument("--root", type=Path, help="default: the user's cache")
    options = parser.parse_args(args)
    try:
        print(download(options.root, options.digits))
    except OSError as error:
        print(f"vdib: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
