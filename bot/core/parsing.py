"""Typed text: the command of a line, a temperature in any notation, a prompt as the network can read it.

Pure functions.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature
from generator.types import MAX_PROMPT
from generator.weights.manifest import Manifest

_COMMAND: Final = re.compile(r"\s*/(?P<command>[^\s@]*)(?:@(?P<bot>\S*))?(?:\s+(?P<arguments>.*))?", re.DOTALL)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?")
"""`\\d` is a decimal digit of any script (Unicode category Nd), which `float` reads too. No trailing point: a prompt
such as "1. Of prejudices" is no temperature."""
_NO_NUMBER: Final = re.compile(r"[+-]?(?:nan|inf)|[+-]infinity", re.IGNORECASE)
"""What `float` would read, yet is no number: refused rather than taken for a prompt."""
_MISTYPED: Final = re.compile(
    r"""\s*(?:(?:(?i:temperature|temp|t)\s*[=:]?\s*)?(?P<quote>["'“”„«])?(?P<number>\d*\.\d+)(?(quote)["'“”»])"""
    r"""[.;:]?(?=\s|[A-Z]|$)|(?P<percent>\d{1,3})%\s*$)"""
)
"""`0.7,` `0.7The` `t=0.7` `temperature 0.7` `"0.7"` `70%`. Only fractions: "1: Of prejudices" is a prompt."""
_PLAIN: Final = str.maketrans({",": ".", "٫": ".", "，": ".", "．": ".", "−": "-", "﹣": "-", "－": "-", "＋": "+"})
"""Decimal separators: comma, U+066B (Arabic), U+FF0C and U+FF0E (full width). Signs: U+2212, U+FE63, U+FF0D, U+FF0B."""


class TemperatureError(ValueError):
    """What was typed is no temperature that can be used. `typed` is that word, as typed.

    `opens_text`: it stood where a prompt text may begin too, so it may have been meant as one.
    """

    def __init__(self, typed: str, *, opens_text: bool = False) -> None:
        super().__init__(f"{typed[:40]!r} is not a temperature from {MIN_TEMPERATURE} to {MAX_TEMPERATURE}")
        self.typed = typed
        self.opens_text = opens_text


class NotANumber(TemperatureError):
    """The word is no number, or one such as "nan" or "inf"."""


class OutOfRange(TemperatureError):
    """The word is a number outside `MIN_TEMPERATURE` to `MAX_TEMPERATURE`."""


class TakesNoArgument(ValueError):
    """Something was typed behind a command that takes nothing."""

    def __init__(self, command: str) -> None:
        super().__init__(f"/{command} takes no argument")
        self.command = command


class Line(NamedTuple):
    """A command line: the command in lower case, without slash and bot name, and what follows it, stripped."""

    command: str
    arguments: str


def parse_line(line: str) -> Line | None:
    """Reads "/nietzsche@bot 0,7 The philosopher"; `None` when the line does not begin with a slash."""
    match = _COMMAND.fullmatch(line)
    if match is None:
        return None
    return Line(match["command"].lower(), (match["arguments"] or "").strip())


def parse_temperature(typed: str) -> Temperature:
    """Reads 0.7, 0,7, .7, 7e-1, ٠٫٧: decimal digits of any script. Raises `NotANumber` or `OutOfRange`."""
    plain = typed.translate(_PLAIN)
    if not _NUMBER.fullmatch(plain):
        temperature, end = _mistyped(typed)
        if temperature is None or end < len(typed):
            raise NotANumber(typed)
        return temperature
    value = float(plain)
    if not math.isfinite(value) or not MIN_TEMPERATURE <= value <= MAX_TEMPERATURE:
        raise OutOfRange(typed)
    return Temperature(value)


def split_temperature(arguments: str) -> tuple[Temperature | None, str]:
    """Returns the two parts of "[temperature] [prompt]"; no temperature when the first word is no number.

    Raises `NotANumber` or `OutOfRange`, with `opens_text`, when it is a number that cannot be used: a text may begin
    with a number all the same, after a temperature.
    """
    first, *rest = arguments.split(maxsplit=1) or [""]
    plain = first.translate(_PLAIN)
    if _NUMBER.fullmatch(plain) or _NO_NUMBER.fullmatch(plain):
        try:
            return parse_temperature(first), "".join(rest).strip()
        except TemperatureError as error:
            raise type(error)(first, opens_text=True) from None
    temperature, end = _mistyped(arguments)
    return temperature, arguments[end:].strip()


def _mistyped(typed: str) -> tuple[Temperature | None, int]:
    """A temperature with something around it that leaves no doubt, and where it ends; `(None, 0)` for all else."""
    match = _MISTYPED.match(typed.translate(_PLAIN))
    if match is None:
        return None, 0
    value = float(match["number"]) if match["number"] else float(match["percent"]) / 100
    return (Temperature(value), match.end()) if MIN_TEMPERATURE <= value <= MAX_TEMPERATURE else (None, 0)


class PromptTooLong(ValueError):
    """The prompt has more characters than the network reads: `length` of them."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the prompt has {length} characters; at most {MAX_PROMPT} are read")
        self.length = length


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text of characters that the network knows, at most `MAX_PROMPT`, and what became of the others.

    `replaced` holds (typed, written) pairs, `dropped` what has no plain form. `lost`: something was typed, and
    nothing of it is left.
    """

    text: str = ""
    replaced: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    lost: bool = False


def fit_prompt(typed: str, manifest: Manifest) -> Prompt:
    """Brings what was typed to the network's vocabulary. Raises `PromptTooLong`."""
    typed = typed.strip()
    if len(typed) > MAX_PROMPT:
        raise PromptTooLong(len(typed))
    fitted = manifest.vocabulary.fit(typed)
    text = fitted.text.strip()
    if fitted.dropped:  # what stood on both sides of it must not leave two spaces
        text = re.sub(" {2,}", " ", text)
    if len(text) > MAX_PROMPT:  # a replacement may be longer than what it stands for
        raise PromptTooLong(len(text))
    replaced = tuple(
        (character, plain)
        for character, plain in fitted.replaced
        if not (manifest.lowercase and character.lower() == plain)  # everything is lower-cased there: no news
    )
    return Prompt(text, replaced, fitted.dropped, lost=bool(typed) and not text)
