"""A `Reply` as the contents of Discord messages: nothing in it is markup, and no word is cut. Pure functions.

Discord reads a kind of Markdown in every message, and a backslash before any ASCII punctuation shows that character
as it is (https://support.discord.com/hc/en-us/articles/210298617). What is escaped here, and against what:

    \\ * _ ~ ` |       emphasis, underline, strike-through, code, spoilers, the backslash itself
    < > @             mentions, custom emoji, timestamps (<t:…>), block quotes, @everyone
    [ :  /            masked links, bare addresses and invitations, :emoji: names
    # - and 1.        headings, small print (-#) and lists, where a word begins with them
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from bot.core.reply import Kind, Reply

MAX_MESSAGE: Final = 2000
"""Characters in a message (https://discord.com/developers/docs/resources/message#create-message).

Counted as UTF-16 units here: never fewer than code points, so that whichever Discord counts, it fits.
"""
PLACEHOLDER: Final = "…"
"""Where there is nothing to say, since a message cannot be empty."""
_LONGEST_WORD: Final = 900
"""Characters: a longer one is cut after all, since escaped twice as long it must fit into a message."""
_BOLD: Final = "**"
_SMALL: Final = "-# "
"""Small print, where a line begins with it."""
_ALWAYS: Final = re.compile(r"[\\*_~`|<>@\[:/]")
_NUMBERED: Final = re.compile(r"\d+\.")
_WORD: Final = re.compile(r"(\s*)(\S+)")


class _Part(NamedTuple):
    """A stretch of a word, escaped."""

    text: str
    bold: bool = False


class _Word(NamedTuple):
    """What is never parted, and the white space before it, which is dropped where a message begins."""

    space: str
    parts: tuple[_Part, ...]


def contents(reply: Reply, *, with_notice: bool) -> list[str]:
    """The messages, in order, at least one, each of at most `MAX_MESSAGE` characters.

    `with_notice`: the notice stands below the text in small print; otherwise it is left out.
    """
    words: list[_Word] = []
    if reply.kind is Kind.TEXT:
        for passage in reply.passages:
            gap = "\n\n" if words else ""
            label = f"{_SMALL}{escaped(passage.label)}\n" if passage.label else ""
            words += _words(passage.text, bold=len(passage.prompt), gap=gap, label=label)
    else:
        words += _words(reply.text)
    if with_notice and reply.notice:
        words += _words(reply.notice, gap="\n", label=_SMALL)
    return list(_packed(words)) or [PLACEHOLDER]


def escaped(text: str) -> str:
    """`text` such that Discord shows it as it is, wherever a line may begin or end in it."""
    return re.sub(r"\S+", lambda word: _escaped_word(word[0]), text)


def units(text: str) -> int:
    """The length in UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def _escaped_word(word: str) -> str:
    escaped_everywhere = _ALWAYS.sub(r"\\\g<0>", word)
    if word[0] in "#-":
        return f"\\{escaped_everywhere}"
    if _NUMBERED.fullmatch(word):
        return f"{word[:-1]}\\."
    return escaped_everywhere


def _words(text: str, *, bold: int = 0, gap: str = "", label: str = "") -> Iterator[_Word]:
    """The words of a text, the first `bold` characters in bold; `gap` stands before it, then `label` sticks to it."""
    for match in _WORD.finditer(text):
        start, end = match.span(2)
        for cut in range(start, end, _LONGEST_WORD):
            stop = min(cut + _LONGEST_WORD, end)
            border = min(max(cut, bold), stop)
            parts = [_Part(_escaped_word(text[cut:border]), bold=True)] if border > cut else []
            if stop > border:
                parts.append(_Part(_escaped_word(text[border:stop])))
            space = match[1] if cut == start else ""
            if label or gap:
                space = gap
            yield _Word(space, (_Part(label), *parts) if label else tuple(parts))
            gap = label = ""


def _packed(words: Iterable[_Word]) -> Iterator[str]:
    """Fills one message after the other."""
    message, bold, length = "", False, 0
    for word in words:
        text, bold_after = _joined(word, bold=bold)
        if message and length + units(text) + len(_BOLD) * bold_after > MAX_MESSAGE:
            yield message + _BOLD * bold
            message, bold, length = "", False, 0
        if not message:
            text, bold_after = _joined(word._replace(space=""), bold=False)
        message, bold, length = message + text, bold_after, length + units(text)
    if message:
        yield message + _BOLD * bold


def _joined(word: _Word, *, bold: bool) -> tuple[str, bool]:
    """What a word adds to a message in which bold is on or off, and which of the two it is afterwards.

    The marks stand close to the words: bold ends before white space and begins after it.
    """
    text, space = "", word.space
    for part in word.parts:
        if bold and not part.bold:
            text += _BOLD + space
        elif part.bold and not bold:
            text += space + _BOLD
        else:
            text += space
        text += part.text
        bold, space = part.bold, ""
    return text, bold
