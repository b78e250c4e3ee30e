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
    is_terminal = "\x1b" in text
    text = _counted(_ESCAPE, "", text, found, "escape sequences dropped")
    if is_terminal:  # of a line that was drawn over, the last state stays
        text = _counted(_REDRAWN, "", text, found, "redrawn lines dropped")
    while "\b" in text and (shorter := _counted(_OVERSTRUCK, "", text, found, "overstruck characters dropped")) != text:
        text = shorter
    for character, name in _BREAKS.items():
        found[f"{name} → line break"] += text.count(character)
        text = text.replace(character, "\n")
    text = text.replace("\r", "\n")
    found["soft hyphens dropped"] += text.count("\xad")
    text = _BROKEN_WORD.sub(r"\1\n", text).replace("\xad", "")
    for character in _STRAY.findall(text):
        found[f"U+{ord(character):04X} dropped"] += 1
    text = _STRAY.sub("", text)
    if not unicodedata.is_normalized("NFC", text):
        composed = unicodedata.normalize("NFC", text)
        changed = len(text) - len(composed) or sum(a != b for a, b in zip(text, composed, strict=True))
        found["characters composed (NFC)"] += changed
        text = composed
    return text


def _counted(pattern: re.Pattern[str], put: str, text: str, found: Counter[str], name: str) -> str:
    text, count = pattern.subn(put, text)
    found[name] += count
    return text
