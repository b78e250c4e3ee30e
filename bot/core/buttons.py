"""The buttons under a reply: each is an `Ask`, encoded as data that a platform hands back.

The data carries its owner and which text is meant, so that a button works after a restart and for that user alone:
`a:OWNER:SLOT:TEMPERATURE` writes again, `c:OWNER:SLOT` continues, `f:OWNER` confirms /forgetme.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from bot.core.ask import Again, Ask, Continue, ForgetMe, Where
from bot.core.reply import Action
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature

STEP: Final = 0.1
"""How much Hotter and Colder change the temperature."""


class Button(NamedTuple):
    """A button that was pressed: the user whose it is, and what it asks for."""

    owner: str
    ask: Ask


def under(where: Where, prompt: str, temperature: float, state: bytes) -> tuple[Action, ...]:
    """Returns the actions under the user's text: its prompt, its temperature, and the state that it stopped in."""
    slot = fingerprint(prompt)
    steps = {"again": temperature, "hotter": round(temperature + STEP, 4), "colder": round(temperature - STEP, 4)}
    again, *others = (
        Action(where.say(f"button-{step}"), f"a:{where.user}:{slot}:{value:g}")
        for step, value in steps.items()
        if MIN_TEMPERATURE <= value <= MAX_TEMPERATURE
    )
    return (again, continuing(where, state), *others)


def continuing(where: Where, state: bytes) -> Action:
    """Returns the action that continues a text."""
    return Action(where.say("button-continue"), f"c:{where.user}:{fingerprint(state)}")


def forgetting(where: Where) -> Action:
    """Returns the action that confirms /forgetme."""
    return Action(where.say("button-forget"), f"f:{where.user}")


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
