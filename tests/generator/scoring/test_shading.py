"""The picture of a text: what is in it, whether it can be read, and that no text breaks it."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from generator import Surprisal
from generator.prose import presentable
from generator.scoring import heatmap
from generator.scoring.heatmap import Typeface
from generator.scoring.palette import DARKEST, INK, SHADES, Cell, cells, colour

MAX_BYTES = 1_000_000
"""Of the largest text there is, in the worst of characters; Telegram takes ten times as much."""
ODD = [
    "😀",
    "\x00",
    "\x1b",
    "\u202e",
    "\ud800",
    "Я",
    "λ",
    "é",
    "ש",
    "漢",
    "\u0301",
    "\u200b",
    "\U0010ffff",
    "ﷺ",
    "\n",
    " ",
]


def surprise(text: str, bits: float | None = None, given: str = "") -> Surprisal:
    random = np.random.default_rng(len(text))
    drawn = tuple(random.exponential(1.5, len(text)).tolist())
    return Surprisal(text, drawn if bits is None else (bits,) * len(text), given=given)


def picture(text: str, given: str = "", *, hard_wrapped: bool = True) -> Image.Image:
    content = heatmap.png(heatmap.draw([("", surprise(text, given=given))], hard_wrapped=hard_wrapped))
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) < MAX_BYTES
    return Image.open(io.BytesIO(content)).convert("RGB")


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.unique(np.asarray(image).reshape(-1, 3), axis=0).tolist()}


def luminance(rgb: tuple[int, ...]) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [value / 255 for value in rgb]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_a_text_of_four_hundred_characters_fits_a_telephone() -> None:
    text = surprise("and is the self-consciousness of mankind, " * 10, given="The philosopher ")
    image = heatmap.draw([("", text)], hard_wrapped=True)
    assert image.width == heatmap.WIDTH
    assert image.height < 1200
    assert len(heatmap.png(image)) < 120_000


def test_letters_stay_legible_on_every_ground_and_grounds_get_darker_for_every_eye() -> None:
    grounds = [colour(shade) for shade in range(SHADES)]
    assert len(set(grounds)) == SHADES
    assert all(contrast(INK, ground) >= 5.5 for ground in grounds)
    assert contrast(heatmap.GIVEN, heatmap.PAPER) >= 4.5
    # Luminance is what is left of a colour for somebody who tells none apart.
    lightness = [luminance(ground) for ground in grounds]
    assert lightness == sorted(lightness, reverse=True)
    assert contrast(grounds[0], grounds[-1]) > 2.5


@pytest.mark.parametrize(
    ("bits", "shade"), [(0.0, 0), (math.nan, 0), (-1e-9, 0), (DARKEST, SHADES - 1), (40.0, SHADES - 1), (2.0, 7)]
)
def test_the_ground_says_how_many_bits(bits: float, shade: int) -> None:
    assert Cell("a", bits).shade == shade


def test_what_is_surprising_is_shaded_and_what_is_certain_or_given_is_not() -> None:
    """Above the scale at the foot, which shows every ground."""
    for bits, shade in ((0.0, 0), (6.0, SHADES - 1)):
        image = heatmap.draw([("", surprise("mmm mmm", bits, given="given"))], hard_wrapped=True).convert("RGB")
        text = image.crop((0, 0, image.width, image.height - heatmap.SCALE_HEIGHT))
        assert (colour(SHADES - 1) in colours(text)) is (shade == SHADES - 1)
        prompt = text.crop((0, 0, 120, text.height))
        assert heatmap.PAPER in colours(prompt)
        assert heatmap.GIVEN in colours(prompt)
        assert colour(SHADES - 1) not in colours(prompt)


def test_several_texts_have_their_labels_and_one_scale() -> None:
    one = heatmap.draw([("", surprise("A text."))], hard_wrapped=True)
    three = heatmap.draw([(f"temperature {t}", surprise("A text.")) for t in (0.5, 0.7, 0.9)], hard_wrapped=True)
    assert one.height < three.height < 3 * one.height


def test_every_character_of_the_shipped_book_has_a_shape_and_so_have_those_of_its_neighbours() -> None:
    type_ = Typeface()
    for character in "ÆäæéëàçêñöüßøåÉабвгдежзийклмнопрстуфхцчшщъыьэюяЁαβγδεζηθικλμνξοπρστυφχψωάέή–—‘’“”…«»„":
        assert type_.shape(character) == (character, type_.font), character
    assert not type_.missing


@pytest.fixture
def no_fallbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without any font."""
    monkeypatch.setattr(heatmap, "FALLBACKS", ())


