"""The topic of a text: the words of its prompt that say something become more probable in it.

After "music" the word comes again within 450 characters at two of five places of nietzsche.txt; without this it came
again in one of twenty texts that begin by it (docs/training.md, "Topics").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.prose import is_mark

_LEAST_BITS: Final = 6.5
"""Surprisal of a word that says something. Of "The sea" these are 2 and 10 bits, of "The origin of music" 2, 9, 0 and
8: the network itself tells such words from those that any text has, in any language."""
_LETTERS: Final = range(3, 31)
"""That such a word has. Longer ones are no words."""
KEPT_WORDS: Final = 10
"""Words that are saved with a text, for the one that continues it: the last ones."""
_FIRST_BONUS: Final = 1.2
_MORE: Final = 0.25
"""Nats by which the first letter of such a word becomes more probable, and by which each next one does more than that:
the longer the part that is there already, the fewer other words begin so. At a temperature of 1 inside words; the bonus
grows and falls with that, since it is divided by it later."""


class Topic:
    """The topic of one text.

    `places`: of each lower-case letter, where it and its upper case are in the vocabulary. `temperature`: that inside
    words.
    """

    def __init__(self, places: Mapping[str, Sequence[int]], temperature: float) -> None:
        self._places = places
        self._temperature = temperature
        self.word = ""
        """The part of a word that it has read."""
        self._bits = 0.0
        self.words: list[str] = []
        self.letters: dict[str, set[str]] = {}
        """The beginnings of the words, in lower case -> the letters that follow."""

    def add(self, word: str) -> None:
        """Adds a word, in lower case."""
        self.words.append(word)
        for length, letter in enumerate(word):
            self.letters.setdefault(word[:length], set()).add(letter)

    def read(self, character: str, bits: float) -> None:
        """Reads the next character of the prompt, and how surprising it is; the first letter of a word among letters
        of its case, since a word of any kind may begin there. Anything but a letter ends a word."""
        if character.isalpha() or is_mark(character):
            self.word += character.lower()
            self._bits += bits
        else:
            self.end_word()

    def end_word(self) -> None:
        """Adds the word that it has read, if that says something."""
        if self._bits >= _LEAST_BITS and len(self.word) in _LETTERS:
            self.add(self.word)
        self.word, self._bits = "", 0.0

    def favour(self, bias: NDArray[np.float64], beginning: str) -> NDArray[np.float64]:
        """Returns `bias` with the bonus of the letters after the beginning of a word."""
        places = [place for letter in self.letters[beginning] for place in self._places.get(letter, ())]
        favoured = bias.copy()
        favoured[places] += (_FIRST_BONUS + _MORE * len(beginning)) * self._temperature
        return favoured
