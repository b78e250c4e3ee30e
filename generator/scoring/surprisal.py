"""Surprisal, −log2 p: of a character, and of a split, always measured the same way."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from generator.vocabulary import Indices
from generator.weights.session import Network


def bits_per_character(network: Network, characters: Indices) -> float:
    """Returns the mean −log2 p(next character) over all but the first of `characters`, int64 `[n]`, n at least 2.

    The state is zero at the start and carried through.
    """
    state = network.zero_state(1)
    total = 0.0
    for position in range(len(characters) - 1):
        logits, state = network.step(characters[position : position + 1], state)
        total += nats(logits[0], int(characters[position + 1]))
    return float(total / (len(characters) - 1) / math.log(2))


def nats(logits: NDArray[np.float32], character: int) -> float:
    """Returns −ln p of the character at that index, by the logits `[vocabulary]` before it."""
    row = logits.astype(np.float64)
    top = row.max()
    return float(top + math.log(np.exp(row - top).sum()) - row[character])
