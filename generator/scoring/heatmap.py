"""Texts as a picture, each character on a ground that is the darker the less the network expected it.

Needs Pillow, which nothing else of the generator does; so only who wants a picture imports this module.
"""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFont

from generator.scoring.palette import DARKEST, INK, SHADES, Cell, Colour, cells, colour
from generator.types import Surprisal

WIDTH: Final = 1080
"""Pixels: a telephone held upright shows them at about a third, so that the type is one of 14 points."""
MOST_LINES: Final = 120
"""Lines of text; with them a picture is 7,400 pixels high. A longer text is cut, and the picture says so."""
PAPER: Final = colour(0)
"""A ground of its own, so that the chat's, light or dark, does not matter."""
GIVEN: Final[Colour] = (112, 108, 102)
"""The prompt: it was not written, so it has no ground."""
FONT: Final = Path(__file__).parent / "fonts" / "SourceSerifPro-Regular.otf"
"""Latin, Greek and Cyrillic. What Pillow brings has ASCII alone, and not even the é of the shipped corpus."""
_SIZE: Final = 38
_SMALL: Final = 35
_LINE: Final = 58
_ASCENT: Final = 42
"""From the top of a line to the foot of its letters; the ground is higher than the line is far from the next."""
_GROUND: Final = 52
_PARAGRAPH: Final = 26
_MARGIN: Final = 52
_BAR: Final = 30
_NARROWEST: Final = 6
_ODDS: Final = {0: "certain", 2: "1 in 4", 4: "1 in 16", 6: "1 in 64"}
"""Bits -> the chance that stands for."""
_INKS: Final = 16
"""Degrees of ink. Times the shades, and once more for the prompt, they make the 256 colours of a palette."""
_PALE: Final = SHADES
"""In the place of a ground: paper, with the prompt's ink on it."""


def draw(texts: Sequence[tuple[str, Surprisal]], *, hard_wrapped: bool) -> Image.Image:
    """The picture, `WIDTH` wide, with a palette: each text below its label (maybe none), and the scale at the foot."""
    type_, small = _Type(_SIZE), _Type(_SMALL)
    blocks = [
        _Block(label, surprise, type_.lines(cells(surprise, hard_wrapped=hard_wrapped))) for label, surprise in texts
    ]
    height = _MARGIN + sum(block.height for block in blocks) + _Scale.height
    canvas = _Canvas(height)
    top = _MARGIN
    for block in blocks:
        block.draw(canvas, top, type_, small)
        top += block.height
    _Scale(texts).draw(canvas, top, small)
    return canvas.image()


