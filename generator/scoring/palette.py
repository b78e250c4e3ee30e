"""The colour behind each character of a text by its surprisal: the darker, the less the network expected it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from generator.prose import presented
from generator.types import Surprisal

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
DARKEST: Final = 4.0
"""Bits, one chance in 16. Few words have more per character; more bits are shaded the same."""
SHADES: Final = 15
"""Background colours that are told apart. The lightest is that of what is certain, and of what has no bits."""
_RAMP: Final[tuple[tuple[float, Colour], ...]] = (
    (0.0, (251, 250, 246)),
    (1 / 6, (253, 237, 205)),
    (5 / 12, (252, 209, 146)),
    (2 / 3, (247, 165, 96)),
    (1.0, (233, 110, 60)),
)
"""Share of the scale -> background. One hue that only gets darker: legible in black, and to the colour-blind."""
INK: Final[Colour] = (24, 22, 20)
"""Has a contrast of at least 5.5 to every background; WCAG 2.2 asks for 4.5 (success criterion 1.4.3)."""
_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Cell:
    """A character as it is shown, with its bits, or NaN. `given`: it stood before the text."""

    character: str
    bits: float
    given: bool = False

    @property
    def shade(self) -> int:
        """Its background: 0 (the lightest, also without bits) to `SHADES` − 1."""
        return 0 if math.isnan(self.bits) else round(min(max(self.bits, 0.0), DARKEST) / DARKEST * (SHADES - 1))


def cells(surprisal: Surprisal, *, hard_wrapped: bool, by_letter: bool = False) -> list[Cell]:
    """Returns the characters of `prose.presentable(given + text)`, in order, each with the mean of its word's bits.

    The first letter of most words is hard to predict and the rest easy, so single letters (`by_letter`) read as
    stripes.
    """
    found = _letters(surprisal, hard_wrapped=hard_wrapped)
    return found if by_letter else _words(found)


def _letters(surprisal: Surprisal, *, hard_wrapped: bool) -> list[Cell]:
    """Returns each character with its own bits. Those of white space that became one character are added up."""
    text, border = surprisal.given + surprisal.text, len(surprisal.given)
    bits = [math.nan] * border + list(surprisal.bits)
    found: list[Cell] = []
    for run in presented(text, hard_wrapped=hard_wrapped):
        if text[run.start : run.end] == run.shown:
            found += [Cell(text[at], bits[at], at < border) for at in range(run.start, run.end)]
            continue
        total = _sum(bits[run.start : run.end])
        for character in run.shown:
            found.append(Cell(character, total, run.end <= border))
            total = math.nan
    return found


def _words(cells: Sequence[Cell]) -> list[Cell]:
    """Gives each character of a word the mean of the word's bits, and white space none."""
    found = [replace(cell, bits=math.nan) if cell.character.isspace() else cell for cell in cells]
    for match in _WORD.finditer("".join(cell.character for cell in cells)):
        word = cells[match.start() : match.end()]
        known = [cell.bits for cell in word if not math.isnan(cell.bits)]
        mean = _sum(known) / max(len(known), 1)
        found[match.start() : match.end()] = [cell if cell.given else replace(cell, bits=mean) for cell in word]
    return found


def colour(shade: int) -> Colour:
    """Returns the background of a shade, between the points of the ramp."""
    share = shade / (SHADES - 1)
    for (low, lighter), (high, darker) in itertools.pairwise(_RAMP):
        if share <= high:
            part = (share - low) / (high - low)
            red, green, blue = (round(a + (b - a) * part) for a, b in zip(lighter, darker, strict=True))
            return red, green, blue
    return _RAMP[-1][1]


def _sum(bits: Sequence[float]) -> float:
    known = [value for value in bits if not math.isnan(value)]
    return math.fsum(known) if known else math.nan
