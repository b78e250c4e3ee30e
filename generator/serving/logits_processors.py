"""Rules about the next character, applied to its logits `[vocabulary]` in place, so that characters become a text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.vocabulary import Vocabulary

Logits = NDArray[np.float32]
Mask = NDArray[np.bool_]
"""Over the vocabulary, bool `[vocabulary]`."""

_JOINERS: Final = "-'’‐‑"
"""What may stand inside a word, between two letters."""
_OPENERS: Final = "([{“„«‘_"
_CONTEXT: Final = 3
"""Words after which a fourth must not repeat."""


class TokenMasks:
    """Which characters of a vocabulary may stand where."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        characters = vocabulary.characters
        self.space = _mask(c.isspace() for c in characters)
        self.stop = np.flatnonzero(_mask(c in ".!?…" for c in characters))
        self.joiner = _mask(c in _JOINERS for c in characters)
        word = _mask(c.isalnum() for c in characters)
        self._after_word = ~word
        capital = _mask(c.isupper() for c in characters)
        letter = _mask(c.isalpha() for c in characters)
        first = capital if capital.any() else letter if letter.any() else ~self.space
        self.not_first = _unless_all(~first)
        """What a text must not begin with."""
        self.not_after_prompt = _unless_all(word | self.joiner | _mask(c in _OPENERS for c in characters))
        """What must not follow a word of the prompt: what would continue that word."""
        self.word_starts: dict[str, NDArray[np.int64]] = {
            first: np.array([i for i, c in enumerate(characters) if c.lower()[0] == first])
            for first in {c.lower()[0] for c in characters if c.isalpha()}
        }
        """The characters that a word may begin with, by the first of their lower case."""

    def ends_word(self, logits: Logits) -> bool:
        """Whether the network is more likely to end the word here than to continue it."""
        weights = np.exp(logits - logits.max())
        return bool(weights[self._after_word].sum() > weights.sum() / 2)


def forbid(logits: Logits, characters: Mask | NDArray[np.int64]) -> None:
    """Makes characters impossible, unless nothing else is possible."""
    before = logits[characters]
    logits[characters] = -np.inf
    if logits.max() == -np.inf:
        logits[characters] = before


class RepeatedNgrams:
    """Keeps a text from repeating any four words in a row: at low temperatures a network goes in circles.

    Where three words occur again, no word may follow that begins with the letter of a word that followed before. The
    rule acts at the beginning of a word only, so the network spells every word as it would. Case, and what is
    no letter, do not matter.

    `is_active`: whether `process` would change the next logits.
    """

    __slots__ = ("_followers", "_gap", "_is_joined", "_joined", "_last", "_masks", "_word", "is_active")

    def __init__(self, masks: TokenMasks, before: Iterable[str]) -> None:
        """`before`: the characters that stand before the text, and count as part of it."""
        self._masks = masks
        self._followers: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        """Three words -> the first letters of the words that followed them."""
        self._joined: set[tuple[str, ...]] = set()
        """Those of the three words that the fourth followed after a hyphen or an apostrophe."""
        self._last: tuple[str, ...] = ()
        self._word = self._gap = ""
        self._is_joined = False
        self.is_active = False
        for character in before:
            self.append(character)

    def append(self, character: str) -> None:
        """Takes the next character of the text."""
        if character.isalpha():
            if not self._word:
                self._is_joined = len(self._gap) == 1 and self._gap in _JOINERS
                self._gap = ""
            self._word += character.lower()
            self.is_active = bool(self._joined) and (*self._last[1:], self._word) in self._joined
            return
        if self._word:
            if len(self._last) == _CONTEXT:
                self._followers[self._last].add(self._word[0])
                if self._is_joined:
                    self._joined.add(self._last)
            self._last = (*self._last, self._word)[-_CONTEXT:]
            self._word = ""
            self.is_active = self._last in self._followers
        self._gap += character

    def process(self, logits: Logits) -> None:
        """Forbids what would begin a repetition."""
        if self._word:
            forbid(logits, self._masks.joiner)
        else:
            starts = [self._masks.word_starts[first] for first in self._followers[self._last]]
            forbid(logits, np.concatenate(starts))


def _mask(flags: Iterable[bool]) -> Mask:
    return np.array(list(flags), np.bool_)


def _unless_all(forbidden: Mask) -> Mask:
    """A rule that would forbid everything forbids nothing."""
    return forbidden if not forbidden.all() else ~forbidden
