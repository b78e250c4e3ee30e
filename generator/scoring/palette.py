"""What ground each character of a text stands on, by its surprise: the darker, the less the network expected it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

from generator.prose import presented
from generator.types import Surprisal

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
DARKEST: Final = 6.0
"""Bits: one chance in 64, of the order of drawing blindly. What surprises more is shaded the same."""
SHADES: Final = 15
"""Grounds that are told apart, the lightest being that of what is certain."""
_RAMP: Final[tuple[tuple[float, Colour], ...]] = (
    (0.0, (251, 250, 246)),
    (1.0, (253, 237, 205)),
    (2.5, (252, 209, 146)),
    (4.0, (247, 165, 96)),
    (DARKEST, (233, 110, 60)),
)
"""Bits -> ground. One hue that only gets darker, so that it is read without seeing colours, and black stays legible."""
INK: Final[Colour] = (24, 22, 20)
"""Has a contrast of at least 5.5 to every ground; 4.5 is what WCAG 2.2 asks for (success criterion 1.4.3)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A character as it is shown, with its bits; NaN without any. `given`: it stood before the text."""

    character: str
    bits: float
    given: bool = False

    @property
    def shade(self) -> int:
        """Which ground it has: 0 (the lightest, also without bits) to `SHADES` − 1."""
        return 0 if math.isnan(self.bits) else round(min(max(self.bits, 0.0), DARKEST) / DARKEST * (SHADES - 1))


def cells(surprise: Surprisal, *, hard_wrapped: bool) -> list[Cell]:
    """The characters of `prose.presentable(given + text)`, in order.

    The bits of white space that became one character are added up.
    """
    text, border = surprise.given + surprise.text, len(surprise.given)
    bits = [math.nan] * border + list(surprise.bits)
    found: list[Cell] = []
    for run in presented(text, hard_wrapped=hard_wrapped):
        if text[run.start : run.end] == run.shown:
            found += [Cell(text[at], bits[at], at < border) for at in range(run.start, run.end)]
            continue
        known = [value for value in bits[run.start : run.end] if not math.isnan(value)]
        for character in run.shown:
            found.append(Cell(character, math.fsum(known) if known else math.nan, run.end <= border))
            known = []
    return found


def colour(shade: int) -> Colour:
    """The ground of a shade, between the points of the ramp."""
    bits = shade / (SHADES - 1) * DARKEST
    for (low, lighter), (high, darker) in itertools.pairwise(_RAMP):
        if bits <= high:
            share = (bits - low) / (high - low)
            red, green, blue = (round(a + (b - a) * share) for a, b in zip(lighter, darker, strict=True))
            return red, green, blue
    return _RAMP[-1][1]
