"""The buttons under a reply: each is an `Ask`, encoded as data that a platform hands back.

The data carries its owner and which text is meant, so that a button works after a restart and for that user alone.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final

from bot.core.ask import Again, Continue
from bot.core.reply import Action
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE, InvalidRequest, Temperature

STEP: Final = 0.1
"""How much Hotter and Colder change the temperature."""
_DATA: Final = re.compile(
    r"(?:c|(?P<again>a)):(?P<owner>[!-9;-~]+):(?P<slot>[0-9a-f]{8})"
    r"(?(again):(?P<temperature>[0-9]+(?:\.[0-9]+)?))"
)
"""What `_encode` makes, and nothing else: modified clients send whatever they like."""


@dataclass(frozen=True, slots=True)
class Button:
    """A button that was pressed: the user whose it is, and what it asks for."""

    owner: str
    ask: Again | Continue


def under(owner: str, prompt: str, temperature: float, state: bytes) -> tuple[Action, ...]:
    """Returns the actions under a text: its prompt, its temperature, and the state that it stopped in."""
    slot = fingerprint(prompt)
    actions = [Action("Again", _encode(owner, Again(slot, Temperature(temperature)))), continuing(owner, state)]
    if (hotter := round(temperature + STEP, 4)) <= MAX_TEMPERATURE:
        actions.append(Action("Hotter", _encode(owner, Again(slot, Temperature(hotter)))))
    if (colder := round(temperature - STEP, 4)) >= MIN_TEMPERATURE:
        actions.append(Action("Colder", _encode(owner, Again(slot, Temperature(colder)))))
    return tuple(actions)


def continuing(owner: str, state: bytes) -> Action:
    """Returns the action that continues a text."""
    return Action("Continue", _encode(owner, Continue(fingerprint(state))))


def decode(data: str) -> Button | None:
    """Returns the button whose data this is; None when no button has that data."""
    match = _DATA.fullmatch(data)
    if match is None:
        return None
    if match["again"] is None:
        return Button(match["owner"], Continue(match["slot"]))
    try:
        temperature = Temperature(float(match["temperature"]))
    except InvalidRequest:
        return None
    return Button(match["owner"], Again(match["slot"], temperature))


def fingerprint(content: str | bytes) -> str:
    """Returns eight hexadecimal digits by which a prompt or a state is recognised."""
    return f"{zlib.crc32(content.encode('utf-8') if isinstance(content, str) else content):08x}"


def _encode(owner: str, ask: Again | Continue) -> str:
    if isinstance(ask, Continue):
        return f"c:{owner}:{ask.slot}"
    return f"a:{owner}:{ask.slot}:{ask.temperature:g}"
