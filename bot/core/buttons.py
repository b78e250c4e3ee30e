"""What stands under a text: another draw, hotter, colder, and going on; each as data that a platform hands back.

The data carries who asked and which text it was, so that a button works after a restart and for that person alone.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final

from bot.core.reply import Action
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE

STEP: Final = 0.1
"""By which Hotter and Colder change the temperature."""
_AGAIN: Final = "a"
_CONTINUE: Final = "c"
_DATA: Final = re.compile(
    rf"(?:{_CONTINUE}|(?P<again>{_AGAIN})):(?P<person>[!-9;-~]+):(?P<key>[0-9a-f]{{8}})"
    r"(?(again):(?P<temperature>[0-9]+(?:\.[0-9]+)?))"
)
"""What `under` and `continuing` make, and nothing else: clients of one's own making send whatever they like."""


@dataclass(frozen=True, slots=True)
class Button:
    """A button that was pressed: whose text it stands under, and which one. `temperature` is None for Continue."""

    person: str
    key: str
    temperature: float | None


def under(person: str, prompt: str, temperature: float, state: bytes) -> tuple[Action, ...]:
    """The actions under a text of `person`: its prompt, its temperature, and the state that it stopped in."""
    actions = [_again("Again", person, prompt, temperature), continuing(person, state)]
    if (hotter := round(temperature + STEP, 4)) <= MAX_TEMPERATURE:
        actions.append(_again("Hotter", person, prompt, hotter))
    if (colder := round(temperature - STEP, 4)) >= MIN_TEMPERATURE:
        actions.append(_again("Colder", person, prompt, colder))
    return tuple(actions)


def continuing(person: str, state: bytes) -> Action:
    """The action that goes on from a text."""
    return Action("Continue", f"{_CONTINUE}:{person}:{fingerprint(state)}")


def read(data: str) -> Button | None:
    """The button that the data of an action stands for; None when no action has that data."""
    match = _DATA.fullmatch(data)
    if match is None:
        return None
    if match["temperature"] is None:
        return Button(match["person"], match["key"], None)
    temperature = float(match["temperature"])
    in_range = MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE
    return Button(match["person"], match["key"], temperature) if in_range else None


def fingerprint(content: str | bytes) -> str:
    """Eight hexadecimal digits by which a prompt or a state is known again."""
    return f"{zlib.crc32(content.encode('utf-8') if isinstance(content, str) else content):08x}"


def _again(label: str, person: str, prompt: str, temperature: float) -> Action:
    return Action(label, f"{_AGAIN}:{person}:{fingerprint(prompt)}:{temperature:g}")
