"""What a sweep varies: `key=values` of the command line, for any key of the configuration.

>>> over("data.lag=-1:1").values, over("model.hidden=[20,30],[40]").values
(('-1', '0', '1'), ('[20,30]', '[40]'))
>>> search("model.beta=1e-3:10:log")
Range(key='model.beta', low=0.001, high=10.0, log=True, whole=False)
"""

import re
from dataclasses import dataclass

INTEGERS = re.compile(r"(-?\d+):(-?\d+)(?::(\d+))?")


@dataclass(frozen=True)
class Choice:
    """One of several values, as the command line has them.

    Attributes:
        key: of the configuration, such as `model.beta`.
        values: the words.
    """

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    Attributes:
        key: of the configuration.
        low, high: the ends.
        log: whether ratios rather than differences count.
        whole: whole numbers only.
    """

    key: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and not self.low > 0):
            bounds = "0 < low < high" if self.log else "low < high"
            raise ValueError(f"{self.key}: got {self.low:g} to {self.high:g}, expected {bounds}")


def over(text: str) -> Choice:
    """`key=a,b,c`, or `key=low:high[:step]` for whole numbers, the ends included."""
    key, words = _split(text)
    if found := INTEGERS.fullmatch(words):
        low, high, step = int(found[1]), int(found[2]), int(found[3] or 1)
        if low > high or step < 1:
            raise ValueError(f"{text}: expected low <= high and a step of at least 1")
        return Choice(key, tuple(str(value) for value in range(low, high + 1, step)))
    # Commas within brackets belong to a value.
    values = tuple(re.split(r",(?![^\[({]*[\])}])", words))
    if len(set(values)) < len(values) or "" in values:
        raise ValueError(f"{text}: expected distinct values")
    return Choice(key, values)


def search(text: str) -> Choice | Range:
    """`key=low:high[:log]`, or `key=a,b` for categories."""
    key, words = _split(text)
    if ":" not in words:
        return over(text)
    low, high, *rest = words.split(":")
    if rest not in ([], ["log"]):
        raise ValueError(f"{text}: expected {key}=low:high or {key}=low:high:log")
    try:
        ends = float(low), float(high)
    except ValueError:
        raise ValueError(f"{text}: the ends are to be numbers") from None
    whole = bool(INTEGERS.fullmatch(f"{low}:{high}"))
    return Range(key, *ends, log=bool(rest), whole=whole)


def _split(text: str) -> tuple[str, str]:
    key, equals, words = text.partition("=")
    if not (equals and words and re.fullmatch(r"(model|data|trainer)(\.\w+)+", key)):
        raise ValueError(f"{text}: expected key=values, such as model.beta=0.01,1")
    return key, words
