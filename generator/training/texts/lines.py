"""Whether a text is hard-wrapped prose, whose line ends mean spaces, or keeps its lines: verse, chats, tables, code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from generator.prose import CLOSING, OTHER_TERMINALS, is_mark

LinesOption = Literal["auto", "wrapped", "kept"]
_WIDEST: Final = 160
"""Characters of the longest line that prose is wrapped at."""
_ENOUGH: Final = 1_000_000
"""Characters that decide; a library has many more."""
_SHORT: Final = 200
_FEW_SENTENCES: Final = 1.5
"""Kept lines with fewer characters and sentences are verses, messages, rows or code; others are paragraphs."""
_LIST: Final = re.compile(r"\s*(?:#{1,6} |[-*+•] |\d+[.)] |[|>]|```)")
_OPENING: Final = "\"“‘'«„‚(—–-_¿¡[*"
_ENDED: Final = tuple('.!?…"”»。！？।۔؟')
_SCRIPTS_WITHOUT_SPACES: Final = "[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
_WRAPPED_WORD: Final = re.compile(rf"(?<={_SCRIPTS_WITHOUT_SPACES})\n(?={_SCRIPTS_WITHOUT_SPACES})(?!\u3000)")
_INDENT: Final = re.compile(r"\n(?<=\S\n)[ \t\u3000]+(?=\S)")
_SENTENCE: Final = re.compile(rf"[.!?…][{re.escape(CLOSING)}]*(?=\s|$)|[{OTHER_TERMINALS}]")
_MOST_LISTED: Final = 0.1
_MOST_ROOM: Final = 0.8
_MOST_SIGNS: Final = 1.6
"""Of wrapped English, `room` is 0 to 0.2, in one book 0.62; with twice `anew` and twice `marked` it is 0.2 to 1.5. Of
verse it is 2 to 5, of tables 4."""


@dataclass(frozen=True)
class Lines:
    """What was decided, from what, and whether texts end where lines do."""

    wrapped: bool
    reason: str
    short: bool

    def __str__(self) -> str:
        return f"{'wrapped prose' if self.wrapped else 'kept'} ({self.reason})"


def look_at(text: str) -> Lines:
    """Decides from how lines end and begin: where one is full, in mid-sentence, the text is wrapped."""
    text = text[:_ENOUGH]
    lines = [line.rstrip() for line in text.split("\n")]
    lengths = sorted(len(line) for line in lines if line)
    width = lengths[min(len(lengths) - 1, int(len(lengths) * 0.95))]  # a few odd lines decide nothing
    few = len(_SENTENCE.findall(text)) <= _FEW_SENTENCES * len(lengths)
    short = few and len(lengths) > 1 and lengths[len(lengths) // 2] <= _SHORT
    pairs = [(line, following) for line, following in pairwise(lines) if line and following]
    ends = [(line, following) for line, following in pairs if not following[0].isspace()]
    indented = len(pairs) - len(ends)
    if width > _WIDEST or not ends:
        return Lines(wrapped=False, reason=f"lines of up to {lengths[-1]:,} characters are paragraphs", short=short)
    has_case = any(map(str.islower, text))
    signs = []
    for line, following in ends:
        first, last = following[0], line[-1]
        word = 1 if re.match(_SCRIPTS_WITHOUT_SPACES, first) else len(following.split(None, 1)[0]) + 1
        capital = has_case and first.isupper() and not line.endswith(_ENDED)
        is_new = capital or not (first.isalpha() or first in _OPENING or is_mark(first))
        signs.append((len(line) + word <= width, is_new, not (last.isalnum() or is_mark(last))))
    room, anew, marked = (sum(sign) / len(ends) for sign in zip(*signs, strict=True))
    listed = sum(_LIST.match(line) is not None for line in lines) / len(lengths)
    reason = (
        f"lines of about {width} characters; the next word would have fitted after {room:.0%} of them, "
        f"{marked:.0%} end in a mark, {anew:.0%} start a new line in mid-sentence"
    )
    if listed > _MOST_LISTED:
        reason += f", {listed:.0%} begin as those of lists and tables"
    if indented > len(ends):
        reason += f", {indented:,} are indented"
    wrapped = room <= _MOST_ROOM and room + 2 * anew + 2 * marked <= _MOST_SIGNS
    wrapped = wrapped and indented <= len(ends) and listed <= _MOST_LISTED
    if wrapped and lengths[-1] > 2 * width:
        reason += f"; one of {lengths[-1]:,} characters decides nothing"
    return Lines(wrapped, reason, short and not wrapped)


def sentence_length(text: str) -> float:
    """Returns how many characters a sentence has on average."""
    return len(text) / max(1, len(_SENTENCE.findall(text)))


def join_wrapped(text: str) -> str:
    """Returns wrapped text with an empty line between paragraphs where only an indent begins one, and without the line
    ends inside words of Chinese or Japanese."""
    if len(_INDENT.findall(text)) > text.count("\n\n"):
        text = _INDENT.sub("\n\n", text).lstrip()
    return text if text.isascii() else _WRAPPED_WORD.sub("", text)
