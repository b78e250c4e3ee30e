"""What no network should learn of a file: control characters, escape sequences, decomposed accents, odd line breaks."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

_BREAKS: Final = {"\u2028": "U+2028", "\u2029": "U+2029", "\x85": "U+0085", "\f": "form feed", "\v": "vertical tab"}
_ESCAPE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]", re.DOTALL
)
"""ECMA-48: control sequences, control strings, other escape sequences."""
_OVERSTRUCK: Final = re.compile(r"[^\n\b]\x08")
_REDRAWN: Final = re.compile(r"[^\n\r]*\r(?=[^\n])")
_BROKEN_WORD: Final = re.compile("\xad\n(\\S*) ?")
_STRAY: Final = re.compile(
    "[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
"""Control characters, invisible ones, and marks of direction. Those that join emoji and letters stay."""


def clean(text: str, found: Counter[str]) -> str:
    """Returns the text in NFC, with `\\n` as its only line break, and counts in `found` what was changed."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    there = set(text)  # most texts hold none of these, and a library is long
    if not there.isdisjoint("\x1b\x9b"):
        text = _dropped(_ESCAPE, text, found, "escape sequences")
        text = _dropped(_REDRAWN, text, found, "redrawn lines")  # the last state of the line stays
    while "\b" in there and (shorter := _dropped(_OVERSTRUCK, text, found, "overstruck characters")) != text:
        text = shorter
    for character in filter(there.__contains__, _BREAKS):
        found[f"{_BREAKS[character]} → line break"] += text.count(character)
        text = text.replace(character, "\n")
    text = text.replace("\r", "\n")
    if "\xad" in there:
        found["soft hyphens dropped"] += text.count("\xad")
        text = _BROKEN_WORD.sub(r"\1\n", text)
    for character in sorted(filter(_STRAY.match, there)):
        if character not in "\b\x1b\xad":
            found[f"U+{ord(character):04X} dropped"] += text.count(character)
        text = text.replace(character, "")
    if not unicodedata.is_normalized("NFC", text):
        composed = unicodedata.normalize("NFC", text)
        changed = len(text) - len(composed) or sum(a != b for a, b in zip(text, composed, strict=True))
        found["characters composed (NFC)"] += changed
        text = composed
    return text


def _dropped(pattern: re.Pattern[str], text: str, found: Counter[str], name: str) -> str:
    text, count = pattern.subn("", text)
    found[f"{name} dropped"] += count
    return text
