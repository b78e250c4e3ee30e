"""What a caller asks for and what it gets: immutable values, validated when they are made.

All of them can be encoded by msgspec (MessagePack) and pickled, so that a generator may run in another process.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec import Struct

from generator.errors import InvalidRequest
from generator.sampling_params import SamplingParams, bounds, check
from generator.weights.versions import Weights

MAX_LENGTH: Final = 4000
"""Characters; about two Discord messages, or one Telegram message. Longer texts are continued instead."""
MAX_PROMPT: Final = 1000
"""Characters. Each costs one step of the network."""
MAX_SEED: Final = 2**63 - 1
MAX_SCORED_TEXT: Final = 6000
"""Characters; more than the longest text that is ever generated."""
_LENGTH_RANGE: Final = bounds(1, MAX_LENGTH, int)
_SEED_RANGE: Final = bounds(0, MAX_SEED, int)
OnSentence = Callable[[str], None]
"""Gets the beginning of a `Generation.text`, up to the end of a sentence, while the rest is generated."""
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a text stopped: `state` is `Generation.state` of the earlier text, `tail` its last characters.

    The state is used when it belongs to the weights that serve; otherwise the tail is prefilled.
    """

    state: bytes
    tail: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One text to generate.

    `length` is the number of characters aimed at, 1 to `MAX_LENGTH`: the text ends at the end of a sentence near it.
    `seed` fixes every draw, 0 to `MAX_SEED`. `prompt` may hold only characters of the vocabulary (see
    `Vocabulary.fit`). `continuation` continues an earlier text, after which a prompt is fed. `stream_after`:
    seconds after its admission before `on_sentence` is called; a text that is finished by then is not streamed.

    Raises `InvalidRequest`.
    """

    length: int
    seed: int
    sampling: SamplingParams = field(default_factory=SamplingParams)
    prompt: str = ""
    continuation: Continuation | None = None
    stream_after: float = 0.0

    def __post_init__(self) -> None:
        check("length", self.length, int, _LENGTH_RANGE)
        check("seed", self.seed, int, _SEED_RANGE)
        if len(self.prompt) > MAX_PROMPT:
            raise InvalidRequest(f"prompt: {len(self.prompt)} characters are more than {MAX_PROMPT}")

    @property
    def characters(self) -> int:
        """About how many characters are fed."""
        return self.length + len(self.prompt)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a text took: in the queue, until its first character, and from its first step to its end."""

    queue_wait: float
    first_character: float
    writing: float


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished text.

    `text` is what was sampled, without the prompt. The text of a continuation begins with the white space that
    separates it from the earlier text, so that the texts of a conversation, joined, are one text of the network.
    `generator.prose.presentable` prepares it for readers. `state` continues from here (`Continuation.state`).
    `version` names the weights.
    """

    text: str
    state: bytes
    version: str
    seed: int
    timing: Timing = field(compare=False)


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """A generated text and what came before it, so that its probabilities can be computed again.

    `before` is the raw text that was fed first: the prompt, or the end of the text that this one continues. `text` is
    `Generation.text`. `seed` is that of the text's request, which selects the initial state, and None for a
    continuation. Characters that the vocabulary of the serving weights lacks are left out; they have no probability.

    Raises `InvalidRequest`.
    """

    before: str
    text: str
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, length, most in (("before", len(self.before), MAX_PROMPT), ("text", len(self.text), MAX_SCORED_TEXT)):
            if length > most:
                raise InvalidRequest(f"{name}: {length} characters are more than {most}")
        if self.seed is not None:
            check("seed", self.seed, int, _SEED_RANGE)

    @property
    def characters(self) -> int:
        """How many characters are fed at most."""
        return len(self.before) + len(self.text)


@dataclass(frozen=True, slots=True)
class Surprisal:
    """The bits of a text's characters: −log2 p, at temperature 1, by the weights `version`.

    `bits` has one number per character of `text`: 0 for a certain character, 1 for one of two equally likely, NaN where
    the vocabulary lacks it. `given` stood before the text and was not generated: it has no bits.
    """

    text: str
    bits: tuple[float, ...]
    version: str = ""
    given: str = ""

    def __post_init__(self) -> None:
        if len(self.bits) != len(self.text):
            raise ValueError("a text has as many bits as characters")

    @property
    def mean(self) -> float:
        """Bits per character; NaN when no character has any."""
        known = [bits for bits in self.bits if not math.isnan(bits)]
        return math.fsum(known) / len(known) if known else math.nan

    def words(self, count: int) -> list[tuple[str, float]]:
        """Returns the most surprising words, each once, with the sum of their characters' bits."""
        found: dict[str, float] = {}
        for match in _WORD.finditer(self.text):
            if match.start() == 0 and self.given[-1:].isalnum():
                continue  # the end of a word of the prompt
            bits = math.fsum(bits for bits in self.bits[match.start() : match.end()] if not math.isnan(bits))
            found[match[0]] = max(bits, found.get(match[0], 0.0))
        return sorted(found.items(), key=lambda word: word[1], reverse=True)[:count]


class GeneratorStatus(Struct, frozen=True):
    """What a generator does now, and what it has done since the start. Characters include those of prompts.

    `characters_per_second`: of a full batch, a running mean; assumed unless `speed_measured`. `threads` run `slots`
    texts at once at most. `unavailable`: why no text can be generated; empty when it can. `faults`: how often a worker
    process failed or hung, and what the last one was; `restarts` of it, and its ID, if there is one. A `Struct`, unlike
    the others, since it is copied several times for each request, and that is much faster to copy.
    """

    texts: int = 0
    characters: int = 0
    refused: int = 0
    failed: int = 0
    running: int = 0
    queued: int = 0
    characters_per_second: float = 0.0
    speed_measured: bool = False
    threads: int = 0
    slots: int = 0
    unavailable: str = ""
    faults: int = 0
    last_fault: str = ""
    restarts: int = 0
    process_id: int | None = None


class Generator(Protocol):
    """Whatever generates texts: `generator.serving.generator.ThreadedGenerator`, a child process, or a cluster."""

    @property
    def weights(self) -> Weights:
        """The weights of the next text."""

    async def generate(self, request: GenerationRequest, on_sentence: OnSentence | None = None) -> Generation:
        """Generates one text. Cancelling frees its batch slot at the next character.

        `on_sentence` is called in the event loop at ends of sentences, from `stream_after` on, never after the text is
        finished or cancelled, and by a cluster not at all. The text is the same with it. It must raise nothing.

        Raises `InvalidRequest`, `Overloaded`, `ShuttingDown`, `Unavailable`, or `ModelError` when the network fails.
        """

    async def score(self, request: ScoringRequest) -> Surprisal:
        """Computes the probabilities of a text by the weights that serve now. Raises as `generate` does."""

    async def reload(self) -> Weights:
        """Switches to the weights that `CURRENT` names. Raises `WeightsError`; then the old ones still serve."""

    def status(self) -> GeneratorStatus:
        """Returns what it does now, and has done since the start."""
