"""Samples while training: raw text from the network, and a text as the bot writes it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from generator.prose import ends_sentence, presentable, printable
from generator.serving.loading import generate
from generator.serving.model import Model
from generator.serving.sampling import column, draw
from generator.serving.scoring import CONTEXT, nats
from generator.training.corpus import Corpus
from generator.types import GenerationRequest, Surprisal
from generator.vocabulary import Vocabulary
from generator.weights.session import Network

PROMPT_LENGTH: Final = 100
"""Characters of the corpus that the samples after each epoch continue."""
SHADED_TEMPERATURES: Final = (0.5, 0.7, 0.9)
SHADED_LENGTH: Final = 280
"""Characters at most; a text ends before that, at the end of a sentence or a word. This keeps the picture below the
2,560 pixels to which Telegram shrinks photos."""
_FIRST_WORDS: Final = re.compile(r"\S{1,40}(?:\s\S{1,20}){0,2}")


def samples(
    network: Network,
    vocabulary: Vocabulary,
    prompt: str,
    temperatures: Sequence[float],
    random: np.random.Generator,
    *,
    length: int,
) -> list[Surprisal]:
    """Returns one text of `length` characters after the prompt per temperature, all drawn in one batch."""
    rows = len(temperatures)
    scale = column(temperatures)
    state = network.zero_state(rows)
    for character in vocabulary.encode(prompt):
        logits, state = network.step(np.full(rows, character, np.int64), state)
    written = np.empty((rows, length), np.int64)
    bits = np.empty((rows, length))
    for position in range(length):
        drawn = draw(logits, scale, random.random((rows, 1)))
        written[:, position] = drawn
        bits[:, position] = [nats(logits[row], int(drawn[row])) / math.log(2) for row in range(rows)]
        logits, state = network.step(drawn, state)
    return [Surprisal(vocabulary.decode(text), tuple(row.tolist())) for text, row in zip(written, bits, strict=True)]


def bot_text(model: Model, seed: int) -> str:
    """Returns a text as the bot writes it by default: begun and ended as its rules say, and made readable."""
    [written] = generate(model, [GenerationRequest(SHADED_LENGTH, seed)])
    return printable(presentable(written.text, hard_wrapped=model.weights.manifest.hard_wrapped))


def shaded_samples(network: Network, corpus: Corpus, seed: int) -> list[tuple[str, Surprisal]]:
    """Returns a label and a text with its surprisal for each of `SHADED_TEMPERATURES`; deterministic by seed.

    The prompt is the first words of a sentence of the validation split, after the text that precedes it there.
    """
    vocabulary = corpus.vocabulary
    random = np.random.default_rng(seed)
    text = vocabulary.decode(corpus.splits[1]).strip()
    starts = [space.end() for space in re.finditer(r"\s+", text) if ends_sentence(text[: space.start()])] or [0]
    start = starts[int(random.integers(len(starts)))]
    prompt = _FIRST_WORDS.findall(text, start)[0]
    read = text[max(0, start - CONTEXT) : start] + prompt
    found = []
    written = samples(network, vocabulary, read, SHADED_TEMPERATURES, random, length=SHADED_LENGTH)
    for temperature, sample in zip(SHADED_TEMPERATURES, written, strict=True):
        ends = [space.start() for space in re.finditer(r"\s+", sample.text) if space.start() >= SHADED_LENGTH // 2]
        end = ([end for end in ends if ends_sentence(sample.text[:end])] or ends or [SHADED_LENGTH])[-1]
        found.append((f"temperature {temperature:g}", Surprisal(sample.text[:end], sample.bits[:end], given=prompt)))
    return found
