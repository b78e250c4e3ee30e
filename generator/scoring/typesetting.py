"""Lines of text in proportional type: widths, line breaks, and fonts for characters that the first font lacks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
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
_WORD: Final = re.compile(r"\s|\S+?(?=\s|\Z|(?<=[-–—])[^\W_])")
"""What a line does not break: a single white space; a word, up to a dash in it."""


@dataclass(frozen=True, slots=True)
class PlacedCell:
    """A cell in a line, and the pixels from and to which it reaches."""

    cell: Cell
    left: float
    right: float


@dataclass(slots=True)
class Line:
    """The cells of a line. `gap`: pixels between it and the line above."""

    cells: list[PlacedCell] = field(default_factory=list)
    gap: int = 0

    @property
    def end(self) -> float:
        """Where the next cell begins."""
        return self.cells[-1].right if self.cells else 0.0


class Typeface:
    """A size of the fonts, in pixels."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.font = _load(str(FONT), size)
        self._shapes: dict[str, tuple[str, ImageFont.FreeTypeFont]] = {}
        self.missing = False
        """Whether `MISSING` stands for a character."""

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
        for candidate in (character, unicodedata.normalize("NFD", character)[0]):
            if _has(self.font, candidate):
                return candidate, self.font
        for name in FALLBACKS:
            font = _system_font(name, self._size)
            if font is not None and _has(font, character):
                return character, font
        self.missing = True
        return MISSING, self.font

    def lines(self, cells: Sequence[Cell], width: float, hanging: float) -> list[Line]:
        """Breaks cells into lines of `width` pixels, between words; white space may reach `hanging` pixels further.

        A word that is wider than a line is broken. Empty lines become a gap.
        """
        lines = [Line()]
        for word in _WORD.finditer("".join(cell.character for cell in cells)):
            widths = [self._width(character) for character in word[0]]
            if lines[-1].cells and lines[-1].end + sum(widths) > width and not word[0].isspace():
                lines.append(Line())
            for cell, advance in zip(cells[word.start() : word.end()], widths, strict=True):
                left = lines[-1].end
                if left + advance > width + (hanging if cell.character.isspace() else 0):
                    lines.append(Line())
                    left = 0.0
                lines[-1].cells.append(PlacedCell(cell, left, left + advance))
                if cell.character == "\n":
                    lines.append(Line())
        return list(_without_empty(lines))

    def _width(self, character: str) -> float:
        shape, font = self.shape(character)
        return max(_NARROWEST, font.getlength(shape))


def _load(name: str, size: int) -> ImageFont.FreeTypeFont:
    # Character by character, so nothing has to be shaped.
    return ImageFont.truetype(name, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache
def _system_font(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return _load(name, size)
    except OSError:  # the system has no such font
        return None


@lru_cache(maxsize=4096)
def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    """Whether the font has a shape for the character, and not the box that stands for a missing one."""
    try:
        return character.isprintable() and bytes(font.getmask(character)) != bytes(font.getmask("\U0010ffff"))
    except (UnicodeError, ValueError, OSError):  # half of a surrogate pair
        return False


def _without_empty(lines: Iterable[Line]) -> Iterator[Line]:
    gap = 0
    for line in lines:
        if any(not placed.cell.character.isspace() for placed in line.cells):
            yield Line(line.cells, gap)
            gap = 0
        else:
            gap = _PARAGRAPH
