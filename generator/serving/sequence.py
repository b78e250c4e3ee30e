"""One text while it is generated: what is fed next, what may be drawn, where it may end."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.prose import LOOK_BACK, PARAGRAPH_BREAK, ends_sentence
from generator.sampling_params import SamplingParams
from generator.serving.constraints import WrittenText
from generator.serving.logits_processors import RepeatedNgrams, forbid
from generator.serving.model import Model
from generator.serving.sampling import letter_temperature, word_temperature
from generator.serving.state import SavedState, StateMismatch
from generator.types import Generation, GenerationRequest, Timing
from generator.weights.session import State, StateRow, state_row

log = logging.getLogger(__name__)

_MARGIN: Final = 38
"""Characters before the wanted length from which on the first sentence end ends the text. Half of the texts then end
before the wanted length, measured on the shipped network."""
_SHORTEST: Final = 12
"""Characters of the shortest text that is a sentence."""
_STOP_BONUS: Final = 0.07
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
_CLOSING: Final = frozenset("\"'”’)]")
"""What may stand between a word and its full stop."""
_EARLIEST_CUT: Final = 0.5
"""Share of the length to which a text that found no end may be cut back, to its last sentence end."""


@dataclass(frozen=True, slots=True)
class _StopCandidate:
    """A place where the text may be cut: after `length` characters; `pending` is the white space drawn there."""

    length: int
    is_sentence_end: bool
    is_balanced: bool
    state: StateRow
    pending: str


class GeneratingSequence:
    """The text of one request.

    `initial_state` is the state that it starts from, and `next_character` the index that its row is fed next.
    `uniform` is the number in [0, 1) that its next character is drawn with; `bias` is added to the logits before that,
    and `constrains_next`: whether `process_logits` has to see them too. `temperature` and `may_end_sentence`: how that
    character is drawn. They are read for every character, and so are attributes.
    """

    __slots__ = (
        "_admitted",
        "_candidate",
        "_characters",
        "_earliest_cut",
        "_earliest_end",
        "_first_character",
        "_hard_end",
        "_is_opening",
        "_letter_temperature",
        "_open_until",
        "_prompt",
        "_repeated",
        "_spaces",
        "_started",
        "_stop_bonus",
        "_text",
        "_uniforms",
        "_word_temperature",
        "_written",
        "bias",
        "constrains_next",
        "initial_state",
        "may_end_sentence",
        "model",
        "next_character",
        "request",
        "temperature",
        "uniform",
    )

    def __init__(self, request: GenerationRequest, model: Model, admitted: float) -> None:
        """`admitted`: when the request was admitted, by `time.perf_counter`.

        Raises `KeyError` when the prompt holds a character that is not in the vocabulary.
        """
        self._admitted = admitted
        self._started = time.perf_counter()
        self._first_character: float | None = None
        self.request = request
        self.model = model
        self._characters = model.vocabulary.characters
        random = np.random.default_rng(request.seed)
        sentence_start = model.initial_state(random)
        self._earliest_end = max(_SHORTEST, request.length - _MARGIN)
        self._stop_bonus = _STOP_BONUS * min(max(1.0, _SHORT / request.length), _MAX_HURRY)
        self._open_until = int(_OPEN_UNTIL * self._earliest_end)
        self._earliest_cut = min(request.length * _EARLIEST_CUT, self._earliest_end)
        self._hard_end = max(_SHORTEST, request.length) + _OVERRUN
        self._uniforms: list[float] = random.random(self._hard_end + 1).tolist()
        self._candidate: _StopCandidate | None = None
        self._is_opening = not request.prompt and request.continuation is None
        self.initial_state, prompt, self._written = self._start(sentence_start)
        self._spaces = len(prompt) - len(prompt.rstrip())
        before = prompt if request.continuation is None else request.continuation.tail
        self._text = WrittenText(model.rules, request.prompt or "".join(self._written))
        self._repeated = RepeatedNgrams(model.masks, [*before, *self._written])
        self.uniform = self._uniforms[len(self._written)]
        self._word_temperature = word_temperature(request.sampling.temperature)
        self._letter_temperature = letter_temperature(request.sampling.temperature)
        self._after(prompt)
        # The last of the prompt is fed first out of the reversed list.
        self._prompt = model.vocabulary.encode(prompt).tolist()[::-1]
        self.next_character: int = self._prompt.pop()

    def _start(self, sentence_start: SavedState) -> tuple[StateRow, str, list[str]]:
        """Returns the state to start from, what is fed first, and which of that belongs to the text."""
        request, model = self.request, self.model
        if request.continuation is None:
            return sentence_start.arrays, sentence_start.pending + request.prompt, []
        try:
            saved = SavedState.from_bytes(request.continuation.state, model.id, model.network.specs)
            if saved.pending in model.vocabulary:
                return saved.arrays, saved.pending, [saved.pending]
            log.debug("continuation.from_tail reason=%r", "its next character is not in the vocabulary")
        except StateMismatch as mismatch:
            log.debug("continuation.from_tail reason=%r", str(mismatch))
        tail = model.vocabulary.fit(request.continuation.tail).text
        if not tail:
            self._is_opening = True
            return sentence_start.arrays, sentence_start.pending, []
        # The white space after the text's last word is in the state, not in the tail.
        space = [] if tail[-1].isspace() or " " not in model.vocabulary else [" "]
        return tuple(array[0] for array in model.network.zero_state(1)), tail + "".join(space), space

    @property
    def sampling(self) -> SamplingParams:
        """How its characters are drawn."""
        return self.request.sampling

    def prefill(self) -> bool:
        """Moves to the next character of the prompt. False when all of it is fed and a character is to be drawn."""
        if not self._prompt:
            return False
        self.next_character = self._prompt.pop()
        return True

    def process_logits(self, logits: NDArray[np.float32]) -> None:
        """Changes the logits `[vocabulary]` of the next character in place.

        What must not come next is forbidden: what would complete the last word of the prompt, anything but a capital at
        the beginning of a text, a repetition of four words. From near the wanted length on the full stop becomes more
        probable, where the network would end a word anyway. `bias` has the rules that hold anywhere.
        """
        written, masks = len(self._written), self.model.masks
        if not written:
            if self._is_opening:
                forbid(logits, masks.not_first)
            elif self.request.prompt[-1:].isalnum():
                forbid(logits, masks.not_after_prompt)
        if self._repeated.is_active:
            self._repeated.process(logits)
        if self._text.needs_closing(late=written > self._earliest_end):
            late = min(1.0, max(0.0, (written - self._earliest_end) / _CLOSE_WITHIN))
            self._text.help_to_close(logits, late)
        if written > self._earliest_end and self._written[-1].isalnum() and masks.ends_word(logits):
            logits[masks.stop] += (written - self._earliest_end) * self._stop_bonus

    def append(self, drawn: int, state: State, row: int) -> Generation | None:
        """Adds the character that was drawn after that row of the state. Returns the text when it ends."""
        if self._first_character is None:
            self._first_character = time.perf_counter()
        character = self._characters[drawn]
        if character.isspace():
            if not self._spaces and (end := self._stop_candidate(character, state, row)) is not None:
                return self._finish(end)
            self._spaces += 1
        else:
            self._spaces = 0
        written = self._written
        if len(written) >= self._hard_end:
            last = _StopCandidate(len(written), False, False, state_row(state, row), character)
            return self._finish(self._candidate or last)
        written.append(character)
        self._repeated.append(character)
        self._text.append(character)
        self.next_character = drawn
        self.uniform = self._uniforms[len(written)]
        self._after(character)
        return None

    def _after(self, character: str) -> None:
        """Settles how the next character is drawn: inside a word, or where one begins or may end."""
        in_word, written = character[-1:].isalnum(), len(self._written)
        late = written > self._earliest_end
        if self._text.has_new_bias or written == self._open_until:
            self.bias = self._text.bias(may_open=written < self._open_until, may_space=self._spaces < PARAGRAPH_BREAK)
        self.constrains_next = (
            not written or self._repeated.is_active or (late and in_word) or self._text.needs_closing(late=late)
        )
        self.temperature = self._letter_temperature if in_word else self._word_temperature
        self.may_end_sentence = in_word or character[-1:] in _CLOSING

    def _stop_candidate(self, white_space: str, state: State, row: int) -> _StopCandidate | None:
        """Remembers a word's end where the text may be cut, if it is a better place than the last one.

        Returns it when the text ends there.
        """
        length, wanted, last = len(self._written), self.request.length, self._candidate
        if length == 0:
            return None
        balanced = self._text.is_balanced
        if balanced and length >= self._earliest_cut and ends_sentence("".join(self._written[-LOOK_BACK:])):
            self._candidate = _StopCandidate(length, True, True, state_row(state, row), white_space)
            return self._candidate if length >= self._earliest_end else None
        keeps = last is not None and last.is_balanced and last.length >= self._earliest_cut
        if last is None or (not last.is_sentence_end and length <= wanted and (balanced or not keeps)):
            self._candidate = _StopCandidate(length, False, balanced, state_row(state, row), white_space)
        return None

    def _finish(self, end: _StopCandidate) -> Generation:
        now = time.perf_counter()
        first = self._first_character or now
        return Generation(
            text="".join(self._written[: end.length]),
            state=SavedState(end.state, end.pending).to_bytes(self.model.id),
            version=self.model.version,
            seed=self.request.seed,
            timing=Timing(self._started - self._admitted, first - self._admitted, now - self._started),
        )
