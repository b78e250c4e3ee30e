"""The buttons under a reply: each is an `Ask`, encoded as data that a platform hands back.

The data carries its owner and which text is meant, so that a button works after a restart and for that user alone:
`a:OWNER:SLOT:TEMPERATURE` writes again, `c:OWNER:SLOT` continues, `s:OWNER:SLOT` shades, `t:OWNER:TEMPERATURE` makes it
the user's own, `l:OWNER:TAG` sets the language, `p:OWNER:NAME:VALUE` a setting of the user and `g:OWNER:NAME:VALUE` of
the group, `i:OWNER:VOICE` describes a voice, `b:OWNER:VOICE` shows its training curve (in earlier versions `b:OWNER`),
`w:OWNER:TEMPERATURE:PROMPT` writes, `v:OWNER:TEMPERATURE:VOICE:PROMPT` with a voice, `f:OWNER` confirms /forgetme.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from bot.core import language, messages
from bot.core.ask import About, Again, Ask, Continue, ForgetMe, Set, Settings, Surprise, Where, Write
from bot.core.parsing import TemperatureError
from bot.core.reply import Action
from bot.core.voice import Voice
from bot.store.store import ADMINISTRATORS, Conversation, Preferences
from generator import MAX_LENGTH, MAX_TEMPERATURE, MIN_TEMPERATURE, Temperature

MAX_DATA: Final = 51
"""Characters of `Action.data`: Telegram's callback data has 64 bytes, of which a signature takes 13."""
MAX_VOICES: Final = 10
"""Voices that have buttons under one message; Discord shows 25 buttons."""
STEP: Final = 0.1
"""How much Hotter and Colder change the temperature."""
LENGTHS: Final = (100, 200, 300, 400, 600, 800, 1200, 2000, MAX_LENGTH)
"""Characters: what Shorter and Longer choose from."""
_MAX_LABEL: Final = 30
"""Characters of a voice's title on a button."""
_VALUES: Final[dict[str, Callable[[str], float | str]]] = {
    "temperature": lambda value: Temperature(float(value)),
    "length": lambda value: LENGTHS[LENGTHS.index(int(value))],
    "language": lambda value: language.languages()[value].tag,
    "access": {ADMINISTRATORS: ADMINISTRATORS}.__getitem__,
    "voice": str,
}
"""The values of the settings, from the data of a button."""


class Button(NamedTuple):
    """A button that was pressed: the user whose it is, and what it asks for."""

    owner: str
    ask: Ask


def under(where: Where, text: Conversation, *, ladder: bool = False) -> tuple[Action, ...]:
    """Returns the actions under a text of the user's. The last one of a `ladder` is continued and shaded only."""
    slot, now = fingerprint(text.state), text.temperature
    actions = [Action(where.say("button-continue"), f"c:{where.user}:{slot}")]
    if not ladder:
        steps = {"again": now, "hotter": round(now + STEP, 4), "colder": round(now - STEP, 4)}
        again, *others = (
            Action(where.say(f"button-{step}", temperature=value), f"a:{where.user}:{slot}:{value:g}")
            for step, value in steps.items()
            if MIN_TEMPERATURE <= value <= MAX_TEMPERATURE
        )
        actions = [again, *actions, *others]
    if not where.in_place:  # a message that is edited has no room for a picture
        actions.append(Action(where.say("button-surprise"), f"s:{where.user}:{slot}"))
    return tuple(actions)


def keeping(where: Where, temperature: float) -> Action:
    """Returns the action that makes a temperature the user's own."""
    return Action(where.say("button-keep", temperature=temperature), f"t:{where.user}:{temperature:g}")


def nearest(where: Where, command: str, error: TemperatureError, voice: Voice | None = None) -> tuple[Action, ...]:
    """Returns the action that does a command, of a voice or not, at the nearest temperature, if the prompt fits."""
    if error.nearest is None:
        return ()
    if command == "temperature":
        return (keeping(where, error.nearest),)
    temperature = f"{where.user}:{error.nearest:g}"
    data = f"v:{temperature}:{voice.name}:{error.rest}" if voice else f"w:{temperature}:{error.rest}"
    fits = len(data) <= MAX_DATA and data.isascii() and data.isprintable()
    return (Action(where.say("button-nearest", temperature=error.nearest), data),) if fits else ()


def forgetting(where: Where) -> Action:
    """Returns the action that confirms /forgetme."""
    return Action(where.say("button-forget"), f"f:{where.user}")


