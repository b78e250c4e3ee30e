"""The text to learn: fetched once, read, checked, split, and cut into batches."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.training import TrainingError
from generator.training.presets import WINDOW_STRIDE, Order, Preset
from generator.training.texts.lines import Lines, LinesOption, join_wrapped, look_at
from generator.training.texts.reading import read_texts
from generator.vocabulary import Indices, Vocabulary
from generator.weights.manifest import MAX_SYMBOLS, CorpusNote

MIN_CHARACTERS: Final = 3_000
"""A twentieth of this still holds the 100 characters that a meaningful validation figure needs."""
SPLIT: Final = "contiguous 90/5/5: train, validation, test; cut at int(n*0.90), int(n*0.95)"
Batch = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Inputs `[batch, steps]`, and as targets the characters that follow each of them: the inputs shifted by one, or for
windows `[batch]`, the one character that follows."""
_MANY: Final = 200
_RARE: Final = 10
"""Occurrences under which a network hardly learns where a character stands."""


@dataclass(frozen=True)
class Corpus:
    """A text as a network reads it, and its contiguous split. `note` is of the text before it was lower-cased.

    `remarks` say how it was read, a line each.
    """

    note: CorpusNote
    text: str
    lines: Lines
    remarks: tuple[str, ...] = ()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """All characters that are read: validation and test may hold some that the training split does not."""
        return Vocabulary.of(self.text)

    @cached_property
    def splits(self) -> tuple[Indices, Indices, Indices]:
        """Training (the first 90 %), validation and test characters (5 % each) as indices, int64."""
        characters = self.vocabulary.encode(self.text)
        first, second = int(len(characters) * 0.90), int(len(characters) * 0.95)
        return characters[:first], characters[first:second], characters[second:]


def read_corpus(
    *paths: Path,
    lowercase: bool = False,
    encoding: str | None = None,
    speaker: str | None = None,
    lines: LinesOption = "auto",
) -> Corpus:
    """Reads files, folders and archives as one text (`generator.training.texts`). Raises `TrainingError`.

    `encoding`: of all files, by default what each shows. `speaker`: only this person's messages of a chat export.
    """
    read = read_texts(paths, encoding=encoding, speaker=speaker)
    text = read.text
    if (length := len(text.strip())) < MIN_CHARACTERS:
        whose = f", messages of {speaker}" if speaker else ""
        raise TrainingError(
            f"{paths[0]}{whose}: {length:,} characters are too few to learn from; at least {MIN_CHARACTERS:,} are "
            "needed, and a few hundred thousand make a readable text"
        )
    symbols = len(set(text))
    if symbols > MAX_SYMBOLS:
        raise TrainingError(
            f"{paths[0]}: {symbols:,} different characters are more than a network here may know ({MAX_SYMBOLS:,})"
        )
    if symbols == 1:
        raise TrainingError(f"{paths[0]}: {text[0]!r} is its only character; there is nothing to learn")
    notes = list(read.notes)
    if symbols > _MANY and (rare := sum(count < _RARE for count in Counter(text).values())) > symbols // 2:
        notes.append(f"{rare:,} of its {symbols:,} characters occur less than {_RARE} times: little is learnt of them")
    found = look_at(text)
    decided = Lines(False, "a chat export", short=True) if read.is_chat else found
    if lines != "auto":
        decided = Lines(lines == "wrapped", "as --lines says", short=found.short and lines == "kept")
    if decided.wrapped:
        text = join_wrapped(text)
    note = CorpusNote(read.name, len(text), hashlib.sha256(text.encode("utf-8")).hexdigest())
    return Corpus(note, text.lower() if lowercase else text, decided, tuple(notes))


def read_together(paths: Iterable[str], vocabulary: Vocabulary) -> Indices:
    """Reads several texts as one, mapped to a vocabulary: int64 indices. Raises `TrainingError`."""
    return vocabulary.encode("".join(vocabulary.fit(read_corpus(Path(path)).text).text for path in paths))


def batches(text: Indices, preset: Preset, order: Order, random: np.random.Generator) -> Iterator[Batch]:
    """Yields one epoch in that order; always `steps_per_epoch` batches."""
    for starts in _starts(len(text), preset, order, random):
        inputs = starts[:, None] + np.arange(preset.steps)
        targets = starts + preset.steps if order == "windows" else inputs + 1
        yield text[inputs].astype(np.int32), text[targets].astype(np.int32)


def steps_per_epoch(characters: int, preset: Preset, order: Order) -> int:
    """Returns the number of training steps in an epoch over a text of so many characters."""
    return len(_starts(characters, preset, order, np.random.default_rng()))


def _starts(characters: int, preset: Preset, order: Order, random: np.random.Generator) -> Indices:
    """Where in the text each row of each batch begins: `[batches, batch]`."""
    batch, steps = preset.batch, preset.steps
    if order in {"shuffled", "windows"}:
        # Sequences of steps + 1 characters end to end, or overlapping windows, drawn at random.
        apart = WINDOW_STRIDE if order == "windows" else steps + 1
        starts = random.permutation(np.arange(0, characters - steps, apart))
        return starts[: len(starts) // batch * batch].reshape(-1, batch)
    # Row i of each batch continues row i of the batch before, so that a carried state stays valid. The text starts at
    # a random place within its first `steps` characters: every epoch is cut elsewhere.
    length = (characters - steps) // batch
    first = random.integers(steps) + np.arange(batch) * length
    return first + np.arange((length - 1) // steps)[:, None] * steps
