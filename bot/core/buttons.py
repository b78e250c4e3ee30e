"""The buttons under a reply: each is an `Ask`, encoded as data that a platform hands back.

The data carries its owner and which text is meant, so that a button works after a restart and for that user alone.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final

from bot.core.ask import Again, Continue, ForgetMe
from bot.core.reply import Action
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature

STEP: Final = 0.1
"""How much Hotter and Colder change the temperature."""
_DATA: Final = re.compile(
    r"(?P<kind>[acf]):(?P<owner>[!-9;-~]+)(?::(?P<slot>[0-9a-f]{8}))?(?::(?P<temperature>[0-9]+(?:\.[0-9]+)?))?"
)
"""What `_encode` makes, and nothing else: modified clients send whatever they like."""


@dataclass(frozen=True, slots=True)
class Button:
    """A button that was pressed: the user whose it is, and what it asks for."""

    owner: str
    ask: Again | Continue | ForgetMe


def under(owner: str, prompt: str, temperature: float, state: bytes) -> tuple[Action, ...]:
    """Returns the actions under a text: its prompt, its temperature, and the state that it stopped in."""
    slot = fingerprint(prompt)
    steps = {"Again": temperature, "Hotter": round(temperature + STEP, 4), "Colder": round(temperature - STEP, 4)}
    again, *others = (
        Action(label, _encode(owner, Again(slot, Temperature(value))))
        for label, value in steps.items()
        if MIN_TEMPERATURE <= value <= MAX_TEMPERATURE
    )
    return (again, continuing(owner, state), *others)


def continuing(owner: str, state: bytes) -> Action:
    """Returns the action that continues a text."""
    return Action("Continue", _encode(owner, Continue(fingerprint(state))))


def forgetting(owner: str) -> Action:
    """Returns the action that confirms /forgetme."""
    return Action("Delete everything", _encode(owner, ForgetMe(confirmed=True)))


def decode(data: str) -> Button | None:
    """Returns the button whose data this is; None when no button has that data."""
    match = _DATA.fullmatch(data)
    if match is None:
        return None
    ask: Again | Continue | ForgetMe
    match match["kind"], match["slot"], match["temperature"]:
        case "a", str(slot), str(number) if MIN_TEMPERATURE <= float(number) <= MAX_TEMPERATURE:
            ask = Again(slot, Temperature(float(number)))
        case "c", str(slot), None:
            ask = Continue(slot)
        case "f", None, None:
            ask = ForgetMe(confirmed=True)
        case _:
            return None
    return Button(match["owner"], ask)


def fingerprint(content: str | bytes) -> str:
    """Returns eight hexadecimal digits by which a prompt or a state is recognised."""
    return f"{zlib.crc32(content.encode('utf-8') if isinstance(content, str) else content):08x}"


def _encode(owner: str, ask: Again | Continue | ForgetMe) -> str:
    match ask:
        case Again(slot, temperature):
            return f"a:{owner}:{slot}:{temperature:g}"
        case Continue(slot):
            return f"c:{owner}:{slot}"
        case ForgetMe():
            return f"f:{owner}"
