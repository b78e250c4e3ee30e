"""How a text is split into messages: whole words, and the best place to break."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.platforms.text import shorten, split, utf16_length


@given(st.text(st.sampled_from("ab😀é. \n\t"), max_size=120), st.integers(2, 30))
def test_pieces_are_whole_words_that_fit(text: str, limit: int) -> None:
    found = split(text, limit)
    assert all(0 < utf16_length(piece) <= limit and piece == piece.strip() for piece in found)
    if text.strip():
        assert "".join("".join(found).split()) == "".join(text.split())
        for word in text.split():
            if utf16_length(word) <= limit:
                assert any(word in piece.split() for piece in found)


def test_a_text_is_split_between_paragraphs_or_sentences_or_lines_or_words() -> None:
    assert split("aaa. bbb\n\nccc. ddd", 16) == ["aaa. bbb", "ccc. ddd"]
    assert split("aaa bbb.) ccc\nddd", 14) == ["aaa bbb.)", "ccc\nddd"]
    assert split("aaa bbb\nccc ddd", 12) == ["aaa bbb", "ccc ddd"]
    assert split("aaa bbb", 3) == ["aaa", "bbb"]


def test_a_break_in_the_first_half_of_what_fits_is_too_early() -> None:
    assert split("a\nbbb ccc ddd", 12) == ["a\nbbb ccc", "ddd"]
    assert split("a. bbb ccc ddd", 12) == ["a. bbb ccc", "ddd"]


def test_a_word_longer_than_a_message_is_split_between_characters() -> None:
    assert split("😀😀😀", 4) == ["😀😀", "😀"]
    assert split("😀😀😀", 3) == ["😀"] * 3


def test_nothing_is_still_a_message() -> None:
    assert split(" \n", 10) == ["…"]


def test_a_text_is_shortened_between_words() -> None:
    assert shorten("one two three", 8) == "one two…"
    assert shorten("One. Two three four", 16) == "One. Two three…"
    assert shorten("one two", 7) == "one two"
