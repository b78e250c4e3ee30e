"""What a user gets, as values that every platform can show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from bot.core import language
from generator.scoring.palette import Cell

ECHO: Final = "\u2068{}\u2069"
"""Marks what a user typed in a sentence of the bot, by Unicode's FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE
(https://www.unicode.org/reports/tr9/#Explicit_Directional_Isolates). The typed text itself contains neither."""
_ECHO: Final = re.compile(ECHO.format("(.*?)"))


def echoed(text: str) -> Iterator[tuple[str, bool]]:
    """Yields the parts of a reply's text without the isolates, and whether a user typed them."""
    for number, part in enumerate(_ECHO.split(text)):
        yield part, number % 2 == 1


class Kind(Enum):
    """What a reply is, for platforms that show the kinds differently, and for the metrics."""

    TEXT = "text"  # from the network, so it is never read as markup
    ANSWER = "answer"
    REFUSAL = "refused"


@dataclass(frozen=True, slots=True)
class Passage:
    """A generated text, ready to be read; it begins with `prompt`, the part that the person typed (may be empty).

    `label` parts it from its neighbours when there are several.
    """

    text: str
    prompt: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image to show with a reply: the bytes of a PNG file, and what it is called.

    `description` is for people who cannot see it, at most 1,024 characters. `path`: where it lies on this machine.
    """

    content: bytes = field(repr=False)
    name: str
    description: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What the person may want to do next, for platforms with buttons.

    `data` comes back when it is chosen: ASCII, at most 51 bytes where people's names are numbers, so that it fits into
    Telegram's callback data (64 bytes, of which a signature takes 13) and Discord's custom IDs (100 characters).
    """

    label: str
    data: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an `Ask`.

    `text` is everything a plain platform needs to show; `passages` are the same generated texts in parts, empty
    unless `kind` is `TEXT`. `private`: for the eyes of the one person, where the platform can. `notice`: something
    the person alone should know beside the text. `picture`: an image to show with it. `shaded`: the text that
    the picture shows, for platforms that cannot show one but have colours. `outdated`: the buttons under the message
    that was pressed do nothing any more, so that they can be removed. `locale`: the user's, for what a platform adds.
    `in_place`: it takes the place of the message whose button was pressed. `passing`: a refusal that holds for seconds.
    `voice`: the name of the one that wrote the text.
    """

    text: str
    kind: Kind = Kind.ANSWER
    passages: tuple[Passage, ...] = ()
    private: bool = False
    notice: str = ""
    picture: Picture | None = None
    shaded: tuple[Cell, ...] = ()
    actions: tuple[Action, ...] = ()
    in_place: bool = False
    outdated: bool = False
    locale: str = ""
    passing: bool = False
    voice: str = ""

    def say(self, message: str, /, **values: object) -> str:
        """Returns another message in the same language; see `Language.say`."""
        return language.of(self.locale).say(message, **values)

    @classmethod
    def of_passages(
        cls, *passages: Passage, notice: str = "", actions: tuple[Action, ...] = (), voice: str = ""
    ) -> Reply:
        """Generated texts, each below its label."""
        texts = (f"{each.label}\n{each.text}" if each.label else each.text for each in passages)
        return cls("\n\n".join(texts), Kind.TEXT, passages, notice=notice, actions=actions, voice=voice)

    @classmethod
    def refusal(cls, text: str, locale: str = "", *, passing: bool = False) -> Reply:
        """Something that does not work, said to the one person."""
        return cls(text, Kind.REFUSAL, private=True, locale=locale, passing=passing)


class Refused(Exception):
    """What was asked for cannot be done. `message` says why: one of `locales`, with the values of its variables."""

    def __init__(self, message: str, **values: object) -> None:
        super().__init__(message)
        self.message = message
        self.values = values


class Passing(Refused):
    """It can be done in some seconds."""


class Cancelled(Refused):
    """The user has stopped it, as the reply to /cancel says."""


class Outdated(Refused):
    """The button that was pressed does nothing any more."""
