"""Machine code on disk: found again, never after its source has changed, and no harm in damage."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vdib
from vdib.backends.cpu.disk_cache import sources

COUNT = """
import numpy as np
from vdib.backends.cpu.event_kernels import count

counts = np.zeros(2, np.int64)
count(0, 2, np.eye(2, 5, dtype=np.float32), 1, counts)
assert counts.tolist() == [1, 1], counts
print(sum(count.stats.cache_hits.values()))
"""


class Copy:
    """Of the package in a folder of its own, with a cache that is its own."""

    def __init__(self, root):
        self.root = root
        package = Path(vdib.__file__).parent / "backends"
        for folder in (package, package / "cpu"):
            to = root / "site" / "vdib" / folder.relative_to(package.parent)
            to.mkdir(parents=True)
            for file in folder.glob("*.py"):
                shutil.copy(file, to)
        (root / "site" / "vdib" / "__init__.py").touch()
        self.cpu = to
        self.folder = self.cpu / "__pycache__"

    def start(self):
        environment = dict(os.environ)
        environment.pop("NUMBA_CACHE_DIR", None)
        environment |= {
            "PYTHONPATH": str(self.root / "site"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_CACHE_HOME": str(self.root / "user"),
        }
        command = [sys.executable, "-c", COUNT]
        return subprocess.Popen(
            command, cwd=self.root, env=environment, stdout=subprocess.PIPE, text=True
        )

    def hits(self, process=None):
        """How many kernels were found in the cache; the count itself must be right in any case."""
        process = process or self.start()
        out, _ = process.communicate()
        assert process.returncode == 0
        return int(out)

    def files(self, folder=None):
        return sorted((folder or self.folder).glob("event_kernels.count-*"))


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


def test_code_is_found_until_a_source_changes(copy):
    assert copy.hits() == 0
    (old,) = copy.files()
    assert copy.hits() == 1
    with (copy.cpu / "half.py").open("a") as file:  # which the compiled function only calls
        file.write("\n# changed\n")
    assert copy.hits() == 0
    (new,) = copy.files()
    assert new != old
    assert copy.hits() == 1


def test_damaged_files_cost_time_only(copy):
    assert copy.hits() == 0
    (file,) = copy.files()
    whole = file.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (b"", whole[:middle], flipped):
        file.write_bytes(damaged)
        assert copy.hits() == 0
    assert copy.hits() == 1
    file.unlink()
    file.mkdir()  # what can be neither read nor replaced
    assert copy.hits() == 0


def test_processes_that_write_at_once(copy):
    processes = [copy.start() for _ in range(2)]
    for process in processes:
        copy.hits(process)
    assert len(copy.files()) == 1
    assert copy.hits() == 1


def test_without_a_folder_beside_the_source(copy):
    copy.folder.touch()  # a file where the folder would be
    assert copy.hits() == 0
    assert copy.hits() == 1
    (folder,) = (copy.root / "user" / "numba").iterdir()
    assert len(copy.files(folder)) == 1
    shutil.rmtree(copy.root / "user")
    (copy.root / "user").touch()  # and none for the user
    assert copy.hits() == 0


def test_the_key_holds_all_sources():
    from vdib.backends.cpu import event_kernels, layer_backward, layer_forward  # noqa: F401

    cpu = {"arithmetic", "disk_cache", "half", "jit", "layer_state", "prefetch"}
    for module, others in (
        ("layer_forward", {"noise"}),
        ("layer_backward", {"slope"}),
        ("event_kernels", set()),
    ):
        found = set(sources(f"vdib.backends.cpu.{module}"))
        expected = {f"vdib.backends.cpu.{name}" for name in {module, *others, *cpu}}
        if module == "event_kernels":
            expected -= {"vdib.backends.cpu.layer_state", "vdib.backends.cpu.prefetch"}
        else:
            expected |= {"vdib.backends.kinds"}
        assert found == expected