def png(image: Image.Image) -> bytes:
    """The bytes of the file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class _Canvas:
    """Grounds and ink, each a plane of bytes: a quarter of the memory of colours, and a third of the file."""

    def __init__(self, height: int) -> None:
        self._ground = Image.new("L", (WIDTH, height), 0)
        self._ink = Image.new("L", (WIDTH, height), 0)
        self._ground_drawing = ImageDraw.Draw(self._ground)
        self.ink = ImageDraw.Draw(self._ink)
        """What is drawn here with a fill of 255 is ink."""

    def ground(self, box: tuple[float, float, float, float], shade: int) -> None:
        """Lays a ground: left, top, right, bottom, the last two not included."""
        left, top, right, bottom = box
        if right > left:
            self._ground_drawing.rectangle((left, top, right - 1, bottom - 1), fill=shade * _INKS)

    def write(
        self, at: tuple[float, float], text: str, type_: _Type, anchor: str = "ls", *, pale: bool = False
    ) -> None:
        """A line of text; `at`: its foot, at the left or where `anchor` says (as Pillow's anchors)."""
        if pale:
            left, top, right, bottom = self.ink.textbbox(at, text, font=type_.font, anchor=anchor)
            self.ground((left - 2, top - 2, right + 2, bottom + 2), _PALE)
        self.ink.text(at, text, fill=255, font=type_.font, anchor=anchor)

    def image(self) -> Image.Image:
        """Both planes together."""
        degrees = self._ink.point([value * _INKS // 256 for value in range(256)])
        image = ImageChops.add(self._ground, degrees)
        image = Image.frombytes("P", image.size, image.tobytes())
        grounds = [(colour(shade), INK) for shade in range(SHADES)] + [(PAPER, GIVEN)]
        palette: list[int] = []
        for ground, ink in grounds:
            for degree in range(_INKS):
                share = degree / (_INKS - 1)
                palette += (round(a + (b - a) * share) for a, b in zip(ground, ink, strict=True))
        image.putpalette(palette)
        return image


@dataclass(frozen=True, slots=True)
class _Placed:
    """A cell in a line: from where to where it reaches."""

    cell: Cell
    left: float
    right: float


@dataclass(slots=True)
class _Line:
    """What stands in a line; `gap`: pixels between it and the one above."""

    placed: list[_Placed]
    gap: int = 0


class _Type:
    """A size of the font: how wide its characters are, and what stands for those that it lacks."""

    def __init__(self, size: int) -> None:
        # Character by character, so nothing is to be shaped.
        self.font = ImageFont.truetype(str(FONT), size, layout_engine=ImageFont.Layout.BASIC)
        self._size = size
        self._missing = self._mask("\U0010ffff")
        self._widths: dict[str, float] = {}
        self._known: dict[str, bool] = {}

    def _mask(self, character: str) -> tuple[tuple[int, int], bytes]:
        mask = self.font.getmask(character)
        return mask.size, bytes(mask)

    def has(self, character: str) -> bool:
        """Whether the font has a shape for the character."""
        if character not in self._known:
            try:
                self._known[character] = character.isprintable() and self._mask(character) != self._missing
            except (UnicodeError, ValueError, OSError):  # half of a surrogate pair
                self._known[character] = False
        return self._known[character]

    def shape(self, character: str) -> str:
        """The character, or it without its accents if only that has a shape; empty when neither has one."""
        plain = unicodedata.normalize("NFD", character)[0]
        return next((candidate for candidate in (character, plain) if self.has(candidate)), "")

    def width(self, character: str) -> float:
        """Pixels that the character takes."""
        if character not in self._widths:
            shape = " " if character.isspace() else self.shape(character)
            width = self.font.getlength(shape) if shape else self._size * 0.6
            self._widths[character] = max(_NARROWEST, width)
        return self._widths[character]

    def lines(self, shown: Iterable[Cell]) -> list[_Line]:
        """Wraps between words; a word that is wider than a line is parted."""
        lines = [_Line([])]
        left = 0.0

        def begin(gap: int = 0) -> None:
            nonlocal left
            lines.append(_Line([], gap))
            left = 0.0

        for word in _words(shown):
            widths = [self.width(cell.character) for cell in word]
            if left and left + sum(widths) > WIDTH - 2 * _MARGIN and not word[0].character.isspace():
                begin()
            for cell, width in zip(word, widths, strict=True):
                if left + width > WIDTH - (1 if cell.character.isspace() else 2) * _MARGIN:
                    begin()
                lines[-1].placed.append(_Placed(cell, left, left + width))
                left += width
                if cell.character == "\n":
                    begin()
        return list(_without_empty(lines))

    def draw(self, canvas: _Canvas, at: tuple[float, float], character: str) -> None:
        """A character, its foot at the left; a small frame where the font has none."""
        if character.isspace():
            return
        if shape := self.shape(character):
            canvas.ink.text(at, shape, fill=255, font=self.font, anchor="ls")
        else:
            left, foot = at
            right = left + self.width(character)
            canvas.ink.rectangle((left + 3, foot - self._size * 0.6, right - 3, foot), outline=255, width=2)


def _words(shown: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Stretches that a line does not part: a word, up to a dash in it; a single white space."""
    word: list[Cell] = []
    for cell in shown:
        before = word[-1].character if word else ""
        if word and (cell.character.isspace() or before.isspace() or (before in "-–—" and cell.character.isalnum())):
            yield word
            word = []
        word.append(cell)
    if word:
        yield word


def _without_empty(lines: Iterable[_Line]) -> Iterator[_Line]:
    """Puts a narrow gap in the place of lines that are empty but for white space."""
    gap = 0
    for line in lines:
        if all(placed.cell.character.isspace() for placed in line.placed):
            gap = _PARAGRAPH
            continue
        line.gap, gap = gap, 0
        yield line


class _Block:
    """A label and the text below it."""

    def __init__(self, label: str, surprise: Surprisal, lines: list[_Line]) -> None:
        self._label = label
        self._mean = surprise.mean
        self._left_out = sum(len(line.placed) for line in lines[MOST_LINES:])
        self._lines = lines[:MOST_LINES]
        if self._lines:
            self._lines[0].gap = 0
        rows = len(self._lines) + bool(label) + bool(self._left_out)
        self.height = rows * _LINE + sum(line.gap for line in self._lines) + _PARAGRAPH

    def draw(self, canvas: _Canvas, top: int, type_: _Type, small: _Type) -> None:
        if self._label:
            canvas.write((_MARGIN, top + _ASCENT), self._label, small, pale=True)
            if not math.isnan(self._mean):
                said = f"{self._mean:.2f} bits per character"
                canvas.write((WIDTH - _MARGIN, top + _ASCENT), said, small, "rs", pale=True)
            top += _LINE
        for line in self._lines:
            top += line.gap
            for placed in line.placed:
                left, right = (_MARGIN + round(edge) for edge in (placed.left, placed.right))
                ground = _PALE if placed.cell.given else placed.cell.shade
                canvas.ground((left, top, right, top + _GROUND), ground)
                type_.draw(canvas, (_MARGIN + placed.left, top + _ASCENT), placed.cell.character)
            top += _LINE
        if self._left_out:
            said = f"… and {self._left_out:,} characters more"
            canvas.write((_MARGIN, top + _ASCENT), said, small, pale=True)


class _Scale:
    """What the grounds mean: bits, and the chance that a character had. The mean is marked when there is one text."""

    height: Final = 2 * _LINE + _BAR + 2 * _SMALL + _MARGIN + 12

    def __init__(self, texts: Sequence[tuple[str, Surprisal]]) -> None:
        self._mean = texts[0][1].mean if len(texts) == 1 else math.nan

    def draw(self, canvas: _Canvas, top: int, small: _Type) -> None:
        left, right = _MARGIN, WIDTH - _MARGIN
        canvas.ground((left, top, right, top + 3), 3)
        top += _PARAGRAPH
        canvas.write((left, top + _ASCENT), "surprise, in bits per character", small)
        if not math.isnan(self._mean):
            canvas.write((right, top + _ASCENT), f"{self._mean:.2f} on average", small, "rs")
        top += _LINE + 12
        for step in range(SHADES):
            first, last = (max(0.0, step - 0.5), min(SHADES - 1.0, step + 0.5))
            edges = [round(left + (right - left) * edge / (SHADES - 1)) for edge in (first, last)]
            canvas.ground((edges[0], top, edges[1], top + _BAR), step)
        canvas.ink.rectangle((left, top, right, top + _BAR), outline=120)
        if not math.isnan(self._mean):
            x = left + min(self._mean, DARKEST) / DARKEST * (right - left)
            canvas.ink.polygon(((x - 11, top - 15), (x + 11, top - 15), (x, top + 3)), fill=255)
        for bits in range(int(DARKEST) + 1):
            x = left + bits / DARKEST * (right - left)
            side = "ls" if bits == 0 else "rs" if bits == DARKEST else "ms"
            canvas.write((x, top + _BAR + _SMALL + 4), f"{bits}+" if bits == DARKEST else str(bits), small, side)
            if bits in _ODDS:
                canvas.write((x, top + _BAR + 2 * _SMALL + 14), _ODDS[bits], small, side, pale=True)
