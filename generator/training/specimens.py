"""Texts to end a run with: what the served form writes at three temperatures, and how much each character surprises."""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np

from generator.scoring.measure import nats
from generator.scoring.surprisal import CONTEXT
from generator.serving.prose import ends_sentence
from generator.serving.sampling import draw
from generator.training.corpus import Corpus
from generator.types import Surprisal
from generator.weights.session import Network

TEMPERATURES: Final = (0.5, 0.7, 0.9)
LENGTH: Final = 280
"""Characters that a text has at most; it ends with a sentence, or at least with a word, before that. So the picture
stays below the 2,560 pixels to which Telegram shrinks photos."""
_EARLIEST_END: Final = 0.5
"""Share of them after which it may end."""
_OPENING_WORDS: Final = 3
_LONGEST_OPENING: Final = 40
_SPACE: Final = re.compile(r"\s+")


def specimens(network: Network, corpus: Corpus, seed: int) -> list[tuple[str, Surprisal]]:
    """A label and a text for each of `TEMPERATURES`, in one batch; the same seed gives the same texts.

    They go on from the first words of a sentence in the validation split, which the network never saw, after reading
    what stands before it there.
    """
    vocabulary = corpus.vocabulary
    random = np.random.default_rng(seed)
    _, validation, _ = corpus.splits
    before, prompt = _prompt(vocabulary.decode(validation), random)
    rows = len(TEMPERATURES)
    scale = np.array(TEMPERATURES)
    state = network.zero_state(rows)
    for character in vocabulary.encode(before + prompt):
        logits, state = network.step(np.full(rows, character, np.int64), state)
    written = np.empty((rows, LENGTH), np.int64)
    bits = np.empty((rows, LENGTH))
    for position in range(LENGTH):
        drawn = draw(logits, scale, random.random(rows))
        written[:, position] = drawn
        bits[:, position] = [nats(logits[row], drawn[row]) / math.log(2) for row in range(rows)]
        logits, state = network.step(drawn, state)
    found = []
    for row, temperature in enumerate(TEMPERATURES):
        text = vocabulary.decode(written[row])
        text = text[: _end(text)]
        found.append(
            (f"temperature {temperature:g}", Surprisal(text, tuple(bits[row, : len(text)].tolist()), given=prompt))
        )
    return found


def _prompt(text: str, random: np.random.Generator) -> tuple[str, str]:
    """The first words of a random sentence, and up to `CONTEXT` characters before them. The second is never empty."""
    spaces = [space for space in _SPACE.finditer(text) if space.end() < len(text)]
    starts = [space.end() for space in spaces if ends_sentence(text[: space.start()])]
    starts = starts or [space.end() for space in spaces] or [0]
    start = starts[int(random.integers(len(starts)))]
    ends = [space.start() for space in spaces if start < space.start() <= start + _LONGEST_OPENING]
    end = ends[min(_OPENING_WORDS, len(ends)) - 1] if ends else start + _OPENING_WORDS
    return text[max(0, start - CONTEXT) : start], text[start:end]


def _end(text: str) -> int:
    """Where the text ends: after its last sentence, else after its last word, unless that is too early."""
    spaces = [space.start() for space in _SPACE.finditer(text) if space.start() >= LENGTH * _EARLIEST_END]
    sentences = [end for end in spaces if ends_sentence(text[:end])]
    return (sentences or spaces or [len(text)])[-1]
