"""How a word, and the settings that go with it, become a part of a model."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, Union, cast, get_args, get_origin

Part = TypeVar("Part")


@dataclass(frozen=True)
class Choice(Generic[Part]):
    """One word.

    Attributes:
        part: what it stands for.
        words: what that does, in a line.
    """

    part: Part
    words: str


Choices = Mapping[str, Choice[Part]]


def expected(setting: str, word: object, words: Iterable[str]) -> str:
    """What a wrong word is answered with: those there are, and the nearest."""
    words = list(words)
    near = difflib.get_close_matches(str(word), words, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{setting}: got {word!r}, expected {', '.join(words)}{hint}"


def chosen(
    setting: str, word: str, choices: Choices[Part], settings: Mapping[str, Any] | None = None
) -> Part:
    """What a word stands for.

    Args:
        setting: what is being chosen, for the message.
        word: its name.
        choices: of that part.
        settings: arguments of the part that have a default, by name.

    Raises:
        ValueError: no such word or setting (the nearest is named), or a value of another kind.
    """
    if word not in choices:
        raise ValueError(expected(setting, word, choices))
    part = choices[word].part
    return with_settings(f"{setting}_settings of {word}", part, settings) if settings else part


def with_settings(who: str, part: Part, settings: Mapping[str, Any]) -> Part:
    """A part with some of its arguments bound: numbers, words, and lists of them.

    Args:
        who: it is, for the message.
        part: a function or a class.
        settings: arguments that have a default, by name.

    Raises:
        ValueError: no such setting, or a value of another kind.
    """
    function = cast(Callable[..., Any], part)
    known = {
        name: argument
        for name, argument in inspect.signature(function, eval_str=True).parameters.items()
        if argument.default is not argument.empty and _plain(argument.annotation)
    }
    for name, value in settings.items():
        if name not in known:
            none = f"{who}: it has none; null takes back those of a config"
            raise ValueError(expected(who, name, known) if known else none)
        if not _fits(value, known[name].annotation):
            raise ValueError(
                f"{who}: {name}: got {value!r}, expected {_shown(known[name].annotation)}"
            )
    bound = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    return cast(Part, partial(function, **bound))


_PLAIN = {
    bool: "true or false",
    int: "int",
    float: "float",
    str: "a word",
    NoneType: "null",
}


def _plain(hint: Any) -> bool:
    """Whether a type is made of numbers and words."""
    if get_origin(hint) is Literal or hint in _PLAIN:
        return True
    kinds = [kind for kind in get_args(hint) if kind is not Ellipsis]
    made = get_origin(hint) in (Union, UnionType, tuple, Sequence)
    return made and all(_plain(kind) for kind in kinds)


def _shown(hint: Any) -> str:
    """A type that is `_plain`, in words."""
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(map(str, kinds))
    if origin in (Union, UnionType):
        return ", or ".join(map(_shown, kinds))
    return f"a list, each {_shown(kinds[0])}" if kinds else _PLAIN[hint]


def _fits(value: Any, hint: Any) -> bool:
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in kinds
    if origin in (Union, UnionType):
        return any(_fits(value, kind) for kind in kinds)
    if kinds:  # a list
        return isinstance(value, list | tuple) and all(_fits(one, kinds[0]) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint
