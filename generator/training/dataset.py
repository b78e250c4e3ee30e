"""Batches of a text: inputs int32 `[batch, steps]`, and the character that follows each of them as target.

Targets are int32 `[batch, steps]`, the inputs shifted by one; for windows `[batch]`, the one character that follows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from generator.training.presets import WINDOW_STRIDE, Order, Preset
from generator.vocabulary import Indices

Batch = tuple[NDArray[np.int32], NDArray[np.int32]]


def batches(text: Indices, preset: Preset, order: Order, random: np.random.Generator) -> Iterator[Batch]:
    """Yields one epoch in that order; always `steps_per_epoch` batches."""
    read = {"shuffled": _shuffled, "windows": _windows}.get(order, _contiguous)
    return read(text, preset, random)


def steps_per_epoch(characters: int, preset: Preset, order: Order) -> int:
    """Returns the number of training steps in an epoch over a text of so many characters."""
    if order == "shuffled":
        return characters // (preset.steps + 1) // preset.batch
    if order == "windows":
        return len(range(0, characters - preset.steps, WINDOW_STRIDE)) // preset.batch
    return (_stream_length(characters, preset) - 1) // preset.steps


def _shuffled(text: Indices, preset: Preset, random: np.random.Generator) -> Iterator[Batch]:
    """The classic order: sequences of steps + 1 characters end to end, drawn at random."""
    length = preset.steps + 1
    sequences = text[: len(text) // length * length].reshape(-1, length).astype(np.int32)
    order = random.permutation(len(sequences))
    for first in range(0, len(order) - preset.batch + 1, preset.batch):
        chosen = sequences[order[first : first + preset.batch]]
        yield chosen[:, :-1], chosen[:, 1:]


def _windows(text: Indices, preset: Preset, random: np.random.Generator) -> Iterator[Batch]:
    """Overlapping windows of `steps` characters, one every `WINDOW_STRIDE`, in any order."""
    starts = random.permutation(np.arange(0, len(text) - preset.steps, WINDOW_STRIDE))
    for first in range(0, len(starts) - preset.batch + 1, preset.batch):
        chosen = starts[first : first + preset.batch]
        places = chosen[:, None] + np.arange(preset.steps)
        yield text[places].astype(np.int32), text[chosen + preset.steps].astype(np.int32)


def _contiguous(text: Indices, preset: Preset, random: np.random.Generator) -> Iterator[Batch]:
    """Row i of each batch continues row i of the batch before, so that a carried state stays valid.

    The text starts at a random place within its first `steps` characters: every epoch is cut elsewhere.
    """
    length = _stream_length(len(text), preset)
    starts = random.integers(preset.steps) + np.arange(preset.batch)[:, None] * length
    for chunk in range(steps_per_epoch(len(text), preset, "contiguous")):
        place = starts + chunk * preset.steps + np.arange(preset.steps)
        yield text[place].astype(np.int32), text[place + 1].astype(np.int32)


def _stream_length(characters: int, preset: Preset) -> int:
    """Characters that one row reads, the last target included, wherever the text starts."""
    return (characters - preset.steps) // preset.batch
