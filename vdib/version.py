"""The version, apart: to type checkers, what imports `vdib` itself imports all of it."""

__version__ = "0.1.0"
