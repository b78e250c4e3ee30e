"""Raw samples while training: what the network writes, with none of the bot's rules about beginnings and endings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from generator.serving.sampling import draw
from generator.vocabulary import Vocabulary
from generator.weights.session import Network

OPENING: Final = 100
"""Characters. Prompts and samples are for the eye; nothing is chosen by them."""


def random_prompt(text: str, random: np.random.Generator) -> str:
    """`OPENING` characters from a random place of the text."""
    start = int(random.integers(max(1, len(text) - OPENING)))
    return text[start : start + OPENING]


def samples(
    network: Network,
    vocabulary: Vocabulary,
    prompt: str,
    temperatures: Sequence[float],
    random: np.random.Generator,
    *,
    length: int,
) -> list[str]:
    """One text of `length` characters after the prompt per temperature, all in one batch."""
    rows = len(temperatures)
    scale = np.array(temperatures, np.float64)
    state = network.zero_state(rows)
    for character in vocabulary.encode(prompt):
        logits, state = network.step(np.full(rows, character, np.int64), state)
    written = np.empty((rows, length), np.int64)
    for position in range(length):
        written[:, position] = draw(logits, scale, random.random(rows))
        logits, state = network.step(written[:, position].copy(), state)
    return [vocabulary.decode(row) for row in written]
