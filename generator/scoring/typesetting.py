"""Lines of text in proportional type: widths, line breaks, and fonts for characters that the first font lacks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from PIL import ImageFont

from generator.scoring.palette import Cell

FONT: Final = Path(__file__).parent / "fonts" / "SourceSerifPro-Regular.otf"
"""Latin, Greek and Cyrillic. Pillow's own font has ASCII only, and not even the é of the shipped corpus."""
FALLBACKS: Final = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "unifont.otf")
"""Fonts of the system that are tried for characters which `FONT` lacks, by file name as Pillow searches for them."""
MISSING: Final = "·"
"""Stands for a character that no font has."""
_PARAGRAPH: Final = 26
_NARROWEST: Final = 6


@dataclass(frozen=True, slots=True)
class PlacedCell:
    """A cell in a line, and the pixels from and to which it reaches."""

    cell: Cell
    left: float
    right: float


@dataclass(slots=True)
class Line:
    """The cells of a line. `gap`: pixels between it and the line above."""

    cells: list[PlacedCell]
    gap: int = 0


class Typeface:
    """A size of the fonts, in pixels."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.font = _load(str(FONT), size)
        self._shapes: dict[str, tuple[str, ImageFont.FreeTypeFont]] = {}
        self.missing: set[str] = set()
        """Characters for which `MISSING` stands."""

    @cached_property
    def _fonts(self) -> list[ImageFont.FreeTypeFont]:
        found = [self.font]
        for name in FALLBACKS:
            try:
                found.append(_load(name, self._size))
            except OSError:  # the system has no such font
                continue
        return found

    def shape(self, character: str) -> tuple[str, ImageFont.FreeTypeFont]:
        """Returns what is drawn for a character, and in which font.

        That is the character itself, or it without its accents, or `MISSING`.
        """
        if character not in self._shapes:
            self._shapes[character] = self._find(character)
        return self._shapes[character]

    def _find(self, character: str) -> tuple[str, ImageFont.FreeTypeFont]:
        if character.isspace():
            return " ", self.font
        plain = unicodedata.normalize("NFD", character)[0]
        for candidate in (character, plain):
            if _has(self.font, candidate):
                return candidate, self.font
        for font in self._fonts[1:]:
            if _has(font, character):
                return character, font
        self.missing.add(character)
        return MISSING, self.font

    def lines(self, cells: Iterable[Cell], width: float, hanging: float) -> list[Line]:
        """Breaks cells into lines of `width` pixels, between words; white space may reach `hanging` pixels further.

        A word that is wider than a line is broken. Empty lines become a gap.
        """
        lines = [Line([])]
        left = 0.0

        def break_line() -> None:
            nonlocal left
            lines.append(Line([]))
            left = 0.0

        for word in _words(cells):
            widths = [self._width(cell.character) for cell in word]
            if left and left + sum(widths) > width and not word[0].character.isspace():
                break_line()
            for cell, advance in zip(word, widths, strict=True):
                if left + advance > width + (hanging if cell.character.isspace() else 0):
                    break_line()
                lines[-1].cells.append(PlacedCell(cell, left, left + advance))
                left += advance
                if cell.character == "\n":
                    break_line()
        return list(_without_empty(lines))

    def _width(self, character: str) -> float:
        shape, font = self.shape(character)
        return max(_NARROWEST, font.getlength(shape))


def _load(name: str, size: int) -> ImageFont.FreeTypeFont:
    # Character by character, so nothing has to be shaped.
    return ImageFont.truetype(name, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    """Whether the font has a shape for the character, and not the box that stands for a missing one."""
    try:
        return character.isprintable() and bytes(font.getmask(character)) != bytes(font.getmask("\U0010ffff"))
    except (UnicodeError, ValueError, OSError):  # half of a surrogate pair
        return False


def _words(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Yields what a line does not break: a word, up to a dash in it; a single white space."""
    word: list[Cell] = []
    for cell in cells:
        before = word[-1].character if word else ""
        if word and (cell.character.isspace() or before.isspace() or (before in "-–—" and cell.character.isalnum())):
            yield word
            word = []
        word.append(cell)
    if word:
        yield word


def _without_empty(lines: Iterable[Line]) -> Iterator[Line]:
    gap = 0
    for line in lines:
        if all(placed.cell.character.isspace() for placed in line.cells):
            gap = _PARAGRAPH
            continue
        line.gap, gap = gap, 0
        yield line
