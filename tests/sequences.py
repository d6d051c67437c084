"""Made texts and spoken digits, as files."""

import wave
from pathlib import Path

import numpy as np

LINE = "Alice was beginning to get very tired of sitting by her sister on the bank, and of "


def write_text(path="text.txt", times=12):
    """A book of Project Gutenberg, of some lines that are alike."""
    book = "".join(f"{LINE}{'abcdefghij'[i % 10]} reading.\n" for i in range(times))
    marks = [f"*** {word} OF THIS PROJECT GUTENBERG EBOOK ALICE ***" for word in ("START", "END")]
    Path(path).write_text(f"\ufeffBefore.\n{marks[0]}\n\n{book}\n{marks[1]}\nAfter.\n", "utf-8")
    return str(path)


def write_wav(path, samples, rate=8_000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.asarray(samples) * 32_767).astype("<i2").tobytes())


def write_speech(root="fsdd", speakers=("ann", "bob"), digits=range(2), takes=(0, 5, 10, 11)):
    """A tone a digit, with noise of its own in every take."""
    Path(root).mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for speaker in speakers:
        for digit in digits:
            for take in takes:
                seconds = np.arange(1_600 + 100 * take) / 8_000
                tone = 0.3 * np.sin(2 * np.pi * 400 * (digit + 1) * seconds)
                samples = tone + 0.02 * random.standard_normal(len(tone))
                write_wav(Path(root, f"{digit}_{speaker}_{take}.wav"), samples)
    return str(root)
