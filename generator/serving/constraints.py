"""What a text must not write next: marks that do not pair, a word twice, a section number; and help to close a mark."""

from __future__ import annotations

from typing import Final

import numpy as np

from generator.serving.logits_processors import Logits
from generator.vocabulary import Indices, Vocabulary

_PAIRS: Final = {"(": ")", "[": "]", "{": "}", "“": "”", "«": "»"}
_QUOTE: Final = '"'
"""Opens and closes; which of the two, the text before it says."""
_BEFORE_OPENING: Final = "-—–([{“«"
"""What may stand right before an opening quotation mark, besides white space."""
_MAY_REPEAT: Final = frozenset({"had", "that"})
_USUAL_LENGTH: Final = {_QUOTE: 240, "“": 240, "«": 240}, 120
"""Characters after which a quotation, or a bracket, is helped to close. In nietzsche.txt nine of ten are shorter."""
_CLOSE_BONUS: Final = 10.0
"""Nats by which the closing mark is more probable at twice that length, where a word ends; it grows until then."""
_ENDS: Final = frozenset(".!?…:=\"'”’)]")
"""After these a number at the start of a word is taken for that of a section."""


Situation = tuple[str, str, bool, bool, bool, bool]
"""What the rules forbid depends on: the open marks; the last character, empty if it is white space or nothing; and
whether a mark may be opened, a number written, the word ended, and white space written."""


class WritingRules:
    """The characters of a vocabulary that the rules are about, as indices. One for all texts of a model."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        characters = vocabulary.characters
        self.index = {c: i for i, c in enumerate(characters)}
        self.digits = _indices(c.isdigit() for c in characters)
        self.after_word = _indices(not c.isalnum() and c not in "'’" for c in characters)
        self.space = _indices(c.isspace() for c in characters)
        self._biases: dict[Situation, Logits] = {}

    def bias(self, situation: Situation) -> Logits:
        """Returns what is added to the logits, float32 `[vocabulary]`: 0, or −inf for what is forbidden."""
        if (found := self._biases.get(situation)) is None:
            opened, before, may_open, may_number, may_end_word, may_space = situation
            marks = [c for c in (*_PAIRS, *_PAIRS.values(), _QUOTE) if c in self.index]
            found = np.zeros(len(self.index), np.float32)
            found[[self.index[c] for c in marks if not _allowed(c, opened, before, may_open=may_open)]] = -np.inf
            for allowed, characters in (
                (may_number, self.digits),
                (may_end_word, self.after_word),
                (may_space, self.space),
            ):
                if not allowed:
                    found[characters] = -np.inf
            if not np.isfinite(found).any():
                found[:] = 0.0  # rules that forbid everything forbid nothing
            self._biases[situation] = found
        return found


def _allowed(mark: str, opened: str, before: str, *, may_open: bool) -> bool:
    """`before`: the last character, empty if it is white space or nothing."""
    if (mark == _QUOTE and _QUOTE in opened) or mark in _PAIRS.values():
        closes = opened[-1:] == mark if mark == _QUOTE else _PAIRS.get(opened[-1:]) == mark
        return closes and before not in {"", opened[-1:]}
    nested = mark in opened or (mark != _QUOTE and any(c in opened for c in _PAIRS))
    return may_open and not nested and (not before or before in _BEFORE_OPENING)


class WrittenText:
    """What the rules have to know of one text: its open marks, its last two words, its last character.

    `is_balanced`: no mark is open. `has_new_bias`: whether `bias` may differ from that before the last character.
    """

    __slots__ = ("_after_end", "_before", "_last", "_opened", "_opened_at", "_rules", "_word", "has_new_bias", "length")

    def __init__(self, rules: WritingRules, text: str = "") -> None:
        """`text` stands before what is written: a prompt. A mark that it does not close may be closed later."""
        self._rules = rules
        self._opened = ""
        self._opened_at: list[int] = []
        self._word, self._before = "", ""
        self._last = ""
        self._after_end = True
        self.length = 0
        for character in text:
            self.append(character)
        self.has_new_bias = True

    @property
    def is_balanced(self) -> bool:
        """Whether every mark that was opened is closed."""
        return not self._opened

    def append(self, character: str) -> None:
        """Takes note of the next character."""
        self.length += 1
        if character.isalpha():
            # Inside a word, only its end at the length of the word before may be forbidden.
            self.has_new_bias = not self._word or 0 <= len(self._word) + 1 - len(self._before) <= 1
            self._word += character
            self._after_end = False
            self._last = character
            return
        self.has_new_bias = True
        if character.isspace():
            if self._word:
                self._before, self._word = self._word.lower(), ""
            self._after_end = self._after_end or self._last in _ENDS or (self._last == character == "\n")
        else:
            self._word = self._before = ""
            self._after_end = False
            self._mark(character)
        self._last = character

    def _mark(self, character: str) -> None:
        if self._opened and character == (_PAIRS.get(self._opened[-1]) or self._opened[-1]):
            self._opened = self._opened[:-1]
            self._opened_at.pop()
        elif character in _PAIRS or (character == _QUOTE and (not self._last.strip() or self._last in _BEFORE_OPENING)):
            self._opened += character
            self._opened_at.append(self.length)

    def bias(self, *, may_open: bool, may_space: bool) -> Logits:
        """Returns what is added to the logits `[vocabulary]` of the next character."""
        word, place = self._word, "" if self._last.isspace() else self._last
        repeats = 0 < len(word) == len(self._before) and word.lower() == self._before not in _MAY_REPEAT
        may_number = bool(place) or not self._after_end
        return self._rules.bias((self._opened, place, may_open, may_number, not repeats, may_space))

    def needs_closing(self, *, late: bool) -> bool:
        """Whether `help_to_close` would change the next logits: a mark is open, for long or `late` in the text."""
        return bool(self._opened) and (late or self.length - self._opened_at[-1] > self._usual_length())

    def _usual_length(self) -> int:
        lengths, usual = _USUAL_LENGTH
        return lengths.get(self._opened[-1], usual)

    def help_to_close(self, logits: Logits, late: float) -> None:
        """Makes the closing mark more probable, in place. `late`, 0 to 1: how urgent it is."""
        opener, limit = self._opened[-1], self._usual_length()
        late = max(late, min(1.0, (self.length - self._opened_at[-1]) / limit - 1.0))
        closer = self._rules.index.get(_PAIRS.get(opener, opener))
        if late <= 0 or closer is None or self._last.isspace() or (opener == _QUOTE and self._last not in ".!?,;:"):
            return
        if self._last.isalnum() and logits[self._rules.after_word].max() < logits.max():
            return  # in the middle of a word
        logits[closer] += late * _CLOSE_BONUS


def _indices(flags: object) -> Indices:
    return np.flatnonzero(np.array(list(flags), np.bool_))  # type: ignore[call-overload]
