"""The colour behind each character of a text by its surprisal: the darker, the less the network expected it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from generator.prose import presented
from generator.types import Surprisal

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
DARKEST: Final = 4.0
"""Bits, one chance in 16. Few words have more per character; more bits are shaded the same."""
SHADES: Final = 15
"""Background colours that are told apart. The lightest is that of what is certain, and of what has no bits."""
_RAMP_AT: Final = (0.0, 1 / 6, 5 / 12, 2 / 3, 1.0)
"""Shares of the scale at which the background has the colours of `_RAMP`."""
_RAMP: Final = ((251, 250, 246), (253, 237, 205), (252, 209, 146), (247, 165, 96), (233, 110, 60))
"""One hue that only gets darker: legible in black, and to the colour-blind."""
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


def cells(surprisal: Surprisal, *, hard_wrapped: bool) -> list[Cell]:
    """Returns the characters of `prose.presentable(given + text)`, in order, each with the mean of its word's bits.

    The first letter of most words is hard to predict and the rest easy, so single letters would read as stripes. White
    space has no bits.
    """
    text, border = surprisal.given + surprisal.text, len(surprisal.given)
    bits = [math.nan] * border + list(surprisal.bits)
    found: list[Cell] = []
    for run in presented(text, hard_wrapped=hard_wrapped):
        if run.shown[:1].isspace():
            found += [Cell(character, math.nan, run.end <= border) for character in run.shown]
        else:
            found += [Cell(text[at], bits[at], at < border) for at in range(run.start, run.end) if run.shown]
    for match in _WORD.finditer("".join(cell.character for cell in found)):
        word = found[match.start() : match.end()]
        known = [cell.bits for cell in word if not math.isnan(cell.bits)]
        mean = math.fsum(known) / len(known) if known else math.nan
        found[match.start() : match.end()] = [cell if cell.given else replace(cell, bits=mean) for cell in word]
    return found


@cache
def colour(shade: int) -> Colour:
    """Returns the background of a shade, between the points of the ramp."""
    share = shade / (SHADES - 1)
    red, green, blue = (round(float(np.interp(share, _RAMP_AT, part))) for part in zip(*_RAMP, strict=True))
    return red, green, blue
