"""Learning to encode and decode time with spiking neural networks.

A stochastic-threshold spiking encoder and an artificial decoder, trained together through the
variational directed information bottleneck (Skatchkovsky, Simeone & Jang, "Learning to
Time-Decode in Spiking Neural Networks Through the Information Bottleneck", NeurIPS 2021,
https://arxiv.org/abs/2106.01177).

The names to begin with are in `__init__.pyi`, which type checkers read; here each is imported when
it is first asked for, so that `import vdib` costs nothing.
"""

from functools import cache
from importlib import import_module
from pathlib import Path

from vdib.version import __version__ as __version__

# `datasets/`, `lightning_modules/` and `configs/` lie beside this package in a checkout and inside
# it once installed; a checkout finds them as `vdib.datasets` and so on through this search path.
if not (Path(__file__).parent / "datasets").is_dir():
    __path__.append(str(Path(__file__).parent.parent))


def __getattr__(name: str) -> object:
    if name.startswith("__") or name not in (modules := _public()):
        raise AttributeError(f"module 'vdib' has no attribute {name!r}")
    value: object = getattr(import_module(modules[name]), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_public()})


@cache
def _public() -> dict[str, str]:
    """Public names and their modules, read off the stub: a second list would go its own way."""
    import ast

    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}
