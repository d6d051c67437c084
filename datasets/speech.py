"""Spoken digits as log-mel spectra in a few steps.

The Free Spoken Digit Dataset (Jakobovski et al., CC BY-SA 4.0,
https://github.com/Jakobovski/free-spoken-digit-dataset): `<digit>_<speaker>_<take>.wav`, 8 kHz, one
channel. Read from `$VDIB_DATA/fsdd`, or another folder; nothing is downloaded.

| split | takes | of |
|---|---|---|
| train | 10 and later | all speakers but those left out |
| validation | 5 to 9 | the same |
| test | 0 to 4 | the same; with speakers left out: every take of theirs, and nothing else |

Takes 0 to 4 are the data set's own test split. A recording is cut into T parts of equal length.
The features of a part are the logarithms of its mean power in N mel bands, from which the
recording's own mean is subtracted, so that loudness tells nothing. The spectrum is librosa's: of
the libraries for it, kymatio 0.3.0 (wavelet scattering, as published) cannot be imported beside
SciPy 1.17, which took away a function that it asks for.

Legend: B recordings, T steps, N bands.
"""

import os
import re
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vdib.datasets.extras import import_extra

Split = Literal["train", "validation", "test"]
RATE = 8_000
"""Samples per second."""
WINDOW, HOP = 512, 80
"""Of the short-time spectrum, in samples: 64 ms, every 10 ms."""
TAKES = {"train": range(10, 1_000_000), "validation": range(5, 10), "test": range(5)}
_NAME = re.compile(r"(\d)_(\w+)_(\d+)\.wav")


class SpeechBatch(NamedTuple):
    """Recordings.

    Attributes:
        features: `(B, T, N)`, dimensionless.
        label: the digit, `(B,)` int64.
        id: `(B,)` int64.
    """

    features: Tensor
    label: Tensor
    id: Tensor


class Recording(NamedTuple):
    """A file, and what its name says."""

    path: Path
    digit: int
    speaker: str
    take: int


def find_recordings(root: str | None = None) -> list[Recording]:
    """The recordings of a folder, by digit, speaker and take.

    Args:
        root: the folder; `$VDIB_DATA/fsdd` by default.

    Raises:
        FileNotFoundError: there are none (one line).
    """
    folder = Path(root or Path(os.environ.get("VDIB_DATA") or "$VDIB_DATA", "fsdd"))
    found = []
    for path in folder.glob("*.wav"):
        if name := _NAME.fullmatch(path.name):
            found.append(Recording(path, int(name[1]), name[2], int(name[3])))
    if not found:
        raise FileNotFoundError(
            f"{folder}: no <digit>_<speaker>_<take>.wav of the Free Spoken Digit Dataset in it"
        )
    return sorted(found, key=lambda recording: recording[1:])


def chosen(found: Sequence[Recording], split: Split, left_out: Sequence[str]) -> list[int]:
    """Which recordings belong to a split, by position.

    Raises:
        ValueError: a speaker who is not there, or nothing in the split.
    """
    speakers = sorted({recording.speaker for recording in found})
    if strangers := set(left_out) - set(speakers):
        raise ValueError(f"left_out: got {min(strangers)}, expected of {', '.join(speakers)}")
    if left_out and split == "test":
        return [i for i, recording in enumerate(found) if recording.speaker in left_out]
    takes = TAKES[split]
    inside = [i for i, r in enumerate(found) if r.take in takes and r.speaker not in left_out]
    if not inside:
        raise ValueError(f"{split}: no recording is left of {len(found)}")
    return inside


def read_wav(path: Path) -> np.ndarray:
    """Samples in [-1, 1), `(S,)` float32.

    Raises:
        ValueError: not 8 kHz, 16 bits, one channel; or damaged (one line).
    """
    try:
        with wave.open(str(path)) as file:
            form = (file.getframerate(), file.getsampwidth(), file.getnchannels())
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    except (wave.Error, EOFError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or no wav file: {error}") from None
    if form != (RATE, 2, 1) or not len(samples):
        raise ValueError(f"{path}: expected 8000 Hz, 16 bits, one channel, and samples")
    out: np.ndarray = samples.astype(np.float32) / 32_768
    return out


def log_mel(samples: np.ndarray, num_steps: int, num_bands: int) -> np.ndarray:
    """Mean log power of T equal parts in N mel bands, less the recording's mean, `(T, N)`.

    In units of 10 dB.
    """
    librosa = import_extra("librosa", "speech")
    power = librosa.feature.melspectrogram(
        y=np.pad(samples, (0, max(0, WINDOW - len(samples)))),
        sr=RATE,
        n_fft=WINDOW,
        hop_length=HOP,
        n_mels=num_bands,
        fmin=60.0,
    )  # N, F
    edges = np.linspace(0, power.shape[1], num_steps + 1)
    starts = np.minimum(np.floor(edges[:-1]).astype(int), power.shape[1] - 1)
    ends = np.maximum(np.ceil(edges[1:]).astype(int), starts + 1)
    parts = [power[:, a:b].mean(1) for a, b in zip(starts, ends, strict=True)]
    level = np.log10(np.stack(parts) + 1e-8)
    out: np.ndarray = (level - level.mean()).astype(np.float32)
    return out


class Speech(Dataset[SpeechBatch]):
    """The recordings of a split.

    Args:
        split: see the table.
        num_steps: T.
        num_bands: N.
        left_out: speakers that are in the test split only.
        root: the folder; `$VDIB_DATA/fsdd` by default.

    Raises:
        FileNotFoundError: there are none (one line).
        ImportError: librosa is missing (one line).
        ValueError: a damaged file, or no such speaker (one line).
    """

    def __init__(
        self,
        split: Split,
        num_steps: int = 8,
        num_bands: int = 48,
        left_out: Sequence[str] = (),
        root: str | None = None,
    ) -> None:
        found = find_recordings(root)
        at = chosen(found, split, left_out)
        levels = [log_mel(read_wav(found[i].path), num_steps, num_bands) for i in at]
        self.features = torch.from_numpy(np.stack(levels))
        self.labels = torch.tensor([found[i].digit for i in at])
        self.ids = torch.tensor(at)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: Sequence[int]) -> SpeechBatch:
        at = torch.as_tensor(indices, dtype=torch.int64)
        return SpeechBatch(self.features[at], self.labels[at], self.ids[at])
