"""A `Reply` as the contents of Discord messages, in which nothing is read as markup. Pure functions.

Discord reads a kind of Markdown in every message, and a backslash before any ASCII punctuation shows that character
as it is (https://support.discord.com/hc/en-us/articles/210298617). What is escaped here, and against what:

    \\ * _ ~ ` |       emphasis, underline, strike-through, code, spoilers, the backslash itself
    < > @             mentions, custom emoji, timestamps (<t:…>), block quotes, @everyone
    [ :  /            masked links, bare addresses and invitations, :emoji: names
    # - and 1.        headings, small print (-#) and lists, where a word begins with them
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from bot.core.reply import Kind, Reply
from bot.platforms.text import EMPTY, first_piece, utf16_length

MAX_MESSAGE: Final = 2000
"""Characters in a message (https://discord.com/developers/docs/resources/message#create-message), counted here in
UTF-16 units, which are never fewer."""
_SMALL: Final = "-# "
"""Small print, where a line begins with it."""
_ALWAYS: Final = re.compile(r"[\\*_~`|<>@\[:/]")
_NUMBERED: Final = re.compile(r"\d+\.")


def contents(reply: Reply, *, with_notice: bool) -> list[str]:
    """Returns the messages in order: at least one, each of at most `MAX_MESSAGE` characters.

    A new message begins between two texts where possible. `with_notice`: the notice follows in small print.
    """
    messages: list[str] = []
    if reply.kind is Kind.TEXT:
        for passage in reply.passages:
            label = f"{_SMALL}{escaped(passage.label)}\n" if passage.label else ""
            _append(messages, "\n\n", _pieces(passage.text, bold=len(passage.prompt), label=label))
    else:
        _append(messages, "", _pieces(reply.text))
    if with_notice and reply.notice:
        _append(messages, "\n", _pieces(reply.notice, label=_SMALL))
    return messages or [EMPTY]


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


def _append(messages: list[str], gap: str, pieces: Iterator[str]) -> None:
    """Adds a text to the last message if the text, or its first piece, fits there; else to new messages."""
    for number, piece in enumerate(pieces):
        joined = messages[-1] + gap + piece if messages and not number else ""
        if joined and utf16_length(joined) <= MAX_MESSAGE:
            messages[-1] = joined
        else:
            messages.append(piece)
