"""Plain text as chat platforms measure it: lengths in UTF-16 units, and splitting into messages."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final

EMPTY: Final = "…"
"""What a message says instead of nothing, since no platform accepts an empty one."""
_WORDS: Final = re.compile(r"(?=\s)")
_BREAKS: Final = (
    re.compile(r"(?=\n\s*\n)"),  # paragraphs
    re.compile(r"[.!?…][\"'’”»)\]]*(?=\s)"),  # sentences
    re.compile(r"(?=\n)"),  # lines
)
"""Where a text is split, the best place first. A match ends where the piece ends."""


def utf16_length(text: str) -> int:
    """Returns the length in UTF-16 units: what Telegram counts, and never less than what Discord counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split(text: str, limit: int, first: Callable[[str], str] = str, further: Callable[[str], str] = str) -> list[str]:
    """Splits `text` into stripped pieces of at most `limit` UTF-16 units; at least one, none empty.

    `first` and `further` render them, as `render` of `first_piece` does.
    """
    pieces: list[str] = []
    rest, render = text.strip(), first
    while rest:
        piece = first_piece(rest, limit, render)
        pieces.append(render(piece))
        rest, render = rest[len(piece) :].lstrip(), further
    return pieces or [EMPTY]


def packed(blocks: Iterable[tuple[str, Sequence[str]]], limit: int) -> list[str]:
    """Joins blocks, each of pieces and with the gap before it, to messages of at most `limit` UTF-16 units.

    A new message begins between two blocks where possible.
    """
    found: list[str] = []
    for gap, (first, *others) in blocks:
        joined = found[-1] + gap + first if found else ""
        if joined and utf16_length(joined) <= limit:
            found[-1:] = [joined, *others]
        else:
            found += [first, *others]
    return found


def shorten(text: str, limit: int) -> str:
    """Returns `text`, or its first words and an ellipsis if it is longer than `limit` UTF-16 units."""
    if utf16_length(text) <= limit:
        return text
    return f"{first_piece(text.strip(), limit - 1, breaks=()) or EMPTY}…"


def first_piece(
    text: str, limit: int, render: Callable[[str], str] = str, breaks: Sequence[re.Pattern[str]] = _BREAKS
) -> str:
    """Returns the beginning of a stripped `text` that, rendered, has at most `limit` UTF-16 units.

    It ends at the last paragraph in the second half of what fits, else at the last sentence or line there, else between
    two words. A word is cut only if it is longer than `limit`. `render` makes no text shorter.
    """

    def length(end: int) -> int:
        return utf16_length(render(text[:end]))

    if length(len(text)) <= limit:
        return text
    fits = max(bisect_right(range(min(len(text), limit) + 1), limit, key=length) - 1, 1)
    for pattern, earliest in [*((pattern, fits // 2) for pattern in breaks), (_WORDS, 1)]:
        ends = [match.end() for match in pattern.finditer(text, earliest, fits + 1)]
        if ends:
            return text[: ends[-1]].rstrip()
    return text[:fits].rstrip()
