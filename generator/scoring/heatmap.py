"""A picture of texts, shaded by surprisal. Needs Pillow, so it is imported only where a picture is drawn."""

from __future__ import annotations

import io
import itertools
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from generator.scoring.palette import DARKEST, INK, SHADES, Cell, Colour, cells, colour
from generator.types import Surprisal

WIDTH: Final = 1080
"""Pixels: a telephone held upright shows them at about a third, so that the type is one of 14 points."""
MAX_LINES: Final = 120
"""Lines of text; with them a picture is 7,400 pixels high. A longer text is cut, and the picture says so."""
PAPER: Final = colour(0)
"""A background of its own, so that the chat's, light or dark, does not matter."""
GIVEN: Final[Colour] = (112, 108, 102)
"""The prompt: it was not generated, so it is not shaded."""
_SIZE: Final = 38
_SMALL: Final = 35
_LINE: Final = 58
_ASCENT: Final = 42
"""From the top of a line to its baseline."""
_BACKGROUND: Final = 52
_GAP: Final = 26
_MARGIN: Final = 52
_BAR: Final = 30
SCALE_HEIGHT: Final = 2 * _LINE + _BAR + 2 * _SMALL + _MARGIN + 12
_CHANCES: Final = {0: "certain", 2: "1 in 4", 4: "1 in 16"}
"""By bits."""
_INKS: Final = 16
"""Degrees of ink. Times the shades, and once more for the prompt, they make the 256 colours of the palette."""
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


def draw(texts: Sequence[tuple[str, Surprisal]], *, hard_wrapped: bool) -> Image.Image:
    """Draws texts below their labels (which may be empty), and the scale at the foot; `WIDTH` wide, with a palette.

    Shaded by the mean surprisal of each word.
    """
    type_ = Typeface()
    blocks = [(label, text.mean, type_.lines(cells(text, hard_wrapped=hard_wrapped))) for label, text in texts]
    single_mean = blocks[0][1] if len(blocks) == 1 else math.nan  # it stands at the scale
    notes = _LINE + _GAP if type_.missing else 0
    picture = _Picture(_MARGIN + sum(_height(label, lines) for label, _, lines in blocks) + notes + SCALE_HEIGHT)
    top = _MARGIN
    for label, mean, lines in blocks:
        picture.block(top, label, mean if len(blocks) > 1 else math.nan, lines, type_)
        top += _height(label, lines)
    if notes:
        picture.write(_MARGIN, top, f"{MISSING} stands for what no font here has", pale=True)
    picture.scale(top + notes, single_mean)
    return picture.image()