def curve(where: Where, voice: Voice) -> Action:
    """Returns the action that shows the training curve of a voice."""
    return Action(where.say("button-curve"), f"b:{where.user}:{voice.name}")


def describing(where: Where, voice: Voice) -> Action:
    """Returns the action that describes a voice."""
    return Action(messages.title(voice, where.say, _MAX_LABEL), f"i:{where.user}:{voice.name}")


def speaking(where: Where) -> tuple[Action, ...]:
    """Returns the actions that set another language; the empty tag goes back to the platform's."""
    own = where.preferences.language if where.preferences else None
    others = {tag: each.name for tag, each in language.languages().items() if tag != own}
    automatic = {"": where.say("button-automatic")} if own else {}
    return tuple(Action(name, f"l:{where.user}:{tag}") for tag, name in (others | automatic).items())


def adjusting(
    where: Where, now: Preferences, voices: Sequence[Voice], *, group: bool, changed: bool, switch: bool
) -> tuple[Action, ...]:
    """Returns the actions that change the settings of the user, or of the `group`, from what they are `now`.

    `voices`: the others. `changed`: not all are the defaults. `switch`: there is one that shows the settings of the
    other of the two.
    """
    mine, other = ("g", "p") if group else ("p", "g")
    found: list[tuple[str, str, object]] = []
    degrees, characters = now.temperature or MIN_TEMPERATURE, now.length or 1
    for label, value in (("colder", round(degrees - STEP, 4)), ("hotter", round(degrees + STEP, 4))):
        if MIN_TEMPERATURE <= value <= MAX_TEMPERATURE:
            found.append((where.say(f"button-{label}", temperature=value), "temperature", f"{value:g}"))
    if shorter := [step for step in LENGTHS if step < characters]:
        found.append((where.say("button-shorter", length=shorter[-1]), "length", shorter[-1]))
    if longer := [step for step in LENGTHS if step > characters]:
        found.append((where.say("button-longer", length=longer[0]), "length", longer[0]))
    found += [(each.name, "language", tag) for tag, each in language.languages().items() if tag != now.language]
    found += [(messages.title(each, where.say, _MAX_LABEL), "voice", each.name) for each in voices[:MAX_VOICES]]
    if group:
        access = "" if now.access else ADMINISTRATORS
        found.append((where.say("button-administrators" if access else "button-everyone"), "access", access))
    if changed:
        found.append((where.say("button-defaults"), "all", ""))
    actions = [Action(label, f"{mine}:{where.user}:{name}:{value}") for label, name, value in found]
    if switch:
        actions.append(Action(where.say("button-own" if group else "button-group"), f"{other}:{where.user}::"))
    return tuple(actions)


def decode(data: str) -> Button | None:
    """Returns the button whose data this is; None when no button has that data: modified clients send anything."""
    try:
        match data.split(":"):
            case "a", owner, slot, temperature if slot:
                ask: Ask = Again(slot, Temperature(float(temperature)))
            case "c" | "s" as kind, owner, slot if slot:
                ask = Continue(slot) if kind == "c" else Surprise(slot)
            case "w", owner, temperature, *prompt:
                ask = Write(Temperature(float(temperature)), ":".join(prompt))
            case "t", owner, temperature:
                ask = Set("temperature", Temperature(float(temperature)))
            case "l", owner, tag if not tag or tag in language.languages():
                ask = Set("language", tag or None)
            case "p" | "g" as scope, owner, "" | "all" as name, "":
                ask = Settings(scope == "g", reset=bool(name))
            case "p" | "g" as scope, owner, name, value:
                read = _VALUES[name]  # refuses any other name, also without a value
                ask = Settings(scope == "g", name, read(value) if value else None)
            case "v", owner, temperature, voice, *prompt:
                ask = Write(Temperature(float(temperature)), ":".join(prompt), voice=voice)
            case "b" | "i" as kind, owner, *name if len(name) <= 1:
                ask = About(kind == "b", "".join(name))
            case "f", owner:
                ask = ForgetMe(confirmed=True)
            case _:
                return None
    except (ValueError, LookupError):
        return None
    return Button(owner, ask)


def names(slot: str, text: Conversation) -> bool:
    """Returns whether a slot stands for a text, or for any, which is an empty slot."""
    # "Again" named its text by the prompt in earlier versions; those buttons are still there.
    return slot in ("", fingerprint(text.state), fingerprint(text.prompt.encode()))


def fingerprint(content: bytes) -> str:
    """Returns eight hexadecimal digits by which a state is recognised."""
    return f"{zlib.crc32(content):08x}"
