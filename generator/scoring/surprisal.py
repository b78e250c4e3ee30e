"""How much each character of a text surprises the network: the probabilities that it was written with, once more."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.errors import InvalidRequest
from generator.scoring.measure import nats
from generator.types import MAX_PROMPT, MAX_SEED, SamplingParams
from generator.weights.loader import Model
from generator.weights.session import Rows

CONTEXT: Final = 200
"""Characters before a continued text that are read again, from a zero state.

Measured on the classic network: with 100 as with 400 of them the bits of the text differ by 0.003 on average and by
0.04 at most from those of the state that it was really written from, which is what rounding that state does.
"""
MAX_TEXT: Final = 6000
"""Characters; more than the longest text that is ever written."""
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_AS_IT_IS: Final = SamplingParams(temperature=1.0)


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """A text that was written, and what came before it, so that its probabilities can be computed again.

    `before` is the raw text that was read first: the prompt, or the end of the text that this one goes on from.
    `text` is `Generation.text`. `seed` is that of the text's request, which says where it began, and None for a
    continuation. What the vocabulary of the serving weights lacks has no probability and is left out.

    Raises `InvalidRequest`.
    """

    before: str
    text: str
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, length, most in (("before", len(self.before), MAX_PROMPT), ("text", len(self.text), MAX_TEXT)):
            if length > most:
                raise InvalidRequest(f"{name}: {length} characters are more than {most}")
        if self.seed is not None and not 0 <= self.seed <= MAX_SEED:
            raise InvalidRequest(f"seed must be from 0 to {MAX_SEED}")

    @property
    def characters(self) -> int:
        """How many are fed at most."""
        return len(self.before) + len(self.text)


@dataclass(frozen=True, slots=True, eq=False)
class Surprisal:
    """The bits of a text's characters: −log2 p, at temperature 1, by the weights `version`.

    `bits` is float64 `[len(text)]`: 0 for a certain character, 1 for one of two equally likely; NaN where the
    vocabulary lacks it. `given` stood before the text and was not written: it has no bits.
    """

    text: str
    bits: NDArray[np.float64]
    version: str = ""
    given: str = ""

    def __post_init__(self) -> None:
        if self.bits.shape != (len(self.text),):
            raise ValueError("a text has as many bits as characters")

    @property
    def mean(self) -> float:
        """Bits per character; NaN when none has any."""
        known = self.bits[~np.isnan(self.bits)]
        return float(known.mean()) if known.size else math.nan

    def words(self, count: int) -> list[tuple[str, float]]:
        """The most surprising words, each once, with the bits of all their characters."""
        found: dict[str, float] = {}
        for match in _WORD.finditer(self.text):
            if match.start() == 0 and self.given[-1:].isalnum():
                continue  # the end of a word that was given
            bits = float(np.nansum(self.bits[match.start() : match.end()]))
            found[match[0]] = max(bits, found.get(match[0], 0.0))
        return sorted(found.items(), key=lambda word: word[1], reverse=True)[:count]


class ScoringSequence:
    """Stands in a batch where a `Draft` stands; what it draws is the character that the text goes on with.

    So it is admitted, cancelled and batched as a text is. Attributes as in `Draft`.
    """

    __slots__ = ("_bits", "_done", "_places", "_read", "_targets", "_text", "_version", "next_character", "rows")

    sampling: Final = _AS_IT_IS
    uniform: Final = 0.0
    guided: Final = True

    def __init__(self, written: ScoringRequest, model: Model) -> None:
        vocabulary = model.weights.manifest.vocabulary
        before = vocabulary.fit(written.before).text
        self.rows: Rows
        if written.seed is None and before:
            self.rows, read = tuple(row[0] for row in model.network.zero_state(1)), before[-CONTEXT:]
        else:
            beginning = model.beginning(np.random.default_rng(written.seed or 0))
            self.rows, read = beginning.rows, beginning.pending + before
        self._read = vocabulary.encode(read).tolist()[::-1]
        self.next_character: int = self._read.pop()
        self._text, self._version = written.text, model.version
        self._places = [place for place, character in enumerate(written.text) if character in vocabulary]
        self._targets: list[int] = vocabulary.encode("".join(written.text[place] for place in self._places)).tolist()
        self._bits = np.full(len(written.text), math.nan)
        self._done = 0

    def reads(self) -> bool:
        """As in `Draft`: goes to the next character of what stands before the text."""
        if not self._read:
            return False
        self.next_character = self._read.pop()
        return True

    def guide(self, logits: NDArray[np.float32]) -> None:
        """Notes the bits of the next character by its logits `[vocabulary]`, and then forbids every other one."""
        target = self._targets[self._done]
        with np.errstate(invalid="ignore", over="ignore"):
            bits = nats(logits, target) / math.log(2)
        if math.isfinite(bits):  # else they are no distribution, which the draw is to find out
            self._bits[self._places[self._done]] = bits
            logits[:] = -np.inf
            logits[target] = 0.0

    def take(self, drawn: int, _state: object, _row: int) -> Surprisal | None:
        """Goes to the next character of the text. All bits, when it was the last."""
        self.next_character = drawn
        self._done += 1
        return Surprisal(self._text, self._bits, self._version) if self._done == len(self._targets) else None
