"""A picture of a message with buttons, as a telephone shows it: drawn from what the bot has sent."""

from __future__ import annotations

import io
import textwrap
from typing import Final

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from generator.scoring.heatmap import FONT
from testing.telegram import Sent

WIDTH: Final = 840
"""Pixels; the document shows it at half the size."""
MARGIN: Final = 28
LINE: Final = 46
COLUMNS: Final = 50
"""Characters of a line in a bubble."""
BUTTON: Final = 72
WALLPAPER: Final = (214, 226, 219)
OWN: Final = (225, 248, 205)
OTHER: Final = (255, 255, 255)
INK: Final = (24, 22, 20)
BLUE: Final = (38, 110, 170)
ON_BUTTON: Final = (70, 94, 84)
SAYS: Final = "Description"
"""The key of the text in the file that says what the picture shows
(https://www.w3.org/TR/png-3/#11keywords)."""


def said(typed: str, sent: Sent) -> str:
    """Returns what the picture shows, as text."""
    rows = (" | ".join(button["text"] for button in row) for row in sent.buttons)
    return "\n".join([typed, sent.text, *rows])


def chat_picture(typed: str, sent: Sent) -> bytes:
    """Returns a PNG of a command and the message that answers it, with its buttons."""
    font = ImageFont.truetype(str(FONT), 32)
    lines = [part for line in sent.text.split("\n") for part in textwrap.wrap(line, COLUMNS) or [""]]
    height = 5 * MARGIN + LINE * (1 + len(lines)) + (BUTTON + 8) * len(sent.buttons)
    image = Image.new("RGB", (WIDTH, height), WALLPAPER)
    draw = ImageDraw.Draw(image)

    def bubble(left: float, top: float, right: float, texts: list[str], ground: tuple[int, int, int]) -> float:
        bottom = top + LINE * len(texts) + MARGIN
        draw.rounded_rectangle((left, top, right, bottom), 24, ground)
        for number, text in enumerate(texts):
            middle = top + MARGIN / 2 + LINE * (number + 0.5)
            x = left + MARGIN
            for word in text.split(" "):
                draw.text((x, middle), word, BLUE if word.startswith("/") else INK, font, "lm")
                x += font.getlength(f"{word} ")
        return bottom

    own_left = WIDTH - 3 * MARGIN - font.getlength(typed)
    top = bubble(own_left, MARGIN, WIDTH - MARGIN, [typed], OWN) + MARGIN
    right = MARGIN + max(WIDTH * 0.82, max(map(font.getlength, lines)) + 2 * MARGIN)
    top = bubble(MARGIN, top, right, lines, OTHER) + 10
    for row in sent.buttons:
        width = (right - MARGIN - 8 * (len(row) - 1)) / len(row)
        for number, button in enumerate(row):
            left = MARGIN + number * (width + 8)
            draw.rounded_rectangle((left, top, left + width, top + BUTTON), 16, ON_BUTTON)
            draw.text((left + width / 2, top + BUTTON / 2), button["text"], OTHER, font, "mm")
        top += BUTTON + 8
    note = PngImagePlugin.PngInfo()
    note.add_itxt(SAYS, said(typed, sent))
    file = io.BytesIO()
    image.quantize(64, dither=Image.Dither.NONE).save(file, "PNG", optimize=True, pnginfo=note)
    return file.getvalue()
