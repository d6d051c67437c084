"""Texts for Lightning: symbols in, and the next one as what is to be decoded at every step.

Legend: B batch, T steps, V symbols of the vocabulary, D dimensions of a word's vector, C context.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from vdib.datasets.text import NAMES, Text, find_text, read_text
from vdib.datasets.word_vectors import train_vectors
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.noise import EVALUATION, INPUT, Noise
from vdib.signal import Label

Split = Literal["train", "validation", "test"]


class TextBatch(NamedTuple):
    """Where excerpts begin, `(B,)`, in symbols from the beginning of the text: ids as well."""

    start: Tensor


class Excerpts:
    """Excerpts of a text, by where they begin."""

    def __init__(self, starts: Tensor) -> None:
        self.starts = starts

    def __len__(self) -> int:
        return len(self.starts)

    def __getitems__(self, indices: Sequence[int]) -> TextBatch:
        return TextBatch(self.starts[torch.as_tensor(indices, dtype=torch.int64)])


class TextData(DataModule[TextBatch]):
    """Excerpts of T symbols, to each of which the next one is to be foretold.

    A network knows nothing before an excerpt begins. In training every step counts, and excerpts
    begin elsewhere in every epoch. In validation and test the first C steps of an excerpt are
    context and do not count: every symbol of these parts, but for less than an excerpt at the end,
    is foretold once, from C to T - 1 symbols before it. The first of them have the end of the part
    before for context, never a symbol that is yet to come.

    Args:
        path: `alice` or `wiki` (in `$VDIB_DATA/text`), or a file.
        unit: what a symbol is: a `character`, one-hot, or a `word`, as its vector
            (`vdib.datasets.word_vectors`, learned from the training part).
        min_count: how often a symbol occurs in the training part to be in the vocabulary (default:
            1 for characters, 2 for words); all others are one symbol.
        num_train: characters of the training part.
        num_validation: characters, after these.
        num_test: characters, after these; a shorter text is split in the same proportions.
        num_steps: T.
        unscored: C.
        vector_size: D, of words.
        batch_size: B, in training.
        checksum: of the text; a run writes it down, and refuses another text.
        seed: of the order, of where excerpts begin, and of the words' vectors.

    Attributes:
        found: settings that follow from the text.
    """

    EVALUATED = 50

    def __init__(
        self,
        path: str = "alice",
        unit: Literal["character", "word"] = "character",
        min_count: int | None = None,
        num_train: int = 52_000,
        num_validation: int = 6_000,
        num_test: int = 12_000,
        num_steps: int = 100,
        unscored: int = 50,
        vector_size: int = 100,
        batch_size: int = 20,
        checksum: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        if unit not in ("character", "word"):
            raise ValueError(f"unit: got {unit!r}, expected character or word")
        least = {"character": 1, "word": 2}[unit] if min_count is None else min_count
        if least < 1 or vector_size < 1:
            raise ValueError(
                f"min_count and vector_size: got {least} and {vector_size}, expected 1 or more"
            )
        if not 0 <= unscored < num_steps:
            raise ValueError(f"unscored: got {unscored}, expected 0 to {num_steps - 1}")
        file = find_text(path)
        self.text = Text.of(read_text(file), (num_train, num_validation, num_test), unit, least)
        if checksum is not None and checksum != self.text.checksum:
            raise ValueError(f"{file} is not the text of this run: its checksum is another")
        self.found = {"checksum": self.text.checksum}
        if path not in NAMES:
            self.found["path"] = str(file.absolute())  # a run may be asked for from elsewhere
        if min(self.text.lengths[1:]) < num_steps - unscored or self.text.lengths[0] <= num_steps:
            raise ValueError(
                f"{file}: parts of {self.text.lengths} symbols are too short for excerpts of "
                f"{num_steps}: set num_steps and unscored lower"
            )
        self.num_steps = num_steps
        self.unscored = unscored
        self.vector_size = vector_size
        self.signal: Label = Label(len(self.text.vocabulary))
        self.input_shape = (self.signal.num_classes if unit == "character" else vector_size,)

    @cached_property
    def vectors(self) -> Tensor:
        """What each symbol puts in, `(V, D)`: one-hot, or the words' vectors."""
        size = self.signal.num_classes
        if self.text.unit == "character":
            return torch.eye(size)
        train = self.text.sequence[: self.text.lengths[0]]
        return train_vectors(train, size, self.vector_size, seed=self.seed)

    @property
    def facts(self) -> dict[str, float]:
        """What perplexities are to be read with."""
        r = self.targets("test")[:, self.unscored :]
        return {
            "vocabulary": self.signal.num_classes,
            "test_symbols": r.numel(),
            "unknown_share": float((r == 0).float().mean()),
        }

    def state_dict(self) -> dict[str, Any]:
        """The words' vectors, which a checkpoint holds."""
        return {"vectors": self.vectors} if self.text.unit == "word" else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the vectors that a model was trained with."""
        self.vectors = state_dict["vectors"]

    def open_split(self, split: Split) -> Excerpts:
        train, validation, _ = self.text.lengths
        if split == "train":
            return Excerpts(torch.arange(0, train - self.num_steps, self.num_steps))
        begin = train if split == "validation" else train + validation
        end = begin + self.text.lengths[1 if split == "validation" else 2]
        # The first that counts is the target of step C, symbol `start + C + 1`.
        stride = self.num_steps - self.unscored
        return Excerpts(torch.arange(begin, end - stride + 1, stride) - self.unscored - 1)

    def _symbols(self, starts: Tensor) -> Tensor:
        at = starts[:, None] + torch.arange(self.num_steps + 1, device=starts.device)
        return self.text.sequence.to(starts.device)[at.clamp_min(0)]

    def targets(self, split: Split) -> Tensor:
        """The symbols that are to be foretold, `(B, T)`."""
        return self._symbols(self.open_split(split).starts)[:, 1:]

    def code(self, batch: TextBatch, step: int) -> SpikeBatch:
        start = batch.start
        if step != EVALUATION:
            shift = Noise(self.seed, step, start).uniform(INPUT, 1, (1,))[:, 0, 0] * self.num_steps
            last = self.text.lengths[0] - self.num_steps - 1
            start = (start + shift.long()).clamp_max(last)
        symbols = self._symbols(start)
        x = self.vectors.to(start.device)[symbols[:, :-1]]
        return SpikeBatch(x, symbols[:, 1:], torch.zeros_like(start), batch.start)
