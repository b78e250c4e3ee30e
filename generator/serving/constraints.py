"""What a text must not write next: marks that do not pair, a word twice, four words again, the number of a section.
And what it should write more often than its corpus does: full stops.

Most characters are letters inside a word, after which nothing changes: `Constraints.due` says which of them count.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from generator.prose import MAX_INDENT, PARAGRAPH_BREAK, TERMINALS, is_mark
from generator.serving.topic import Topic
from generator.vocabulary import Vocabulary

Bias = NDArray[np.float64]
"""What is added to logits `[vocabulary]`: −inf for what is forbidden, a bonus for full stops, else 0."""
_PAIRS: Final = {"(": ")", "[": "]", "{": "}", "“": "”", "„": "“”", "«": "»", "»": "«"}
"""Opening marks, and what closes them: »so« in German, „so“ too, „so” in Polish."""
_QUOTE: Final = '"'
_SYMMETRIC: Final = frozenset((_QUOTE, *"=_"))
"""Marks that open and close; which of the two, the text before them says. In texts of Project Gutenberg, = and _ stand
for bold and italics."""
_MARKS: Final = frozenset((*_PAIRS, *"".join(_PAIRS.values()), *_SYMMETRIC))
_BEFORE_OPENING: Final = "-—–([{“«"
"""What may stand right before an opening quotation mark, besides white space."""
_MAY_REPEAT: Final = frozenset({"had", "that"})
_USUAL_LENGTH: Final = {**dict.fromkeys("([{=_", 120), **dict.fromkeys('"“„«»', 240)}
"""Characters after which a bracket, or a quotation, is helped to close. In nietzsche.txt nine of ten are shorter."""
_CLOSE_BONUS: Final = 10.0
"""Nats by which the closing mark is more probable at twice that length, where a word ends; it grows until then."""
_ENDS: Final = frozenset(".!?…:=\"'”’)]")
"""After these a number at the start of a word is taken for that of a section."""
_APOSTROPHES: Final = "'’"
_JOINERS: Final = "-'’‐‑"
"""What may stand inside a word, between two letters."""
_OPENERS: Final = "([{“„«‘_"
_FEW_CAPITALS: Final = 0.2
"""Share of the letters: with fewer, capitals are foreign in this script, and a text begins with any letter."""
_READABLE: Final = 100
"""Characters of a sentence. The longer one becomes, the more seldom it makes sense: read blind, of sentences of 8 to 11
words at 0.7 every second one claims something, of 20 to 27 words every eighth, of more than 28 hardly any
(docs/training.md, "Sentences")."""
_BONUS: Final = 2.4
"""Nats by which full stops become more probable where sentences of the corpus are e times as long: 1.6 for the 192
characters of nietzsche.txt."""
_MAX_BONUS: Final = 2.0
"""Of a text with hardly a full stop, whose sentences seem to have thousands of characters."""
_CONTEXT: Final = 3
"""Words after which a fourth must not repeat."""
_CONTEXT_OF_LINES: Final = 7
"""The same where lines are kept: four words repeat in four of five pieces of 1,500 characters of Python, and in every
third of a chat, eight words seldom."""

CharacterClass = Literal["", "lower case", "word", "digit", "word end", "joiner"]
"""Characters that are forbidden in some places, besides marks and white space. "lower case": all but capitals, where a
text begins; "word": what would continue the last word of a prompt."""


class WritingRules:
    """The characters of a vocabulary that the rules are about. One for all texts of a model.

    `hard_wrapped`, `ends_at_lines` and `sentence_length` as in the manifest. Lines of verse, chats and code begin with
    anything.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        hard_wrapped: bool = True,
        ends_at_lines: bool = False,
        sentence_length: int = 0,
    ) -> None:
        self.characters = vocabulary.characters
        self.hard_wrapped = hard_wrapped
        self.ends_at_lines = ends_at_lines
        self.context = _CONTEXT_OF_LINES if ends_at_lines else _CONTEXT
        self.max_spaces = PARAGRAPH_BREAK if hard_wrapped else MAX_INDENT
        self.stops = [i for i, c in enumerate(self.characters) if c in TERMINALS + "…"]
        self._usual: Bias = np.zeros(len(vocabulary))
        """What is added to the logits where nothing is forbidden."""
        if sentence_length > _READABLE and not ends_at_lines:
            self._usual[self.stops] = min(_BONUS * math.log(sentence_length / _READABLE), _MAX_BONUS)
        self.unspaced = any(c in TERMINALS for c in self.characters if not c.isascii())
        self.continues_word = [c.isalnum() or is_mark(c) or c in _APOSTROPHES for c in self.characters]
        self.has_topics = not (ends_at_lines or self.unspaced)
        self.places: defaultdict[str, list[int]] = defaultdict(list)
        for place, character in enumerate(self.characters):
            self.places[character.lower()].append(place)
        self.cases = {
            case: [i for i, c in enumerate(self.characters) if c.isalpha() and c.isupper() == case]
            for case in (False, True)
        }
        first = {c for c in self.characters if not c.isspace()}
        if not ends_at_lines:
            letters = set(filter(str.isalpha, first))
            has_case = sum(map(str.isupper, letters)) > _FEW_CAPITALS * len(letters)
            first = set(filter(str.isupper, first)) if has_case else letters or first
        self._classes: dict[CharacterClass, Callable[[str], bool]] = {
            "": lambda _: False,
            "lower case": lambda c: c not in first,
            "word": lambda c: c.isalnum() or c in _JOINERS + _OPENERS,
            "digit": lambda c: c.isdigit() and not ends_at_lines,
            "word end": lambda c: not c.isalnum() and c not in _APOSTROPHES,
            "joiner": lambda c: c in _JOINERS,
        }
        self.bias: Callable[[str, str, bool, bool, CharacterClass], Bias] = cache(self._bias)
        """Returns what is added to the logits, as `_bias`; each once, since there is one for every word."""

    def _bias(self, opened: str, before: str, may_open: bool, may_space: bool, forbidden: CharacterClass) -> Bias:  # noqa: FBT001 - of a cached function
        """`opened`: the open marks; `before`: the last character, empty after white space, "a" for all in words."""

        def is_forbidden(c: str) -> bool:
            if c in _MARKS and not self.ends_at_lines and not _allowed(c, opened, before, may_open=may_open):
                return True
            return self._classes[forbidden](c) or (c.isspace() and not may_space)

        return self._forbidding([is_forbidden(c) for c in self.characters])

    def without_words(self, bias: Bias, letters: set[str]) -> Bias:
        """Returns `bias`, and forbids words that begin with one of these letters, lower or upper case."""
        pairs = zip(self.characters, bias.tolist(), strict=True)
        return self._forbidding([nats < 0 or c.lower()[0] in letters for c, nats in pairs])

    def _forbidding(self, forbidden: list[bool]) -> Bias:
        """Rules that forbid everything forbid nothing."""
        return np.where(np.array(forbidden) & (not all(forbidden)), -np.inf, self._usual)


