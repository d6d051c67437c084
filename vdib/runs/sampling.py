"""Text from a trained model of the next symbol, as a stream.

Legend: V symbols of the vocabulary.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vdib.datasets.text import Text
from vdib.lightning_modules.sequences.text_data import TextData
from vdib.runs.command import UserError
from vdib.runs.folder import Run
from vdib.runs.loading import rebuild, take_best
from vdib.stream import Stream


def sample(run: Run, prompt: str, length: int, temperature: float, seed: int) -> str:
    """The prompt, and a text that goes on from it.

    Args:
        run: of a model of the next character or word.
        prompt: text that is read first; where it is empty, the commonest symbol is.
        length: symbols to draw.
        temperature: symbols are drawn from `p^(1 / temperature)`; 0 takes the likeliest.
        seed: of what is drawn.

    Raises:
        UserError: no finished run, one of something else than text, or a prompt of symbols that
            its text does not have (one line).
    """
    cli = rebuild(run)
    data = cli.datamodule
    if not isinstance(data, TextData):
        raise UserError(f"{run.folder} is no run of texts: its data are {type(data).__name__}")
    take_best(cli, run)
    first = _read(data.text, prompt)
    drawn = draw(cli.model.vdib.stream(seed), data.vectors, first, temperature, seed)
    indices = [next(drawn) for _ in range(length)]
    return data.text.decode([*first, *indices] if prompt else indices)


def _read(text: Text, prompt: str) -> list[int]:
    """A prompt as numbers."""
    indices: list[int] = text.encode(prompt).tolist()
    unknown = [index for index in indices if index == 0]
    if unknown and text.unit == "character":
        strange = next(c for c in prompt.lower() if text.encode(c).tolist() == [0])
        raise UserError(f"--prompt: the text of this run has no {strange!r}")
    return indices or [1]  # the commonest


def draw(
    stream: Stream, vectors: Tensor, first: list[int], temperature: float, seed: int
) -> Iterator[int]:
    """One number after the other, each from what went before; never the unknown symbol.

    Args:
        stream: of a model of the next symbol.
        vectors: what each symbol puts in, `(V, D)`.
        first: what is read before anything is drawn, at least one.
        temperature: 0 or more.
        seed: of what is drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = vectors.cpu().numpy()
    for index in first[:-1]:
        stream.push(inputs[index])
    index = first[-1]
    while True:
        logits = stream.push(inputs[index]).outputs.double()
        logits[0] = -torch.inf  # the unknown is no symbol that could be written
        if temperature == 0:
            index = int(logits.argmax())
        else:
            p = torch.softmax((logits - logits.max()) / temperature, -1)
            index = int(torch.multinomial(p, 1, generator=generator))
        yield index
