"""Optional packages, imported where they are needed and asked for by name where missing."""

import importlib
from typing import Any


def import_extra(module: str, extra: str) -> Any:
    """The module, or an ImportError of one line that says what to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ImportError(f"the package {module!r} is missing: pip install vdib[{extra}]") from None
