"""Machine code on disk, under a key that holds everything it was made from.

Numba's own cache only watches the file of the function that is called, and fails on a damaged file.
Here the name of a file holds a hash of all sources that the code came from, and another one of the
compiler's version, the processor and the types of the arguments. So code of an older source is
never found, and is removed when its successor is saved.

A file is whole or not there: it is written under another name and moved. One that is damaged counts
as missing, and where none can be written every process compiles for itself: all that the cache can
cost is time.
"""

import ast
import hashlib
import pickle
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, _Cache
from numba.core.serialize import dumps

_PACKAGE = __name__.partition(".")[0]
_DIGEST = hashlib.sha256().digest_size


def sources(module: str) -> dict[str, bytes]:
    """The source of a module, and of all modules of this package that it imports, by their names.

    Raises:
        OSError: where they are not files.
    """
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = Path(sys.modules[name].__file__ or "").read_bytes()
        for node in ast.walk(ast.parse(found[name])):
            imported: list[str] = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):  # a module's contents, or modules of a package
                assert node.module, "relative imports are not followed"
                imported = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            waiting += [
                name for name in imported if name.startswith(f"{_PACKAGE}.") and name in sys.modules
            ]
    return found


@lru_cache
def source_hash(module: str) -> str:
    """Of `sources`; of the state in which they were first asked for, shortly after their import."""
    return hashlib.sha256(repr(sorted(sources(module).items())).encode()).hexdigest()[:12]


class DiskCache(_Cache):  # type: ignore[misc, unused-ignore]
    """What numba asks for the machine code of one function, a file for every set of argument types.

    The folder is numba's choice: `NUMBA_CACHE_DIR`, `__pycache__` beside the source, or the user's
    cache folder, the first of them that can be written to.

    Args:
        function: at the top level of a module, or with a qualified name of its own there.

    Raises:
        RuntimeError: no such folder.
        OSError: the sources are not files.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._numba: Any = CompileResultCacheImpl(function)  # type: ignore[no-untyped-call, unused-ignore]
        self._folder = Path(self._numba.locator.get_cache_path())
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self._source = source_hash(function.__module__)

    @property
    def cache_path(self) -> str:
        return str(self._folder)

    def _file(self, types: Any, codegen: Any) -> Path:
        made_for = types, codegen.magic_tuple(), numba.__version__, sys.version
        digest = hashlib.sha256(repr(made_for).encode()).hexdigest()[:12]
        return self._folder / f"{self._name}-{self._source}-{digest}.nbc"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for such arguments; None where there is no good file."""
        target_context.refresh()
        try:
            stored = self._file(sig, target_context.codegen()).read_bytes()
        except OSError:
            return None
        digest, code = stored[:_DIGEST], stored[_DIGEST:]
        if hashlib.sha256(code).digest() != digest:
            return None
        return self._numba.rebuild(target_context, pickle.loads(code))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, in place of those of other sources."""
        if not self._numba.check_cachable(data):
            return
        code: bytes = dumps(self._numba.reduce(data))  # type: ignore[no-untyped-call, unused-ignore]
        file = self._file(sig, data.codegen)
        unfinished = file.with_suffix(f".{uuid.uuid4().hex}")
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                unfinished.write_bytes(hashlib.sha256(code).digest() + code)
                unfinished.replace(file)
            finally:
                unfinished.unlink(missing_ok=True)
            for other in self._folder.glob(f"{self._name}-*.nbc"):
                if not other.name.startswith(f"{self._name}-{self._source}-"):
                    other.unlink(missing_ok=True)

    def enable(self) -> None:
        """Nothing: it always is."""

    def disable(self) -> None:
        """Nothing: whoever wants no cache makes none."""

    def flush(self) -> None:
        """Nothing: no index is kept."""
