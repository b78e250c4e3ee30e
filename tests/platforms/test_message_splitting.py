"""How a text is split into messages: whole words, and the best place to break."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.reply import Passage, Reply
from bot.platforms.discord import render as discord
from bot.platforms.telegram import render as telegram
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


def prose(draw: random.Random, length: int) -> str:
    """Sentences in paragraphs, of about so many characters."""
    text = ""
    while len(text) < length:
        words = [draw.choice(("mat", "philosophy", "is", "the", "morality")) for _ in range(draw.randrange(4, 30))]
        text += " ".join(words).capitalize() + draw.choice((".", "!", "?”")) + draw.choice((" ", " ", " ", "\n\n"))
    return text.strip()


@pytest.mark.parametrize("length", [400, 890 + 400, 890 + 1200])
@pytest.mark.parametrize("platform", ["discord", "telegram"])
def test_a_ladder_breaks_between_texts_and_a_label_stays_with_its_text(platform: str, length: int) -> None:
    """Of the default length; after a prompt of 890 characters; and of texts longer than a message."""
    draw = random.Random(length)
    for _ in range(20):
        texts = [prose(draw, length + draw.randrange(60)) for _ in range(5)]
        reply = Reply.of_passages(*(Passage(text, label=f"Temperature {at}") for at, text in enumerate(texts)))
        if platform == "discord":
            limit, sent = discord.MAX_MESSAGE, discord.contents(reply, with_notice=True)
            texts = [discord.escaped(text) for text in texts]
        else:
            limit, sent = telegram.MAX_TEXT, [message.text for message in telegram.messages_of(reply)]
        assert all(utf16_length(message) <= limit for message in sent)
        for message in sent:
            assert message[-1] in ".!?”", "the end of a text, a paragraph or a sentence"
        for text in texts:
            if utf16_length(text) <= limit - 30:
                assert any(text in message for message in sent), "a text that fits into a message is not split"
        assert " ".join(" ".join(sent).split()).count("Temperature") == 5


@pytest.mark.parametrize("platform", ["discord", "telegram"])
def test_a_text_of_the_greatest_length_breaks_between_paragraphs_or_sentences(platform: str) -> None:
    draw = random.Random(1)
    for _ in range(20):
        reply = Reply.of_passages(Passage(prose(draw, 4600)))
        sent = (
            discord.contents(reply, with_notice=True)
            if platform == "discord"
            else [message.text for message in telegram.messages_of(reply)]
        )
        assert len(sent) > 1
        assert all(message[-1] in ".!?”" for message in sent)
