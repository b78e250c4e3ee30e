"""Typed text: the command of a line, a temperature in any notation, a prompt as the network can read it.

Pure functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature
from generator.types import MAX_PROMPT
from generator.vocabulary import Fitted
from generator.weights.manifest import Manifest

_COMMAND: Final = re.compile(r"\s*/(?P<command>[^\s@]*)(?:@\S*)?(?:\s+(?P<arguments>.*))?", re.DOTALL)
_TEMPERATURE: Final = re.compile(
    r"""(?P<number>[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)(?=\s|$)"""
    r"""|(?:(?i:temperature|temp|t)\s*[=:]?\s*)?(?P<quote>["'“”„«])?(?P<fraction>\d*\.\d+)(?(quote)["'“”»])"""
    r"""[.;:]?(?=\s|[A-Z]|$)"""
    r"""|(?P<percent>\d{1,3})%\s*$"""
)
"""A number, of decimal digits of any script (`\\d`, which `float` reads too), or what is meant as one beyond doubt:
`0.7,` `0.7The` `t=0.7` `temperature 0.7` `"0.7"` `70%`. "1. Of prejudices" and "1: Of" are prompts."""
_UNCLEAR: Final = re.compile(r"""["'“”„«(]?(?:(?:temperature|temp|t)\s*[=:]?\s*\d|\d*\.\d|\d+\s*%)""", re.IGNORECASE)
"""What may be meant as a temperature: `0.7mm` `70% of` `t 1`."""
_PLAIN: Final = str.maketrans({",": ".", "٫": ".", "，": ".", "．": ".", "−": "-", "﹣": "-", "－": "-", "＋": "+"})
"""Decimal separators: comma, U+066B (Arabic), U+FF0C and U+FF0E (full width). Signs: U+2212, U+FE63, U+FF0D, U+FF0B."""


class TemperatureError(ValueError):
    """What was typed is no number from `MIN_TEMPERATURE` to `MAX_TEMPERATURE`. `typed` is that word, as typed.

    `nearest`: the temperature nearest to it, if it is a number at all; `rest`: what was typed after it.
    """

    def __init__(self, typed: str, nearest: Temperature | None = None, rest: str = "") -> None:
        super().__init__(f"{typed[:40]!r} is not a temperature from {MIN_TEMPERATURE} to {MAX_TEMPERATURE}")
        self.typed, self.nearest, self.rest = typed, nearest, rest


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
    """Reads a temperature and nothing else. Raises `TemperatureError`."""
    temperature, rest = split_temperature(typed)
    if temperature is None or rest:
        raise TemperatureError(typed)
    return temperature


def split_temperature(arguments: str) -> tuple[Temperature | None, str]:
    """Returns the two parts of "[temperature] [prompt]"; no temperature when they do not begin with a number.

    Raises `TemperatureError` when that number is out of range.
    """
    typed = arguments.strip()
    match = _TEMPERATURE.match(typed.translate(_PLAIN))
    if match is None:
        return None, typed
    rest = typed[match.end() :].strip()
    value = float(match["percent"]) / 100 if match["percent"] else float(match["number"] or match["fraction"])
    if not MIN_TEMPERATURE <= value <= MAX_TEMPERATURE:
        nearest = Temperature(MIN_TEMPERATURE if value < MIN_TEMPERATURE else MAX_TEMPERATURE)
        raise TemperatureError(typed[: match.end()], nearest, rest)
    return Temperature(value), rest


def is_unclear(prompt: str) -> bool:
    """Returns whether a prompt begins with what may be meant as a temperature."""
    return _UNCLEAR.match(prompt.translate(_PLAIN)) is not None


@dataclass(frozen=True, slots=True)
class Prompt(Fitted):
    """A text of at most `MAX_PROMPT` characters that the network knows. `shortened`: its beginning is left out."""

    shortened: bool


def fit_prompt(typed: str, manifest: Manifest) -> Prompt:
    """Brings what was typed to the network's vocabulary, and of a long text the end."""
    typed = typed.strip()
    fitted = manifest.vocabulary.fit(typed[-MAX_PROMPT:])
    text = fitted.text.strip()
    if fitted.dropped:  # what stood on both sides of it must not leave two spaces
        text = re.sub(" {2,}", " ", text)
    replaced = tuple(
        (character, plain)
        for character, plain in fitted.replaced
        if not (manifest.lowercase and character.lower() == plain)  # everything is lower-cased there: no news
    )
    shortened = max(len(typed), len(text)) > MAX_PROMPT  # a replacement may be longer than what it stands for
    return Prompt(text[-MAX_PROMPT:].strip(), replaced, fitted.dropped, shortened)
