"""Where a sentence ends, and how generated text is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

PARAGRAPH_BREAK: Final = 2
"""Characters of white space in the longest run that a text may hold: an empty line."""
_SENTENCE_END: Final = re.compile(r"(?:^|[^\w.])(?P<word>[^\W\d_](?:[^\W\d_]|['’-])*[^\W\d_])[.!?…]+[\"'”’)\]_]*$")
"""A word of at least two letters, its full stop, closing marks: not an initial, not the number of a section."""
_ABBREVIATIONS: Final = frozenset({"mr", "mrs", "ms", "dr", "st", "vol", "cf", "vs", "viz", "ch", "pp", "ed", "fig"})
LOOK_BACK: Final = 40
"""Characters before a white space that are searched: more than the longest English word and its marks."""
_RUN: Final = re.compile(r"\s+|\S+")
_EMPTY_LINE: Final = re.compile(r"\n[ \t]*\n")
_LINE_END: Final = re.compile(r"[ \t]*\n[ \t]*")


def ends_sentence(text: str) -> bool:
    """Returns whether `text`, which white space follows, ends with a sentence."""
    if text[-1:].isalnum():  # most words' ends, which the search takes long to refuse
        return False
    match = _SENTENCE_END.search(text[-LOOK_BACK:])
    return match is not None and match["word"].lower() not in _ABBREVIATIONS


def presentable(text: str, *, hard_wrapped: bool) -> str:
    """Returns `text` for readers: no blank edges, and one line per paragraph where the corpus was wrapped."""
    return "".join(run.shown for run in presented(text, hard_wrapped=hard_wrapped))


class Run(NamedTuple):
    """A word, or the white space between two: how it is shown, and which characters of the text it stands for."""

    shown: str
    start: int
    end: int


def presented(text: str, *, hard_wrapped: bool) -> Iterator[Run]:
    """Yields the parts of what `presentable` returns, with the place in the text that each comes from."""
    body = text.strip()
    offset = len(text) - len(text.lstrip())
    for match in _RUN.finditer(body):
        start, end = match.span()
        shown = match[0]
        if shown.isspace():
            shown = _white_space(shown, hard_wrapped=hard_wrapped, broken_word=body[start - 1] == "-")
        yield Run(shown, offset + start, offset + end)


def _white_space(run: str, *, hard_wrapped: bool, broken_word: bool) -> str:
    if not hard_wrapped:
        return "\n" * run.count("\n") + run.rpartition("\n")[2]
    if _EMPTY_LINE.search(run):
        return "\n\n"
    return "" if broken_word and _LINE_END.fullmatch(run) else " "