def _allowed(mark: str, opened: str, before: str, *, may_open: bool) -> bool:
    if mark in _closers(opened):
        return before != opened[-1] and (before != "" or mark == "»")  # French has a space before that
    nested = mark in opened or (mark in _PAIRS and any(c in opened for c in _PAIRS))
    at_word = not before or before in _BEFORE_OPENING or before == opened[-1:]
    return (mark in _SYMMETRIC or mark in _PAIRS) and may_open and not nested and at_word


def _closers(opened: str) -> str:
    """The marks that close the last of the open ones."""
    return _PAIRS.get(opened[-1:], opened[-1:])


class Constraints:
    """What the rules have to know of one text. Four words in a row (eight where lines are kept) do not repeat by this:
    where three occur again, no word may follow that begins with the letter of one that followed before. So every word
    is spelled as the network would; case, and what is no letter, do not matter.

    `text`: its characters, with those that stand before it. `bias`: what is added to the logits of the next character.
    A letter inside a word that comes before `text` has `due` characters is only appended to `text`; every other
    character is given to `append`.
    """

    def __init__(
        self,
        rules: WritingRules,
        before: str = "",
        *,
        open_until: int = sys.maxsize,
        forbidden: CharacterClass = "",
        topic: Topic | None = None,
    ) -> None:
        """`before` stands before the text: a mark that it leaves open may be closed. From `open_until` characters, of
        `before` too, none may be opened. `forbidden`: what must not come first. `topic` favours its words, also those
        that it reads later."""
        self._rules = rules
        self._open_until = open_until
        self.text: list[str] = []
        self.opened = ""
        self._opened_at: list[int] = []
        self._spaces = 0
        self._after_end = True
        self._start = -1
        """Where the word began that is being written; −1: none is."""
        self._previous = ""
        """The word before it, if only white space stands between."""
        self._last: tuple[str, ...] = ()
        """The last `WritingRules.context` words, whatever stands between."""
        self._followers: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        """So many words -> the first letters of the words that followed them."""
        self._joined: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        """All but the last of them -> the last, where the next followed after a hyphen or an apostrophe."""
        self._watched: dict[str, CharacterClass] = {}
        """Words -> what must not follow them."""
        self._topic = topic or Topic({}, 1.0)
        self.due = 0
        self._settle("digit")
        for character in before:
            self.append(character)
        if forbidden:
            self._settle(forbidden)

    def append(self, character: str) -> None:
        """Appends the next character of the text."""
        self.text.append(character)
        if character.isalpha() or is_mark(character):
            self._in_word(character)
            return
        before = self.text[-2] if len(self.text) > 1 else ""
        word = self._end_word()
        if character.isspace():
            self._spaces += 1
            self._previous = word or self._previous
            if self._rules.ends_at_lines and character == "\n":  # blocks of code end as "end", "end"
                self._previous = ""
            self._after_end = self._after_end or before in _ENDS or (before == character == "\n")
            self._settle("digit" if self._after_end else "")
        else:
            self._spaces = 0
            self._previous = ""
            self._after_end = False
            self._mark(character, before)
            self._settle("digit" if character in "([" else "")  # the number of a footnote or a list

    def _settle(self, forbidden: CharacterClass) -> None:
        before = self.text[-1] if self.text and not self._spaces else ""
        may_open, may_space = len(self.text) < self._open_until, self._spaces < self._rules.max_spaces
        self.bias = self._rules.bias(self.opened, "a" if before.isalnum() else before, may_open, may_space, forbidden)
        if letters := self._followers.get(self._last):
            self.bias = self._rules.without_words(self.bias, letters)
        if self._topic.letters:
            self.bias = self._topic.favour(self.bias, "")

    def _in_word(self, letter: str) -> None:
        length = len(self.text)
        if self._start < 0:
            self._start = length - 1
            self._spaces = 0
            self._after_end = False
            self._watched = dict.fromkeys(self._joined.get(self._last[1:], ()), "joiner")
            if self._previous[:1] == letter.lower() and self._previous not in _MAY_REPEAT:
                self._watched[self._previous] = "word end"
        forbidden: CharacterClass = ""
        self.due = sys.maxsize
        word = "".join(self.text[self._start :]).lower() if self._watched or self._topic.letters else ""
        if self._watched:
            forbidden = self._watched.get(word, "")
            longer = [len(watched) for watched in self._watched if len(watched) > len(word)]
            self.due = length if forbidden else min(longer, default=sys.maxsize) + self._start - 1
        self.bias = self._rules.bias(self.opened, "a", True, True, forbidden)
        if word in self._topic.letters and not self._watched:
            self.due = length
            self.bias = self._topic.favour(self.bias, word)

    def _end_word(self) -> str:
        if self._start < 0:
            return ""
        word = "".join(self.text[self._start : -1]).lower()
        if len(self._last) == self._rules.context:
            self._followers[self._last].add(word[0])
            if self._start > 1 and self.text[self._start - 1] in _JOINERS and self.text[self._start - 2].isalpha():
                self._joined[self._last[:-1]].add(self._last[-1])
        self._last = (*self._last, word)[-self._rules.context :]
        self._start = -1
        self.due = 0
        return word

    def _mark(self, character: str, before: str) -> None:
        if self._rules.ends_at_lines:  # the brackets of code nest, those of chats smile
            return
        at_word = not before.strip() or before in _BEFORE_OPENING or before == self.opened[-1:]
        if character in _closers(self.opened):
            self.opened = self.opened[:-1]
            self._opened_at.pop()
        elif (character in _PAIRS and (at_word or character not in "“»")) or (character in _SYMMETRIC and at_word):
            self.opened += character
            self._opened_at.append(len(self.text))

    def closing_bonus(self, late: float) -> tuple[int, float]:
        """Returns the index of the mark that would close what is open and the nats that it should be more probable by
        where a word ends; 0 nats: by none. `late`, 0 to 1: how urgent it is."""
        opener, last = self.opened[-1:], self.text[-1]
        mark = max(map(self._rules.characters.find, _closers(opener)), default=-1)
        if mark < 0 or last.isspace() or (opener == _QUOTE and last not in ".!?,;:"):
            return 0, 0.0
        age = (len(self.text) - self._opened_at[-1]) / _USUAL_LENGTH[opener]
        return mark, max(late, min(1.0, age - 1.0), 0.0) * _CLOSE_BONUS
