"""A picture of texts, shaded by surprisal. Needs Pillow, so it is imported only where a picture is drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageChops, ImageDraw

from generator.scoring.palette import DARKEST, INK, SHADES, Colour, cells, colour
from generator.scoring.typesetting import FONT, MISSING, Line, Typeface
from generator.types import Surprisal

__all__ = ["FONT", "GIVEN", "MAX_LINES", "PAPER", "SCALE_HEIGHT", "WIDTH", "draw", "png"]

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
"""Degrees of ink. Times the shades, and once more for the prompt, they make the 256 colours of a palette."""
_PALE: Final = SHADES
"""In the place of a shade: paper, with the prompt's ink on it."""


def draw(texts: Sequence[tuple[str, Surprisal]], *, hard_wrapped: bool) -> Image.Image:
    """Draws texts below their labels (which may be empty), and the scale at the foot; `WIDTH` wide, with a palette.

    Shaded by the mean surprisal of each word.
    """
    type_ = Typeface(_SIZE)
    blocks = [
        (label, surprisal.mean, type_.lines(cells(surprisal, hard_wrapped=hard_wrapped), WIDTH - 2 * _MARGIN, _MARGIN))
        for label, surprisal in texts
    ]
    notes = _LINE + _GAP if type_.missing else 0
    picture = _Picture(_MARGIN + sum(_height(label, lines) for label, _, lines in blocks) + notes + SCALE_HEIGHT)
    top = _MARGIN
    for label, mean, lines in blocks:
        picture.block(top, label, mean, lines, type_)
        top += _height(label, lines)
    if notes:
        picture.write(_MARGIN, top, f"{MISSING} stands for what no font here has", pale=True)
    picture.scale(top + notes, blocks[0][1] if len(blocks) == 1 else math.nan)
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
    """Backgrounds and ink, each a plane of bytes: a quarter of the memory of colours, and a third of the file."""

    def __init__(self, height: int) -> None:
        self._backgrounds, self._inks = (Image.new("L", (WIDTH, height), 0) for _ in range(2))
        self._background, self._ink = ImageDraw.Draw(self._backgrounds), ImageDraw.Draw(self._inks)
        self._small = Typeface(_SMALL).font

    def block(self, top: int, label: str, mean: float, lines: list[Line], type_: Typeface) -> None:
        """Draws a text below its label."""
        if label:
            self.write(_MARGIN, top, label, pale=True)
            if not math.isnan(mean):
                self.write(WIDTH - _MARGIN, top, f"{mean:.2f} bits per character", "rs", pale=True)
            top += _LINE
        for line in lines[:MAX_LINES]:
            top += line.gap
            for placed in line.cells:
                left, right = (_MARGIN + round(edge) for edge in (placed.left, placed.right))
                self._shade(left, top, right, _PALE if placed.cell.given else placed.cell.shade)
                shape, font = type_.shape(placed.cell.character)
                self._ink.text((_MARGIN + placed.left, top + _ASCENT), shape, fill=255, font=font, anchor="ls")
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
        self._ink.rectangle((left, top, right, top + _BAR), outline=120)
        if not math.isnan(mean):
            x = left + min(mean, DARKEST) / DARKEST * (right - left)
            self._ink.polygon(((x - 11, top - 15), (x + 11, top - 15), (x, top + 3)), fill=255)
        for bits in range(int(DARKEST) + 1):
            x = left + bits / DARKEST * (right - left)
            anchor = "ls" if bits == 0 else "rs" if bits == DARKEST else "ms"
            below = top + _BAR + _SMALL + 4 - _ASCENT
            self.write(x, below, f"{bits}+" if bits == DARKEST else str(bits), anchor)
            self.write(x, below + _SMALL + 10, _CHANCES.get(bits, ""), anchor, pale=True)

    def write(self, x: float, top: float, text: str, anchor: str = "ls", *, pale: bool = False) -> None:
        """Writes a line of small type; `anchor` as in Pillow."""
        at = (x, top + _ASCENT)
        if pale:
            left, above, right, below = self._ink.textbbox(at, text, font=self._small, anchor=anchor)
            self._shade(left - 2, above - 2, right + 2, _PALE, height=below - above + 4)
        self._ink.text(at, text, fill=255, font=self._small, anchor=anchor)

    def _shade(self, left: float, top: float, right: float, shade: int, *, height: float = _BACKGROUND) -> None:
        if right > left:
            self._background.rectangle((left, top, right - 1, top + height - 1), fill=shade * _INKS)

    def image(self) -> Image.Image:
        """Returns both planes together."""
        degrees = self._inks.point([value * _INKS // 256 for value in range(256)])
        image = ImageChops.add(self._backgrounds, degrees)
        image = Image.frombytes("P", image.size, image.tobytes())
        palette: list[int] = []
        for background, ink in [*((colour(shade), INK) for shade in range(SHADES)), (PAPER, GIVEN)]:
            for degree in range(_INKS):
                share = degree / (_INKS - 1)
                palette += (round(a + (b - a) * share) for a, b in zip(background, ink, strict=True))
        image.putpalette(palette)
        return image
