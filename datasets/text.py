"""Texts as sequences of symbols, characters or words, split in order.

A text is one that goes by name, `$VDIB_DATA/text/<name>.txt`, or a file of one's own. Nothing is
downloaded. What Project Gutenberg writes before and after a book is left out, and capitals become
small letters. The vocabulary is that of the training part; what else there is becomes `UNKNOWN`.

    training | validation | test       in the order of the text

A text that is shorter than asked for is split in the same proportions.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

UNKNOWN = "\ufffd"
"""The symbol for all that is not in the vocabulary, always the first."""
NAMES = ("alice", "wiki")
Unit = Literal["character", "word"]
_BOOK = re.compile(
    r"\*\*\* ?START OF TH\w+ PROJECT GUTENBERG[^\n]*\n(.*?)\*\*\* ?END OF TH\w+ PROJECT GUTENBERG",
    re.DOTALL,
)
_WORD = re.compile(r"<unk>|@\S@|[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|[^\w\s]|_")


def find_text(path: str) -> Path:
    """The file of a text, by name or by path.

    Raises:
        FileNotFoundError: there is none (one line).
    """
    if path not in NAMES:
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"{path}: no such text; expected a file, or one of {', '.join(NAMES)}"
            )
        return Path(path)
    root = os.environ.get("VDIB_DATA")
    place = Path(root or "$VDIB_DATA", "text", f"{path}.txt")
    if not place.is_file():
        raise FileNotFoundError(f"{path}: put it into {place}, or give the path of another text")
    return place


def read_text(path: Path) -> str:
    """A text in small letters, without what a publisher wrote around it.

    Raises:
        ValueError: it is not UTF-8 (one line).
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error.reason}") from None
    book = _BOOK.search(text)
    return (book[1] if book else text).strip().lower()


def words(text: str) -> list[str]:
    """Words, numbers and punctuation marks, in order.

    >>> words("'oh dear!' it's 4 o'clock.")
    ["'", 'oh', 'dear', '!', "'", "it's", '4', "o'clock", '.']
    """
    return _WORD.findall(text)


SYMBOLS: dict[Unit, Callable[[str], list[str]]] = {"character": list, "word": words}


@dataclass(frozen=True)
class Text:
    """The symbols of a text.

    Args:
        parts: training, validation and test, as text.
        unit: what a symbol is.
        min_count: how often a symbol occurs in training, at least, to be in the vocabulary.
    """

    parts: tuple[str, str, str]
    unit: Unit = "character"
    min_count: int = 1

    @classmethod
    def of(cls, text: str, sizes: Sequence[int], unit: Unit, min_count: int) -> "Text":
        """A text split in order, sizes in characters.

        Raises:
            ValueError: nothing is left of a part.
        """
        wanted, have = sum(sizes), len(text)
        counts = list(sizes) if wanted <= have else [size * have // wanted for size in sizes]
        if min(counts) < 1:
            raise ValueError(
                f"a text of {have:,} characters is too short to be split by {list(sizes)}"
            )
        ends = (counts[0], counts[0] + counts[1], sum(counts))
        return cls(
            (text[: ends[0]], text[ends[0] : ends[1]], text[ends[1] : ends[2]]), unit, min_count
        )

    @cached_property
    def _symbols(self) -> list[list[str]]:
        return [SYMBOLS[self.unit](part) for part in self.parts]

    @cached_property
    def vocabulary(self) -> list[str]:
        """`UNKNOWN`, then the symbols of the training part, the commonest first."""
        counts = Counter(self._symbols[0])
        known = [symbol for symbol, count in counts.items() if count >= self.min_count]
        return [UNKNOWN, *sorted(known, key=lambda symbol: (-counts[symbol], symbol))]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.vocabulary)}

    def indices(self, symbols: Sequence[str]) -> Tensor:
        """Symbols as numbers, `(S,)` int64."""
        return torch.tensor([self._index.get(symbol, 0) for symbol in symbols], dtype=torch.int64)

    def encode(self, text: str) -> Tensor:
        """Any text as numbers, `(S,)` int64."""
        return self.indices(SYMBOLS[self.unit](text.lower()))

    def decode(self, indices: Sequence[int]) -> str:
        """Numbers as text; between words, and not before a mark, is a space."""
        symbols = [self.vocabulary[i] for i in indices]
        if self.unit == "character":
            return "".join(symbols)
        return re.sub(r" ([,.;:!?)])", r"\1", " ".join(symbols))

    @cached_property
    def sequence(self) -> Tensor:
        """All three parts, one after the other, `(S,)` int64."""
        return torch.cat([self.indices(part) for part in self._symbols])

    @cached_property
    def lengths(self) -> tuple[int, int, int]:
        """Symbols of each part."""
        train, validation, test = (len(part) for part in self._symbols)
        return train, validation, test

    @property
    def checksum(self) -> str:
        """Of all that the symbols follow from."""
        whole = "\0".join((*self.parts, self.unit, str(self.min_count)))
        return hashlib.sha256(whole.encode()).hexdigest()[:16]
