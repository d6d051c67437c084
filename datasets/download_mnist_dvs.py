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
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.datasets.cache import cache_folder
from vdib.datasets.mnist_dvs import find

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
"""Bytes of one recording, unpacked: a hundred times what they have, and no more for a zip bomb."""


def download(
    root: Path | None = None, digits: Sequence[int] = tuple(range(10)), scale: int = 4
) -> Path:
    """The archives of these digits, checked and unpacked; digits that are there are left alone.

    Returns:
        The folder, by default the user's cache.

    Raises:
        OSError: the server does not answer, or an archive is not what it should be (one line).
    """
    root = root or cache_folder() / "mnist_dvs"
    there = {digit for digit, _, _ in find([root], scale)}
    for digit in digits:
        if digit in there:
            continue
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=root) as scratch:
            archive = Path(scratch) / f"grabbed_data{digit}.zip"
            _fetch(f"{URL}/{archive.name}", archive)
            found = _md5(archive)
            if found != MD5[digit]:
                raise OSError(f"{archive.name}: MD5 {found}, expected {MD5[digit]}")
            extract(archive, root)
    return root


def extract(archive: Path, root: Path) -> int:
    """Unpack the recordings of an archive below `root`, and nothing else; how many there were.

    A member is written only where its name is `.../scaleS/<name>.aedat`, below `root` by its last
    three parts, and is no link; never more than `MAX_RECORDING` bytes of it.

    Raises:
        OSError: the archive is damaged, or a member is too large (one line).
    """
    count = 0
    try:
        with zipfile.ZipFile(archive) as zipped:
            for member in zipped.infolist():
                parts = PurePosixPath(member.filename.replace("\\", "/")).parts[-3:]
                is_link = stat.S_ISLNK(member.external_attr >> 16)
                if member.is_dir() or is_link or not parts[-1].endswith(".aedat"):
                    continue
                if any(part in ("..", "/") or ":" in part for part in parts):
                    continue
                if member.file_size > MAX_RECORDING:
                    raise OSError(f"{archive}: {member.filename} has {member.file_size} bytes")
                target = root.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = target.with_name(f".{target.name}.tmp")
                with zipped.open(member) as source, partial.open("wb") as file:
                    shutil.copyfileobj(source, file)  # zipfile stops at the size it announced
                os.replace(partial, target)
                count += 1
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise OSError(f"{archive} is damaged: {error}") from None
    return count


def _fetch(url: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer, path.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0) or None
            with tqdm(desc=path.name, total=total, unit="B", unit_scale=True) as bar:
                while block := answer.read(1 << 20):
                    file.write(block)
                    bar.update(len(block))
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise OSError(
            f"{url}: {reason}; the server is often down: get the file elsewhere and unpack it "
            f"below {path.parent.parent}"
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
