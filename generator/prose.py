"""Where a sentence ends, and how generated text is shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterator
from typing import Final, NamedTuple

PARAGRAPH_BREAK: Final = 2
"""Characters of white space in the longest run that a text may hold: an empty line."""
MAX_INDENT: Final = 40
"""The same where the lines of the corpus are kept: an indented line, after empty ones."""
_SENTENCE_TERMINALS: Final = """
21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D5
1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F 1C3B-1C3C 1C7E-1C7F 2024 203C-203D
2047-2049 2CF9-2CFB 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9
AA5D-AA5F AAF0-AAF1 ABEB FE12 FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89
11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 113D4-113D5
1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42
11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16D6E-16D6F 16E98 1BC9F 1DA88
"""
"""Code points with Unicode's property Sentence_Terminal (PropList.txt, Unicode 17), hexadecimal."""
_RANGES: Final = (part.partition("-") for part in _SENTENCE_TERMINALS.split())
TERMINALS: Final = "".join(chr(code) for a, _, b in _RANGES for code in range(int(a, 16), int(b or a, 16) + 1))
CLOSING: Final = "\"'”’)]_«»“‘›‹」』）》〉】〕］｝｣"
_AFTER_END: Final = TERMINALS + "…" + CLOSING
OTHER_TERMINALS: Final = "".join(c for c in TERMINALS if c not in ".!?")
_CLOSED: Final = rf"(?:[{re.escape(CLOSING)}]|[ \u00a0\u202f]»)*$"
_SENTENCE_END: Final = re.compile(
    rf"(?:^|[^\w.])(?P<word>[^\W\d_](?:[^\W\d_]|['’-])*[^\W\d_])(?:[.!?…]|[ \u00a0\u202f][!?])[.!?…]*{_CLOSED}"
)
"""A word of at least two letters, its full stop, closing marks: not an initial, not the number of a section. French has
a space before some of these marks."""
_OTHER_END: Final = re.compile(
    rf"(?:[\w{re.escape(CLOSING)}] ?[{OTHER_TERMINALS}]|[\u0370-\u03ff\u1f00-\u1fff];)[.!?…{OTHER_TERMINALS}]*{_CLOSED}"
)
"""The mark of another script, which ends no abbreviation. After a Greek letter `;` ends a question."""
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
    tail = _tail(text)
    match = _SENTENCE_END.search(tail)
    return match["word"].lower() not in _ABBREVIATIONS if match else _OTHER_END.search(tail) is not None


def ends_unspaced(text: str, following: str) -> bool:
    """Returns whether `text` ends before `following` with a sentence that no white space has to follow, as after 。"""
    return following not in _AFTER_END and _OTHER_END.search(_tail(text)) is not None


def _tail(text: str) -> str:
    tail = text[-LOOK_BACK:]
    # A vowel sign or an accent is a letter of its word.
    return tail if tail.isascii() else "".join("x" if is_mark(c) else c for c in tail)


def is_mark(character: str) -> bool:
    """Returns whether the character is a vowel sign or an accent: it belongs to the letter before it."""
    return not character.isascii() and unicodedata.category(character)[0] == "M"


def printable(text: str, *, dropped: Container[str] = ("Cc", "Cf", "Cs"), kept: str = "\n") -> str:
    """Returns `text` without what a terminal would obey or turn round: characters of these Unicode categories."""
    return "".join(c for c in text if c in kept or unicodedata.category(c) not in dropped)


def wrapped(text: str, width: int) -> str:
    """Turns spaces into line ends so that no line is longer than `width`, unless a word is. Moves no character."""
    return re.sub(rf"(?=.{{{width + 1}}})(.{{1,{width}}}) ", r"\1\n", text)


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
    for match in _RUN.finditer(text.rstrip(), len(text) - len(text.lstrip())):
        shown, (start, end) = match[0], match.span()
        if shown.isspace():
            shown = _white_space(shown, hard_wrapped=hard_wrapped, broken_word=text[start - 1] == "-")
        yield Run(shown, start, end)


def _white_space(run: str, *, hard_wrapped: bool, broken_word: bool) -> str:
    if not hard_wrapped:
        return "\n" * run.count("\n") + run.rpartition("\n")[2]
    if _EMPTY_LINE.search(run):
        return "\n\n"
    return "" if broken_word and _LINE_END.fullmatch(run) else " "
