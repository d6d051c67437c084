"""YAML from strangers: what a parser may be given without hanging or filling the memory.

Nothing in it is executed: `yaml.safe_load` knows no tags of Python's. What is left are aliases,
through which a kilobyte says a billion numbers, or holds itself.
"""

MAX_BYTES = 1 << 20
MAX_VALUES = 10_000


def check_yaml(text: str) -> None:
    """Raise where a text is too much for a file of settings; what does not parse passes.

    Raises:
        ValueError: over a megabyte, over 10,000 values once aliases stand for what they name, a
            value that holds itself, or nesting without end (one line).
    """
    import yaml  # type: ignore[import-untyped]

    if len(text) > MAX_BYTES:
        raise ValueError(f"{len(text)} characters, expected {MAX_BYTES} at most: no settings")
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        count = 0 if root is None else _values(root, {}, set())
    except RecursionError as error:
        raise ValueError("nested too deeply: no settings") from error
    except yaml.YAMLError:
        return  # the parser says where
    if count > MAX_VALUES:
        raise ValueError(f"{count} values, expected {MAX_VALUES} at most: no settings")


def _values(node: object, known: dict[int, int], above: set[int]) -> int:
    """How many values a node holds, each alias as often as it stands there."""
    if id(node) in above:
        raise ValueError("a value holds itself: no settings")
    if id(node) not in known:
        value = getattr(node, "value", "")
        below = [] if isinstance(value, str) else value
        parts = [part for item in below for part in (item if isinstance(item, tuple) else (item,))]
        inside = above | {id(node)}
        known[id(node)] = 1 + sum(_values(part, known, inside) for part in parts)
    return known[id(node)]