def png(image: Image.Image) -> bytes:
    """Returns the bytes of the file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _height(label: str, lines: list[Line]) -> int:
    shown = lines[:MAX_LINES]
    return (len(shown) + bool(label) + (len(lines) > MAX_LINES)) * _LINE + sum(line.gap for line in shown) + _GAP


class _Picture:
    """What is drawn on: ink on backgrounds."""

    def __init__(self, height: int) -> None:
        self._image = Image.new("RGB", (WIDTH, height), PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._small = _load(str(FONT), _SMALL)

    def block(self, top: int, label: str, mean: float, lines: list[Line], type_: Typeface) -> None:
        if label:
            font = self._small
            while font.getlength(label) > WIDTH - 2 * _MARGIN and font.size > 1:
                font = font.font_variant(size=font.size - 1)
            self._draw.text((_MARGIN, top + _ASCENT), label, GIVEN, font, "ls")
            if not math.isnan(mean):
                self.write(WIDTH - _MARGIN, top, f"{mean:.2f} bits per character", "rs", pale=True)
            top += _LINE
        for line in lines[:MAX_LINES]:
            top += line.gap
            for cell, (left, right) in zip(line.cells, itertools.pairwise(line.edges), strict=True):
                self._shade(round(left), top, round(right), cell.shade)
            for cell, left in zip(line.cells, line.edges, strict=False):
                shape, font = type_.shape(cell.character)
                self._draw.text((left, top + _ASCENT), shape, GIVEN if cell.given else INK, font, "ls")
            top += _LINE
        if rest := sum(len(line.cells) for line in lines[MAX_LINES:]):
            self.write(_MARGIN, top, f"… and {rest:,} characters more", pale=True)

    def scale(self, top: int, mean: float) -> None:
        """Draws what the backgrounds mean: bits, and chances. Marks the mean, unless it is NaN."""
        left, right = _MARGIN, WIDTH - _MARGIN
        self._shade(left, top, right, 3, height=3)
        top += _GAP
        self.write(left, top, "surprisal, in bits per character of a word")
        if not math.isnan(mean):
            self.write(right, top, f"{mean:.2f} on average", "rs")
        top += _LINE + 12
        for shade in range(SHADES):
            edges = (max(0.0, shade - 0.5), min(SHADES - 1.0, shade + 0.5))
            start, end = (round(left + (right - left) * edge / (SHADES - 1)) for edge in edges)
            self._shade(start, top, end, shade, height=_BAR)
        self._draw.rectangle((left, top, right, top + _BAR), outline=GIVEN)
        if not math.isnan(mean):
            x = left + min(mean, DARKEST) / DARKEST * (right - left)
            self._draw.polygon(((x - 11, top - 15), (x + 11, top - 15), (x, top + 3)), INK)
        for bits in range(int(DARKEST) + 1):
            x = left + bits / DARKEST * (right - left)
            anchor = "ls" if bits == 0 else "rs" if bits == DARKEST else "ms"
            below = top + _BAR + _SMALL + 4 - _ASCENT
            self.write(x, below, f"{bits}+" if bits == DARKEST else str(bits), anchor)
            self.write(x, below + _SMALL + 10, _CHANCES.get(bits, ""), anchor, pale=True)

    def write(self, x: float, top: float, text: str, anchor: str = "ls", *, pale: bool = False) -> None:
        self._draw.text((x, top + _ASCENT), text, GIVEN if pale else INK, self._small, anchor)

    def _shade(self, left: float, top: float, right: float, shade: int, *, height: float = _BACKGROUND) -> None:
        if right > left:
            self._draw.rectangle((left, top, right - 1, top + height - 1), colour(shade))

    def image(self) -> Image.Image:
        """Returns the picture in few colours, which makes a file of a third of the size."""
        pairs = [*((colour(shade), INK) for shade in range(SHADES)), (PAPER, GIVEN)]
        colours = np.concatenate([np.linspace(background, ink, _INKS) for background, ink in pairs])
        palette = Image.new("P", (1, 1))
        palette.putpalette(colours.round().astype(np.uint8).tobytes())
        return self._image.quantize(palette=palette, dither=Image.Dither.NONE)


@dataclass(slots=True)
class Line:
    """The cells of a line, and the pixels from the left at which each of them begins and the last one ends.

    `gap`: pixels between it and the line above.
    """

    cells: list[Cell] = field(default_factory=list)
    edges: list[float] = field(default_factory=lambda: [float(_MARGIN)])
    gap: int = 0


class Typeface:
    """The fonts of the texts."""

    def __init__(self) -> None:
        self.font = _load(str(FONT), _SIZE)
        self.shape = cache(self._shape)
        """Returns what is drawn for a character: itself, or it without its accents, or `MISSING`; and in which font."""
        self.missing = False
        """Whether `MISSING` stands for a character."""

    def _shape(self, character: str) -> tuple[str, ImageFont.FreeTypeFont]:
        if character.isspace():
            return " ", self.font
        for candidate in (character, unicodedata.normalize("NFD", character)[0]):
            if _has(self.font, candidate):
                return candidate, self.font
        for name in FALLBACKS:
            font = _system_font(name)
            if font is not None and _has(font, character):
                return character, font
        self.missing = True
        return MISSING, self.font

    def lines(self, cells: Sequence[Cell]) -> list[Line]:
        """Breaks cells into lines between the margins, between words; white space may reach into the right margin.

        A word that is wider than a line is broken. Empty lines become a gap.
        """
        end = WIDTH - _MARGIN
        lines = [Line()]
        for word in _WORD.finditer("".join(cell.character for cell in cells)):
            shapes = map(self.shape, word[0])
            widths = [max(_NARROWEST, font.getlength(shape)) for shape, font in shapes]
            if lines[-1].cells and lines[-1].edges[-1] + sum(widths) > end and not word[0].isspace():
                lines.append(Line())
            for cell, advance in zip(cells[word.start() : word.end()], widths, strict=True):
                if lines[-1].edges[-1] + advance > (WIDTH if cell.character.isspace() else end):
                    lines.append(Line())
                lines[-1].cells.append(cell)
                lines[-1].edges.append(lines[-1].edges[-1] + advance)
                if cell.character == "\n":
                    lines.append(Line())
        shown: list[Line] = []
        gap = 0
        for line in lines:
            line.gap, gap = gap, 0
            if all(cell.character.isspace() for cell in line.cells):
                gap = _PARAGRAPH
            else:
                shown.append(line)
        return shown


def _load(name: str, size: int) -> ImageFont.FreeTypeFont:
    # Character by character, so nothing has to be shaped.
    return ImageFont.truetype(name, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache
def _system_font(name: str) -> ImageFont.FreeTypeFont | None:
    try:
        return _load(name, _SIZE)
    except OSError:  # the system has no such font
        return None


@lru_cache(maxsize=4096)
def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    """Whether the font has a shape for the character, and not the box that stands for a missing one."""
    try:
        return character.isprintable() and bytes(font.getmask(character)) != bytes(font.getmask("\U0010ffff"))
    except (UnicodeError, ValueError, OSError):  # half of a surrogate pair
        return False
