"""The house's one rule of imports, read off the syntax trees: one way, and never round in a circle.

Imports inside functions and under `TYPE_CHECKING` count as any other.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
FOLDERS = ("vdib", "datasets", "lightning_modules", "configs")

# From the ground up: a part imports from its own level and from those below. Above them all are the
# commands, which are found: what `python -m vdib.NAME` runs.
LEVELS = (
    ("vdib.noise", "vdib.sparse", "vdib.precision", "vdib.files"),
    ("vdib.dynamics",),
    ("vdib.backends",),
    ("vdib.neurons",),
    ("vdib",),  # the core: all that no other line names
    (
        "vdib.datasets",
        "vdib.figures",
        "vdib.runs.command",  # what all commands share, and a run on disk, know no Lightning
        "vdib.runs.checkpoint",
        "vdib.runs.exported",
        "vdib.runs.folder",
        "vdib.runs.portable_yaml",
        "vdib.runs.safe_yaml",
    ),
    ("vdib.lightning_modules",),
    ("vdib.runs",),
    ("vdib.configs",),
)


def modules() -> dict[str, Path]:
    """Every module's installed name, and its file in the checkout."""
    found = {}
    for folder in FOLDERS:
        for path in (CHECKOUT / folder).rglob("*.py"):
            parts = path.relative_to(CHECKOUT).with_suffix("").parts
            parts = parts if folder == "vdib" else ("vdib", *parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
COMMANDS = {
    name.removesuffix(".__main__")
    for name, path in MODULES.items()
    if name.removesuffix(".__main__").count(".") == 1
    and '__name__ == "__main__"' in path.read_text("utf-8")
}


def imported(name: str) -> set[str]:
    """The modules of ours that a module imports anywhere in its text."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in MODULES else node.module or "")
    return {other for other in names if other in MODULES} - {name}


def level(name: str) -> int:
    """Where a module stands, by the longest entry that it lies under."""
    places = [
        (len(entry), i)
        for i, entries in enumerate((*LEVELS, COMMANDS))
        for entry in entries
        if name == entry or name.startswith(f"{entry}.")
    ]
    return max(places)[1]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_downwards(name):
    upwards = {other for other in imported(name) if level(other) > level(name)}
    assert not upwards, f"{name} imports from above: {sorted(upwards)}"


def test_no_imports_go_round_in_a_circle():
    graph = {name: imported(name) for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_only_backends_import_compilers():
    for name, path in MODULES.items():
        if not name.startswith("vdib.backends."):
            text = path.read_text("utf-8")
            assert "import numba" not in text, name
            assert "import triton" not in text, name


def test_no_file_is_longer_than_a_reader_can_hold():
    """Kernels that the compiler wants in one file may be longer."""
    long = {
        name: lines
        for name, path in MODULES.items()
        if (lines := len(path.read_text("utf-8").splitlines())) > 250
        and not name.endswith("_kernels")
    }
    assert not long
