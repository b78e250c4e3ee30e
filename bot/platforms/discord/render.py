"""A `Reply` as Discord messages: texts in which nothing is read as markup, buttons, files. Pure functions.

Discord reads a kind of Markdown in every message, and a backslash before any ASCII punctuation shows that character
as it is (https://support.discord.com/hc/en-us/articles/210298617). What is escaped here, and against what:

    \\ * _ ~ ` |       emphasis, underline, strike-through, code, spoilers, the backslash itself
    < > @             mentions, custom emoji, timestamps (<t:…>), block quotes, @everyone
    [ :  /            masked links, bare addresses and invitations, :emoji: names
    # - and 1.        headings, small print (-#) and lists, where a word begins with them
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import discord

from bot.core import messages
from bot.core.reply import Action, Kind, Reply, with_echoes
from bot.platforms.text import EMPTY, first_piece, utf16_length

MAX_MESSAGE: Final = 2000
"""Characters in a message (https://discord.com/developers/docs/resources/message#create-message), counted here in
UTF-16 units, which are never fewer."""
PREFIX: Final = "lstmega:"
"""What the custom IDs of this bot's buttons begin with. At most 100 characters in all, of which an action's data takes
up to 60 (https://discord.com/developers/docs/components/reference#anatomy-of-a-component)."""
MAX_DESCRIPTION: Final = 1024
"""Characters of a picture's alternative text
(https://discord.com/developers/docs/resources/message#attachment-object)."""
MAX_LABEL: Final = 80
"""Characters on a button (https://discord.com/developers/docs/components/reference#button)."""
_TEXT_FILE: Final = "text.txt"
Extras = Callable[[], dict[str, Any]]
"""Makes the buttons and files of a message, again for each attempt to send it: a file is read only once."""
_SMALL: Final = "-# "
"""Small print, where a line begins with it."""
_ALWAYS: Final = re.compile(r"[\\*_~`|<>@\[:/]")
_NUMBERED: Final = re.compile(r"\d+\.")


def messages_of(reply: Reply, *, with_notice: bool, most: int = sys.maxsize) -> list[tuple[str, Extras]]:
    """Returns the messages in order, with what comes with each; where more than `most`, the text is a file instead."""
    texts = contents(reply, with_notice=with_notice)
    as_file = len(texts) > most
    if as_file:
        texts[most - 1 :] = [messages.WHOLE_TEXT_IN_FILE]
    return [(text, dict) for text in texts[:-1]] + [(texts[-1], partial(extras_of, reply, as_file=as_file))]


def extras_of(reply: Reply, *, as_file: bool = False) -> dict[str, Any]:
    """Returns what comes with the last message: buttons, a picture, or the text itself as a file."""
    extras: dict[str, Any] = {}
    if as_file:
        extras["file"] = discord.File(io.BytesIO(reply.text.encode()), filename=_TEXT_FILE)
    if reply.actions:
        extras["view"] = _buttons(reply.actions)
    if (picture := reply.picture) is not None:
        extras["file"] = discord.File(
            io.BytesIO(picture.content), picture.name, description=picture.description[:MAX_DESCRIPTION]
        )
    return extras


def _buttons(actions: tuple[Action, ...]) -> discord.ui.View:
    """Returns the buttons of a reply. Their custom IDs say everything, so nothing is kept for them."""
    view = discord.ui.View(timeout=None)
    for action in actions:
        view.add_item(discord.ui.Button(label=action.label[:MAX_LABEL], custom_id=PREFIX + action.data))
    view.stop()  # a view that listens would be kept, one for each text, until the process ends
    return view


def contents(reply: Reply, *, with_notice: bool) -> list[str]:
    """Returns the messages in order: at least one, each of at most `MAX_MESSAGE` characters.

    A new message begins between two texts where possible. `with_notice`: the notice follows in small print.
    """
    found: list[str] = []
    if reply.kind is Kind.TEXT:
        for passage in reply.passages:
            label = f"{_SMALL}{escaped(passage.label)}\n" if passage.label else ""
            _append(found, "\n\n", _pieces(passage.text, bold=len(passage.prompt), label=label))
    else:
        _append(found, "", _pieces(with_echoes(reply.text)))
    if with_notice and reply.notice:
        _append(found, "\n", _pieces(reply.notice, label=_SMALL))
    return found or [EMPTY]


def escaped(text: str) -> str:
    """Returns `text` such that Discord shows it as it is, wherever a line may begin or end in it."""
    return re.sub(r"\S+", lambda word: _escaped_word(word[0]), text)


def _escaped_word(word: str) -> str:
    escaped_everywhere = _ALWAYS.sub(r"\\\g<0>", word)
    if word[0] in "#-":
        return f"\\{escaped_everywhere}"
    if _NUMBERED.fullmatch(word):
        return f"{word[:-1]}\\."
    return escaped_everywhere


def _pieces(text: str, *, bold: int = 0, label: str = "") -> Iterator[str]:
    """Yields a text in pieces that fit into a message. `bold`: how many of its first characters are bold."""
    rest = text.strip()
    bold -= text.find(rest)
    while rest:
        render = partial(_marked, bold=bold, label=label)
        piece = first_piece(rest, MAX_MESSAGE, render)
        yield render(piece)
        following = rest[len(piece) :].lstrip()
        bold -= len(rest) - len(following)
        rest, label = following, ""


def _marked(piece: str, bold: int, label: str) -> str:
    """Returns `label` and the escaped piece, whose first `bold` characters are bold. The marks stand close to words."""
    prompt = piece[: max(bold, 0)].rstrip()
    mark = "**" if prompt else ""
    return f"{label}{mark}{escaped(prompt)}{mark}{escaped(piece[len(prompt) :])}"


def _append(found: list[str], gap: str, pieces: Iterator[str]) -> None:
    """Adds a text to the last message if the text, or its first piece, fits there; else to new messages."""
    for number, piece in enumerate(pieces):
        joined = found[-1] + gap + piece if found and not number else ""
        if joined and utf16_length(joined) <= MAX_MESSAGE:
            found[-1] = joined
        else:
            found.append(piece)
