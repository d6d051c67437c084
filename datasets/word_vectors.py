"""Vectors of words, learned from the words around them.

A network with one linear hidden layer guesses a word from the up to ten around it:

    h = mean of v[w'] over w' within five of w,     p(w | context) = softmax(U h + b)

Words of like contexts come to lie near each other. It is the continuous bag of words of Mikolov,
Chen, Corrado & Dean, "Efficient Estimation of Word Representations in Vector Space", 2013,
https://arxiv.org/abs/1301.3781, with an exact softmax: the vocabularies here are small.

Legend: S words of a text, V of the vocabulary, D dimensions, B batch.
"""

import torch
from torch import Tensor, nn


def contexts(text: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """The words around each word of a text.

    Args:
        text: `(S,)` int64.
        window: words on each side.

    Returns:
        `(S, 2 window)` int64, and which of them lie within the text, `(S, 2 window)` bool.

    >>> around, there = contexts(torch.tensor([7, 8, 9]), window=1)
    >>> around.tolist(), there.tolist()
    ([[7, 8], [7, 9], [8, 9]], [[False, True], [True, True], [True, False]])
    """
    steps = torch.cat([torch.arange(-window, 0), torch.arange(1, window + 1)])
    at = torch.arange(len(text))[:, None] + steps
    there = (at >= 0) & (at < len(text))
    return text[at.clamp(0, len(text) - 1)], there


def train_vectors(
    text: Tensor,
    num_words: int,
    size: int = 100,
    window: int = 5,
    epochs: int = 10,
    lr: float = 5e-3,
    batch_size: int = 128,
    seed: int = 0,
) -> Tensor:
    """Vectors of unit variance a dimension, `(V, D)`.

    Args:
        text: `(S,)` int64, what to learn from.
        num_words: V.
        size: D.
        window: words on each side.
        epochs: over the text.
        lr: of Adam.
        batch_size: B.
        seed: of initial vectors and the order of the words.

    Raises:
        ValueError: a text of fewer than two words.
    """
    if len(text) < 2:
        raise ValueError(f"word vectors need a text of two words or more, got {len(text)}")
    around, there = contexts(text, window)
    generator = torch.Generator().manual_seed(seed)
    vectors = nn.Parameter(torch.randn(num_words, size, generator=generator) / size**0.5)
    weight = nn.Parameter(torch.zeros(num_words, size))
    bias = nn.Parameter(torch.zeros(num_words))
    optimizer = torch.optim.Adam([vectors, weight, bias], lr=lr)
    with torch.enable_grad():
        for _ in range(epochs):
            order = torch.randperm(len(text), generator=generator)
            for batch in order.split(batch_size):  # type: ignore[no-untyped-call, unused-ignore]
                counts = there[batch].sum(1, keepdim=True)
                seen = vectors[around[batch]] * there[batch][..., None]
                logits = (seen.sum(1) / counts) @ weight.T + bias
                loss = nn.functional.cross_entropy(logits, text[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
                optimizer.step()
    learned = vectors.detach()
    return (learned - learned.mean(0)) / learned.std(0).clamp_min(1e-6)
