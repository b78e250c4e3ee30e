"""One text while it is being written: what is fed next, what may be drawn, where it may end."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.serving.prose import LOOK_BACK, PARAGRAPH_BREAK, ends_sentence
from generator.serving.state import KeptState, StateMismatch
from generator.types import Generation, GenerationRequest, SamplingParams, Timing
from generator.weights.loader import Model
from generator.weights.session import Rows, State, row_of

log = logging.getLogger(__name__)

_EARLIEST_END: Final = 0.8
"""Share of the length from which on the first sentence end ends the text."""
_EARLIEST_RETREAT: Final = 0.5
"""Share of the length to which a text that found no end may be cut back, to its last sentence end."""
_STOPS_FROM: Final = 0.9
"""Share of the length from which on sentences are helped to end."""
_STOP_BONUS: Final = 12.0
"""Nats by which a full stop is likelier at the very last; the help grows in proportion until then."""
_OVERRUN: Final = 1.25, 80
"""A text that finds no sentence end stops at this factor of its length plus so many characters."""


@dataclass(frozen=True, slots=True)
class _Bookmark:
    """A place where the text may be cut: after `length` characters; `pending` is the white space drawn there."""

    length: int
    sentence: bool
    rows: Rows
    pending: str


class Draft:
    """The text of one request.

    `rows` is the state that it starts from, and `next_character` the index that its row of the batch is fed next.
    `uniform` is the number in [0, 1) that its next character is drawn with; `guided`: whether `guide` has to see the
    logits before that. They are read for every character, and so are attributes.
    """

    __slots__ = (
        "_asked",
        "_begins",
        "_begun",
        "_bookmark",
        "_characters",
        "_first",
        "_hard_end",
        "_prompt",
        "_spaces",
        "_stops_from",
        "_uniforms",
        "_written",
        "guided",
        "model",
        "next_character",
        "request",
        "rows",
        "uniform",
    )

    def __init__(self, request: GenerationRequest, model: Model, asked: float) -> None:
        """`asked`: when the request was admitted, by `time.perf_counter`.

        Raises `KeyError` when the prompt holds a character that is not in the vocabulary.
        """
        self._asked = asked
        self._begun = time.perf_counter()
        self._first: float | None = None
        self.request = request
        self.model = model
        self._characters = model.weights.manifest.vocabulary.characters
        random = np.random.default_rng(request.seed)
        beginning = model.beginning(random)
        factor, more = _OVERRUN
        self._hard_end = int(request.length * factor) + more
        self._stops_from = int(request.length * _STOPS_FROM)
        self._uniforms: list[float] = random.random(self._hard_end + 1).tolist()
        self._bookmark: _Bookmark | None = None
        self._begins = not request.prompt and request.continuation is None
        self.rows, prompt, self._written = self._start(beginning)
        self._spaces = _trailing_spaces(prompt)
        self.uniform = self._uniforms[len(self._written)]
        self.guided = True
        # The last of the prompt is fed first out of the reversed list.
        self._prompt = model.weights.manifest.vocabulary.encode(prompt).tolist()[::-1]
        self.next_character: int = self._prompt.pop()

    def _start(self, beginning: KeptState) -> tuple[Rows, str, list[str]]:
        """The state to start from, what is fed first, and what of that belongs to the text."""
        request, model = self.request, self.model
        vocabulary = model.weights.manifest.vocabulary
        if request.continuation is None:
            return beginning.rows, beginning.pending + request.prompt, []
        try:
            kept = KeptState.from_bytes(request.continuation.state, model.version, model.network.specs)
            if kept.pending in vocabulary:
                return kept.rows, kept.pending, [kept.pending]
            log.debug("a kept state goes on with a character that is not in the vocabulary")
        except StateMismatch as mismatch:
            log.debug("going on from the tail: %s", mismatch)
        # Other weights serve now: they read the end of the text instead, and nobody needs to know.
        tail = vocabulary.fit(request.continuation.tail).text
        if not tail:
            self._begins = True
            return beginning.rows, beginning.pending, []
        # The white space that ended the text's last word was kept in the state.
        space = [] if tail[-1].isspace() or " " not in vocabulary else [" "]
        return tuple(row[0] for row in model.network.zero_state(1)), tail + "".join(space), space

    @property
    def sampling(self) -> SamplingParams:
        """How its characters are drawn."""
        return self.request.sampling

    def reads(self) -> bool:
        """Goes to the next character of the prompt; false when all of it is fed and a character is to be drawn."""
        if not self._prompt:
            return False
        self.next_character = self._prompt.pop()
        return True

    def guide(self, logits: NDArray[np.float32]) -> None:
        """Changes, in place, the logits `[vocabulary]` of the next character so that a text comes of it.

        What must not come next is set to −inf: a third white space, and anything but a capital at the beginning. Near
        the wanted length the full stop becomes likelier from word to word, where the network would end a word anyway.
        """
        written = len(self._written)
        if self._spaces >= PARAGRAPH_BREAK:
            logits[self.model.alphabet.space] = -np.inf
        if not written and self._begins:
            logits[self.model.alphabet.not_first] = -np.inf
        if written > self._stops_from and self._written[-1].isalnum() and self.model.alphabet.ends_word(logits):
            late = (written - self._stops_from) / (self._hard_end - self._stops_from)
            logits[self.model.alphabet.stop] += late * _STOP_BONUS * self.request.sampling.temperature

    def take(self, drawn: int, state: State, row: int) -> Generation | None:
        """Adds the character that was drawn from that row of the state. The text when it ends."""
        if self._first is None:
            self._first = time.perf_counter()
        character = self._characters[drawn]
        if character.isspace():
            if not self._spaces and (end := self._mark(character, state, row)) is not None:
                return self._finish(end)
            self._spaces += 1
        else:
            self._spaces = 0
        written = self._written
        if len(written) >= self._hard_end:
            return self._finish(self._bookmark or _Bookmark(len(written), False, row_of(state, row), character))
        written.append(character)
        self.next_character = drawn
        self.uniform = self._uniforms[len(written)]
        self.guided = self._spaces >= PARAGRAPH_BREAK or len(written) > self._stops_from
        return None

    def _mark(self, white_space: str, state: State, row: int) -> _Bookmark | None:
        """Remembers a word's end where the text may be cut, if it is a better place than the last one.

        Returns it when the text ends there.
        """
        length, wanted, last = len(self._written), self.request.length, self._bookmark
        if length == 0:
            return None
        if length >= wanted * _EARLIEST_RETREAT and ends_sentence("".join(self._written[-LOOK_BACK:])):
            self._bookmark = _Bookmark(length, True, row_of(state, row), white_space)
            return self._bookmark if length >= wanted * _EARLIEST_END else None
        if last is None or (not last.sentence and length <= wanted):
            self._bookmark = _Bookmark(length, False, row_of(state, row), white_space)
        return None

    def _finish(self, end: _Bookmark) -> Generation:
        state = KeptState(self.model.version, end.rows, end.pending)
        text = "".join(self._written[: end.length])
        now = time.perf_counter()
        timing = Timing(self._begun - self._asked, (self._first or now) - self._asked, now - self._begun)
        return Generation(text, state.to_bytes(), self.model.version, self.request.seed, timing)


def _trailing_spaces(text: str) -> int:
    return len(text) - len(text.rstrip())
