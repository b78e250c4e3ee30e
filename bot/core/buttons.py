"""The buttons under a reply: each is an `Ask`, encoded as data that a platform hands back.

The data carries its owner and which text is meant, so that a button works after a restart and for that user alone:
`a:OWNER:SLOT:TEMPERATURE` writes again, `c:OWNER:SLOT` continues, `f:OWNER` confirms /forgetme.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from bot.core.ask import Again, Ask, Continue, ForgetMe
from bot.core.reply import Action
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature

STEP: Final = 0.1
"""How much Hotter and Colder change the temperature."""


class Button(NamedTuple):
    """A button that was pressed: the user whose it is, and what it asks for."""

    owner: str
    ask: Ask


def under(owner: str, prompt: str, temperature: float, state: bytes) -> tuple[Action, ...]:
    """Returns the actions under a text: its prompt, its temperature, and the state that it stopped in."""
    slot = fingerprint(prompt)
    steps = {"Again": temperature, "Hotter": round(temperature + STEP, 4), "Colder": round(temperature - STEP, 4)}
    again, *others = (
        Action(label, f"a:{owner}:{slot}:{value:g}")
        for label, value in steps.items()
        if MIN_TEMPERATURE <= value <= MAX_TEMPERATURE
    )
    return (again, continuing(owner, state), *others)


def continuing(owner: str, state: bytes) -> Action:
    """Returns the action that continues a text."""
    return Action("Continue", f"c:{owner}:{fingerprint(state)}")


def forgetting(owner: str) -> Action:
    """Returns the action that confirms /forgetme."""
    return Action("Delete everything", f"f:{owner}")


def decode(data: str) -> Button | None:
    """Returns the button whose data this is; None when no button has that data: modified clients send anything."""
    try:
        match data.split(":"):
            case "a", owner, slot, temperature if slot:
                return Button(owner, Again(slot, Temperature(float(temperature))))
            case "c", owner, slot if slot:
                return Button(owner, Continue(slot))
            case "f", owner:
                return Button(owner, ForgetMe(confirmed=True))
    except ValueError:
        pass
    return None


def fingerprint(content: str | bytes) -> str:
    """Returns eight hexadecimal digits by which a prompt or a state is recognised."""
    return f"{zlib.crc32(content.encode('utf-8') if isinstance(content, str) else content):08x}"