@pytest.mark.usefixtures("no_fallbacks")
def test_what_no_font_has_is_a_dot_and_never_a_box_and_the_picture_says_so() -> None:
    type_ = Typeface()
    for character in ("\x00", "\ud800", "漢", "\U0010ffff", "😀"):
        assert type_.shape(character) == (heatmap.MISSING, type_.font)
    assert type_.shape("\n") == (" ", type_.font)
    plain, with_note = (heatmap.draw([("", surprise(text))], hard_wrapped=True) for text in ("abc", "a漢c"))
    assert with_note.height > plain.height
    assert type_.missing


def test_a_font_of_the_system_draws_what_the_first_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the name of a fallback stands the first font itself; a smaller one stands in the first's place."""
    monkeypatch.setattr(heatmap, "FALLBACKS", ("absent.ttf", str(heatmap.FONT)))
    type_ = Typeface()
    lacking = type_.font
    monkeypatch.setattr(heatmap, "_has", lambda font, _: font is not lacking)
    shape, font = type_.shape("漢")
    assert shape == "漢"
    assert font is not lacking
    assert not type_.missing


def test_where_the_font_lacks_an_accent_the_letter_stands_without_it() -> None:
    type_ = Typeface()
    assert [type_.shape(character)[0] for character in "ἀἦợλ"] == ["α", "η", "ợ", "λ"]


def test_a_word_longer_than_a_line_is_parted_and_a_text_without_end_is_cut() -> None:
    assert 300 < picture("m" * 300).height < 2000
    endless = picture("line\n\n" * 2000, hard_wrapped=False)
    assert endless.height < heatmap.MAX_LINES * 120
    assert endless.height / endless.width < 20, "Telegram takes no photo that is longer"


def test_a_line_breaks_between_words_and_after_a_dash() -> None:
    type_ = Typeface()
    shown = cells(surprise("the development of the world--and of mankind " * 6), hard_wrapped=True)
    placed_lines = type_.lines(shown)
    lines = ["".join(cell.character for cell in line.cells) for line in placed_lines]
    assert "".join(lines) == "".join(cell.character for cell in shown)
    assert all(line.endswith((" ", "-")) for line in lines[:-1])
    for line in placed_lines:
        ends = zip(line.cells, line.edges[1:], strict=True)
        assert max(right for cell, right in ends if not cell.character.isspace()) <= heatmap.WIDTH - 52


def test_white_space_that_becomes_one_has_no_bits() -> None:
    text = surprise("a  \n b-\nc\n\n\nd", 1.0)
    found = cells(text, hard_wrapped=True)
    assert "".join(cell.character for cell in found) == "a b-c\n\nd"
    assert [cell.bits for cell in found if not cell.character.isspace()] == [1.0] * 5
    assert all(math.isnan(cell.bits) for cell in found if cell.character.isspace())


def test_a_word_is_shaded_by_the_mean_of_its_characters_and_white_space_is_not() -> None:
    each = (1.0, 5.0, 0.0, 1.0, 0.0, 4.0, math.nan, 3.0, 1.0, 2.0, 2.0, *[2.5] * 6)
    text = Surprisal(" man's will; 'so'", each, given="The")
    found = cells(text, hard_wrapped=True)
    bits = [None if math.isnan(cell.bits) else cell.bits for cell in found]
    assert bits == [*[None] * 4, *[2.0] * 5, None, *[2.0] * 4, 2.5, None, *[2.5] * 4]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab- \n\t") | st.characters()), st.text(st.sampled_from("ab- \n\t")), st.booleans())
def test_the_cells_are_the_text_as_it_was_shown(text: str, given: str, hard_wrapped: bool) -> None:  # noqa: FBT001
    found = cells(surprise(text, given=given), hard_wrapped=hard_wrapped)
    assert "".join(cell.character for cell in found) == presentable(given + text, hard_wrapped=hard_wrapped)
    given_part = [cell.given for cell in found]
    assert given_part == sorted(given_part, reverse=True), "what was given stands first"
    assert all(math.isnan(cell.bits) for cell in found if cell.given)


@settings(max_examples=40, deadline=None)
@given(
    st.text(st.sampled_from(ODD) | st.characters(), max_size=200),
    st.text(st.sampled_from(ODD), max_size=20),
    st.booleans(),
)
def test_any_text_becomes_a_picture(text: str, given: str, hard_wrapped: bool) -> None:  # noqa: FBT001
    assert picture(text, given, hard_wrapped=hard_wrapped).width == heatmap.WIDTH


@pytest.mark.parametrize("character", ["😀", "W", "\n", "\x00", "\u0301", "漢"])
def test_the_largest_text_of_one_character_is_still_a_picture(character: str) -> None:
    assert picture(character * 4096, hard_wrapped=False).height < 8000
