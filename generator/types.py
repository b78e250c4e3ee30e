"""What a caller asks for and what it gets: immutable values, made valid once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from generator.errors import InvalidRequest

MIN_TEMPERATURE: Final = 0.1
MAX_TEMPERATURE: Final = 2.0
MAX_LENGTH: Final = 4000
"""Characters; about two Discord messages, or one Telegram message. Longer texts are continued instead."""
MAX_PROMPT: Final = 1000
"""Characters. Priming costs one step of the network per character."""
MAX_SEED: Final = 2**63 - 1


def _check(name: str, value: Any, low: float, high: float, kind: type = float) -> None:
    number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    # Comparing refuses NaN and infinities too, and no integer is too large for it.
    if not number or not low <= value <= high:
        what = "a whole number" if kind is int else "a number"
        raise InvalidRequest(f"{name} must be {what} from {low} to {high}, not {_shown(value)}")


def _shown(value: Any) -> str:
    """What was given, unless it is an integer of more digits than anyone wants to read (or Python to write)."""
    return "one so large" if isinstance(value, int) and abs(value) >= 10**20 else repr(value)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next character is drawn. Names and ranges as in vLLM's `SamplingParams`.

    `temperature` divides the logits: 0.1 to 2.0. `top_p` keeps the most probable characters whose probabilities
    together reach it: above 0, up to 1 (off). `min_p` keeps the characters that are at least that fraction as
    probable as the most probable one: 0 (off) to 1. Both cuts are made after the temperature.

    Raises `InvalidRequest` for a value that is out of range or no finite number.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, MIN_TEMPERATURE, MAX_TEMPERATURE)
        _check("top_p", self.top_p, 0.0, 1.0)
        if self.top_p == 0.0:
            raise InvalidRequest("top_p must be above 0, up to 1; 1 switches it off")
        _check("min_p", self.min_p, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a text stopped: `state` is `Generation.state` of the earlier text, `tail` its last characters.

    The state is used when it belongs to the weights that serve; otherwise the tail is primed through the network.
    """

    state: bytes
    tail: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One text to write.

    `length` is the number of characters aimed at, 1 to `MAX_LENGTH`: the text ends at the end of a sentence near it.
    `seed` fixes every draw, 0 to `MAX_SEED`. `prompt` is primed through the network; it may hold only characters of
    the vocabulary (see `Vocabulary.fit`). `continuation` goes on from an earlier text; then there is no prompt.

    Raises `InvalidRequest`.
    """

    length: int
    seed: int
    sampling: SamplingParams = SamplingParams()
    prompt: str = ""
    continuation: Continuation | None = None

    def __post_init__(self) -> None:
        _check("length", self.length, 1, MAX_LENGTH, int)
        _check("seed", self.seed, 0, MAX_SEED, int)
        if len(self.prompt) > MAX_PROMPT:
            raise InvalidRequest(f"prompt: {len(self.prompt)} characters are more than {MAX_PROMPT}")
        if self.prompt and self.continuation is not None:
            raise InvalidRequest("prompt: a continuation goes on from its own text and takes no prompt")

    @property
    def characters(self) -> int:
        """How many are fed, about."""
        return self.length + len(self.prompt)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a text took: until its turn came, until its first character, and from its turn to its end."""

    queue_wait: float
    first_character: float
    writing: float


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished text.

    `text` is what the network wrote, character for character, without the prompt; the text of a continuation begins
    with the white space that parts it from what came before, so that the texts of a conversation, joined, are what
    one network wrote in one go. `generator.serving.prose.presentable` makes it ready to be read.
    `state` continues from here (`Continuation.state`). `version` names the weights.
    """

    text: str
    state: bytes
    version: str
    seed: int
    timing: Timing = field(compare=False)
