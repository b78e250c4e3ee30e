"""One text while it is generated: what is fed first, what is drawn next, where it ends."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from generator.prose import LOOK_BACK, ends_sentence, ends_unspaced, is_mark
from generator.serving.constraints import CharacterClass, Constraints
from generator.serving.model import Model
from generator.serving.sampling import letter_temperature, word_temperature
from generator.serving.scoring import nats
from generator.serving.state import SavedState, StateMismatch
from generator.serving.topic import KEPT_WORDS, Topic
from generator.types import Continuation, Generation, GenerationRequest, OnSentence, Timing
from generator.weights.session import Logits, State, state_row

log = logging.getLogger(__name__)

_MARGIN: Final = 30
"""Characters before the wanted length from which on the first sentence end ends the text. Half of the texts then end
before the wanted length, measured on the shipped network."""
_SHORTEST: Final = 12
"""Characters of the shortest text that is a sentence."""
_STOP_BONUS: Final = 0.04
"""Nats by which full stops become more probable with each character after that, where the network would end a word."""
_SHORT: Final = 90
"""Characters. The bonus of a shorter text grows faster, in proportion, up to `_MAX_HURRY` times as fast."""
_MAX_HURRY: Final = 2.0
_OVERRUN: Final = 150
"""A text that finds no sentence end stops so many characters after the wanted length."""
_OPEN_UNTIL: Final = 0.85
"""Share of that beginning up to which brackets and quotation marks may be opened: none is in the last tenth."""
_CLOSE_WITHIN: Final = 60
"""Characters after it within which the help to close what is still open reaches its full strength."""
_EARLIEST_CUT: Final = 0.5
"""Share of the length to which a text that found no end may be cut back, to its last sentence end."""


@dataclass(frozen=True, slots=True)
class _StopCandidate:
    """A place where the text may be cut: after `length` characters."""

    length: int
    is_sentence_end: bool
    is_balanced: bool
    saved: SavedState


class GeneratingSequence:
    """The text of one request.

    `initial_state` is the state that it starts from; `prompt` has the indices that are fed first, the first one last.
    `uniforms` are the numbers in [0, 1) that its characters are drawn with, and `temperature` that of the next one.
    `bias` is added to its logits; it is a row of an array of the batch. Where `is_late`, `help_to_end` sees them too.
    """

    def __init__(
        self, request: GenerationRequest, model: Model, admitted: float, on_sentence: OnSentence | None = None
    ) -> None:
        """`admitted`: when the request was admitted, by `time.perf_counter`. `on_sentence` is called by `append`.

        Raises `KeyError` when the prompt holds a character that is not in the vocabulary.
        """
        self._admitted = admitted
        self._on_sentence = on_sentence
        self._stream_from = admitted + request.stream_after
        self._started = time.perf_counter()
        self._first_character = 0.0
        self._request = request
        self._model = model
        self._characters = model.vocabulary.characters
        self.sampling = request.sampling
        self._word_temperature = word_temperature(request.sampling.temperature)
        self._letter_temperature = letter_temperature(request.sampling.temperature)
        self._topic = Topic(model.rules.places, self._letter_temperature)
        random = np.random.default_rng(request.seed)
        opening = model.initial_state(random)
        start, before, fed, written = self._start(opening)
        self.initial_state = start.arrays
        self.prompt: list[int] = model.vocabulary.encode(fed).tolist()[::-1]
        # From here on all lengths are counted from the beginning of `before`, as `Constraints` counts them.
        wanted, self._begin = request.length, len(before)
        earliest_end = max(_SHORTEST, wanted - _MARGIN)
        self._earliest_end = self._begin + earliest_end
        self._earliest_cut = self._begin + min(wanted * _EARLIEST_CUT, earliest_end)
        self._hard_end = self._begin + max(_SHORTEST, wanted) + _OVERRUN
        self._stop_bonus = _STOP_BONUS * min(max(1.0, _SHORT / wanted), _MAX_HURRY)
        self.uniforms = iter(random.random(max(_SHORTEST, wanted) + _OVERRUN + 1)[len(written) :].data)
        self._candidate: _StopCandidate | None = None
        forbidden: CharacterClass = "lower case" if start is opening else ""
        if request.prompt:
            forbidden = "word" if request.prompt[-1].isalnum() else ""
        open_until = self._begin + int(_OPEN_UNTIL * earliest_end)
        self._constraints = Constraints(
            model.rules, before + written, open_until=open_until, forbidden=forbidden, topic=self._topic
        )
        self._text = self._constraints.text
        self.bias = self._constraints.bias.copy()
        self._settle()
        self._due = 0

    def _start(self, opening: SavedState) -> tuple[SavedState, str, str, str]:
        """Returns the initial state, what stands before the text, what is fed first, and what of it is in the text."""
        request, model = self._request, self._model
        start, before, fed, space = opening, opening.pending, opening.pending, ""
        if request.continuation is not None:
            tail = model.vocabulary.fit(request.continuation.tail).text
            if (saved := self._saved_state(request.continuation)) is not None:
                start, before, fed, space = saved, tail, saved.pending, saved.pending
            elif tail:
                # The white space after the text's last word is in the state, not in the tail.
                space = "" if tail[-1].isspace() or " " not in model.vocabulary else " "
                start = SavedState(model.network.zero_row(), space)
                before, fed = tail, tail + space
        if request.prompt:
            return start, before + space + request.prompt, fed + request.prompt, ""
        return start, before, fed, space

    def _saved_state(self, continuation: Continuation) -> SavedState | None:
        model = self._model
        try:
            saved = SavedState.from_bytes(continuation.state, model.id, model.network.specs)
            if saved.pending not in model.vocabulary:
                raise StateMismatch("its next character is not in the vocabulary")
        except StateMismatch as mismatch:
            log.debug("continuation.from_tail reason=%r", str(mismatch))
            return None
        for word in saved.topic:
            self._topic.add(word)
        return saved

    def read(self, logits: Logits) -> int:
        """Returns the next character of the prompt, to be fed."""
        following = self.prompt.pop()
        if len(self.prompt) < len(self._request.prompt) and self._model.rules.has_topics:
            character, place = self._characters[following], following
            if character.isalpha() and not self._topic.word:
                places = self._model.rules.cases[character.isupper()]
                logits, place = logits[places], places.index(following)
            self._topic.read(character, nats(logits, place) / math.log(2))
            if not self.prompt:
                self._topic.end_word()
        return following

    def append(self, drawn: int, state: State, row: int) -> Generation | None:
        """Adds the character that was drawn after that row of the state. Returns the text when it ends."""
        character, text = self._characters[drawn], self._text
        if len(text) < self._due and character.isalpha():
            text.append(character)
            return None
        self._first_character = self._first_character or time.perf_counter()
        if self._may_stop(character) and (end := self._stop_candidate(character, state, row)):
            return self._finish(end)
        if len(text) >= self._hard_end:
            return self._finish(self._candidate or self._cut(character, state, row, is_sentence_end=False))
        self._constraints.append(character)
        self._settle()
        return None

    def _may_stop(self, following: str) -> bool:
        last = self._text[-1]
        if following.isspace():
            return not last.isspace()
        unspaced = self._model.rules.unspaced and not (last.isascii() or last.isalnum())
        return unspaced and ends_unspaced(
            "".join(self._text[max(self._begin, len(self._text) - LOOK_BACK) :]), following
        )

    def _settle(self) -> None:
        constraints, late = self._constraints, len(self._text) - self._earliest_end
        self.bias[:] = constraints.bias
        self.temperature = self._letter_temperature if self._in_word() else self._word_temperature
        self._closing_mark, self._closing_bonus = constraints.closing_bonus(min(1.0, late / _CLOSE_WITHIN))
        self.is_late = late > 0 or self._closing_bonus > 0
        self._due = 0 if self.is_late else min(constraints.due, self._earliest_end)

    def _in_word(self) -> bool:
        last = self._text[-1]
        return last.isalnum() or is_mark(last)

    def help_to_end(self, logits: Logits) -> None:
        """Makes full stops and closing marks more probable, in place, where the network would end a word anyway.

        Full stops from near the wanted length on, closing marks where they are due.
        """
        in_word = self._in_word()
        if in_word and self._model.rules.continues_word[logits.argmax()]:
            return
        logits[self._closing_mark] += self._closing_bonus
        late = len(self._text) - self._earliest_end
        if in_word and late > 0:
            logits[self._model.rules.stops] += late * self._stop_bonus

    def _ends_here(self, following: str) -> bool:
        """Whether a sentence ends, or a line that is kept; of verse, a chat or code, only a line."""
        text, rules = self._text, self._model.rules
        if rules.ends_at_lines or (following == "\n" and not rules.hard_wrapped):
            return following == "\n"
        return ends_sentence("".join(text[max(self._begin, len(text) - LOOK_BACK) :]))

    def _stop_candidate(self, following: str, state: State, row: int) -> _StopCandidate | None:
        """Remembers a word's end where the text may be cut, if it is a better place than the last one.

        Returns it when the text ends there. No text is cut before the last end of a sentence that it had here.
        """
        length, last = len(self._text), self._candidate
        may_cut = length >= self._earliest_cut
        on_sentence = self._on_sentence if time.perf_counter() >= self._stream_from else None
        if not may_cut and on_sentence is None:
            return None
        balanced = not self._constraints.opened
        if balanced and self._ends_here(following):
            if may_cut:
                self._candidate = self._cut(following, state, row, is_sentence_end=True)
            if length >= self._earliest_end:
                return self._candidate
            if on_sentence is not None:
                on_sentence("".join(self._text[self._begin :]))
        elif may_cut:
            is_early = length <= self._begin + self._request.length
            if last is None or (not last.is_sentence_end and is_early and (balanced or not last.is_balanced)):
                self._candidate = self._cut(following, state, row, is_sentence_end=False)
        return None

    def _cut(self, pending: str, state: State, row: int, *, is_sentence_end: bool) -> _StopCandidate:
        saved = SavedState(state_row(state, row), pending, tuple(self._topic.words[-KEPT_WORDS:]))
        return _StopCandidate(len(self._text), is_sentence_end, not self._constraints.opened, saved)

    def _finish(self, end: _StopCandidate) -> Generation:
        now = time.perf_counter()
        return Generation(
            text="".join(self._text[self._begin : end.length]),
            state=end.saved.to_bytes(self._model.id),
            version=self._model.version,
            seed=self._request.seed,
            timing=Timing(self._started - self._admitted, self._first_character - self._admitted, now - self._started),
        )
