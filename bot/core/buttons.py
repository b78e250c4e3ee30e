"""The buttons under a reply: each is an `Ask`, encoded as data that a platform hands back.

The data carries its owner and which text is meant, so that a button works after a restart and for that user alone:
`a:OWNER:SLOT:TEMPERATURE` writes again, `c:OWNER:SLOT` continues, `s:OWNER:SLOT` shades, `t:OWNER:TEMPERATURE` makes it
the user's own, `l:OWNER:TAG` sets the language, `w:OWNER:TEMPERATURE:PROMPT` writes, `f:OWNER` confirms /forgetme.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from bot.core import language
from bot.core.ask import Again, Ask, Continue, ForgetMe, SetLanguage, SetTemperature, Surprise, Where, Write
from bot.core.parsing import TemperatureError
from bot.core.reply import Action
from bot.store.store import Conversation
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature

MAX_DATA: Final = 60
"""Characters of `Action.data`."""
STEP: Final = 0.1
"""How much Hotter and Colder change the temperature."""


class Button(NamedTuple):
    """A button that was pressed: the user whose it is, and what it asks for."""

    owner: str
    ask: Ask


def under(where: Where, text: Conversation) -> tuple[Action, ...]:
    """Returns the actions under a text of the user's."""
    slot, now = fingerprint(text.state), text.temperature
    steps = {"again": now, "hotter": round(now + STEP, 4), "colder": round(now - STEP, 4)}
    again, *others = (
        Action(where.say(f"button-{step}", temperature=value), f"a:{where.user}:{slot}:{value:g}")
        for step, value in steps.items()
        if MIN_TEMPERATURE <= value <= MAX_TEMPERATURE
    )
    return (again, continuing(where, text), *others)


def continuing(where: Where, text: Conversation) -> Action:
    """Returns the action that continues a text."""
    return Action(where.say("button-continue"), f"c:{where.user}:{fingerprint(text.state)}")


def shading(where: Where, text: Conversation) -> Action:
    """Returns the action that shades a text by its surprisal."""
    return Action(where.say("button-surprise"), f"s:{where.user}:{fingerprint(text.state)}")


def keeping(where: Where, temperature: float) -> Action:
    """Returns the action that makes a temperature the user's own."""
    return Action(where.say("button-keep", temperature=temperature), f"t:{where.user}:{temperature:g}")


def nearest(where: Where, command: str, error: TemperatureError) -> tuple[Action, ...]:
    """Returns the action that does a command at the nearest temperature, if there is one and the prompt fits."""
    if error.nearest is None:
        return ()
    if command == "temperature":
        return (keeping(where, error.nearest),)
    data = f"w:{where.user}:{error.nearest:g}:{error.rest}"
    action = Action(where.say("button-nearest", temperature=error.nearest), data)
    return (action,) if len(data) <= MAX_DATA and data.isascii() and data.isprintable() else ()


def forgetting(where: Where) -> Action:
    """Returns the action that confirms /forgetme."""
    return Action(where.say("button-forget"), f"f:{where.user}")


def speaking(where: Where) -> tuple[Action, ...]:
    """Returns the actions that set another language; the empty tag goes back to the platform's."""
    others = {tag: each.name for tag, each in language.languages().items() if tag != where.language}
    automatic = {"": where.say("button-automatic")} if where.language else {}
    return tuple(Action(name, f"l:{where.user}:{tag}") for tag, name in (others | automatic).items())


def decode(data: str) -> Button | None:
    """Returns the button whose data this is; None when no button has that data: modified clients send anything."""
    try:
        match data.split(":"):
            case "a", owner, slot, temperature if slot:
                ask: Ask = Again(slot, Temperature(float(temperature)))
            case "c", owner, slot if slot:
                ask = Continue(slot)
            case "s", owner, slot if slot:
                ask = Surprise(slot)
            case "w", owner, temperature, *prompt:
                ask = Write(Temperature(float(temperature)), ":".join(prompt))
            case "t", owner, temperature:
                ask = SetTemperature(Temperature(float(temperature)))
            case "l", owner, tag if not tag or tag in language.languages():
                ask = SetLanguage(tag or None)
            case "f", owner:
                ask = ForgetMe(confirmed=True)
            case _:
                return None
    except ValueError:
        return None
    return Button(owner, ask)


def names(slot: str, text: Conversation) -> bool:
    """Returns whether a slot stands for a text, or for any, which is an empty slot."""
    # "Again" named its text by the prompt in earlier versions; those buttons are still there.
    return slot in ("", fingerprint(text.state), fingerprint(text.prompt.encode()))


def fingerprint(content: bytes) -> str:
    """Returns eight hexadecimal digits by which a state is recognised."""
    return f"{zlib.crc32(content):08x}"
